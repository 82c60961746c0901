"""What a frozen vision tower makes of training clips, kept on disk for other chunks and epochs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset, get_worker_info

from svlm_cli.data.samples.chunk_dataset import ChunkDataset, VideoClips
from svlm_cli.data.samples.sample import Features
from svlm_cli.errors import SourceError, boundary
from svlm_cli.files import whole_file
from svlm_cli.model.family.parts import vision_parts, vision_weights
from svlm_cli.model.family.table import has_rows
from svlm_cli.model.patches import Patches, PatchSettings
from svlm_cli.model.vision.squares import see_squares

RUN_SECONDS = 16  # of video that the tower takes at once


class VisionCache:
    """Features by key, one file each, in the tower's own dtype (``FeatureStore``).

    The folder's name holds a fingerprint of the tower's weights and of how frames are cut, so that features
    of another tower or of other pixels are never taken for these.

    Args:
        folder: parent of the cache's own folder.
        network: a network of one of the families, whose vision tower will not change.
        patches: how frames are cut.
    """

    def __init__(self, folder: Path, network: Any, patches: PatchSettings) -> None:
        self._network = network
        self._folder = folder / f"vision-{_fingerprint(network, patches)}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Numbers of the keys whose features are not there yet."""
        return [number for number, key in enumerate(keys) if not self._path(key).is_file()]

    @torch.inference_mode()
    def add(self, keys: Sequence[str], clips: Sequence[Patches]) -> None:
        """Run the tower once over clips and keep what it makes of each.

        Raises:
            SourceError: in a process that reads samples, which has no tower to run.
        """
        if get_worker_info() is not None:
            raise SourceError(f"the features {keys[0]} are gone from {self._folder}")
        with torch.autocast(self._network.device.type, enabled=False):
            pooled, deep = self._seen(clips)
        for number, (key, clip) in enumerate(zip(keys, clips, strict=True)):
            kept = {"features": pooled[number], "grid_thw": torch.tensor(clip.grid_thw)}
            if deep:
                kept["deep"] = torch.stack([layer[number] for layer in deep])
            with whole_file(self._path(key)) as partial:
                save_file({name: tensor.cpu().contiguous() for name, tensor in kept.items()}, partial)

    def _seen(self, clips: Sequence[Patches]) -> tuple[Sequence[torch.Tensor], Sequence[Any]]:
        """The features of each clip, and the deep ones by layer where there are some."""
        network = self._network
        dtype = next(vision_parts(network)[0].parameters()).dtype
        pixels = [clip.pixel_values.to(network.device, dtype) for clip in clips]
        if not has_rows(network.config):
            return see_squares(network, pixels), []
        grids = torch.tensor([clip.grid_thw for clip in clips]).to(network.device)
        found = network.get_video_features(torch.cat(pixels), grids)
        return found.pooler_output, getattr(found, "deepstack_features", None) or []

    def read(self, key: str) -> Features:
        """Features of the clip under a key.

        Raises:
            SourceError: they cannot be read.
        """
        path = self._path(key)
        with (
            boundary(f"the features {path} cannot be read", SourceError, "delete them: they are made again"),
            safe_open(path, framework="pt") as stored,
        ):
            time, height, width = stored.get_tensor("grid_thw").tolist()
            deep = stored.get_tensor("deep") if "deep" in stored.keys() else None  # noqa: SIM118 - no mapping
            return Features(stored.get_tensor("features"), (time, height, width), deep)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def fill(cache: VisionCache, datasets: Sequence[ChunkDataset], *, workers: int, rank: int, world: int) -> int:
    """Compute the features of every second of the data sets that are not there yet.

    Each second is decoded and goes through the tower once, however many chunks show it. A video that cannot
    be read is passed over: its chunks come up as bad samples.

    Args:
        cache: the cache to fill.
        datasets: data sets of chunks.
        workers: processes that decode and resize meanwhile.
        rank, world: this process does every ``world``-th run of seconds.

    Returns:
        How many seconds were added.
    """
    runs = list(_runs(cache, datasets))[rank::world]
    loader = DataLoader(_RunDataset(runs), batch_size=None, num_workers=workers)
    num_added = 0
    for keys, clips in loader:
        if clips:
            cache.add(keys[: len(clips)], clips)
            num_added += len(clips)
    return num_added


class _RunDataset(Dataset[tuple[list[str], list[Patches]]]):
    """Runs of seconds of videos, decoded."""

    def __init__(self, runs: Sequence[tuple[VideoClips, int, int]]) -> None:
        self._runs = runs

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, index: int) -> tuple[list[str], list[Patches]]:
        video, first, last = self._runs[index]
        try:
            return video.keys(first, last), video.cut(first, last)
        except SourceError:
            return [], []


def _runs(cache: VisionCache, datasets: Sequence[ChunkDataset]) -> Iterator[tuple[VideoClips, int, int]]:
    """Stretches of seconds that chunks show and the cache has not, each second once."""
    for dataset in datasets:
        shown: dict[VideoClips, set[int]] = {}
        for number in range(len(dataset.chunks)):
            try:
                chunk = dataset.chunks[number]
            except SourceError:
                continue
            shown.setdefault(dataset.video(chunk), set()).update(
                range(chunk.start_seconds, chunk.end_seconds)
            )
        for video, seconds in shown.items():
            try:
                wanted = [
                    second for second in sorted(seconds) if cache.missing(video.keys(second, second + 1))
                ]
            except SourceError:
                continue
            yield from ((video, first, last) for first, last in _stretches(wanted))


def _stretches(seconds: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring seconds as (first, last + 1), none longer than ``RUN_SECONDS``."""
    start = 0
    for place in range(1, len(seconds) + 1):
        ends = place == len(seconds) or seconds[place] != seconds[place - 1] + 1
        if ends or place - start == RUN_SECONDS:
            yield seconds[start], seconds[place - 1] + 1
            start = place


def _fingerprint(network: Any, patches: PatchSettings) -> str:
    digest = hashlib.sha256(str(patches).encode())
    for name, weight in _tower_weights(network):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _tower_weights(network: Any) -> list[tuple[str, torch.Tensor]]:
    """By name, in its order; a lone tower's without its own name, as folders of earlier builds have them."""
    parts = vision_parts(network)
    if len(parts) == 1:
        return sorted(parts[0].state_dict().items())
    return sorted(vision_weights(network))
