"""What a frozen vision tower makes of training clips, kept on disk for other chunks and epochs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from svlm_cli.data.sample import Features
from svlm_cli.files import whole_file
from svlm_cli.model.patches import Patches, PatchSettings


class VisionCache:
    """Features by key, computed when first asked for.

    The folder's name holds a fingerprint of the tower's weights and of how frames are cut, so that features
    of another tower or of other pixels are never taken for these.

    Args:
        folder: parent of the cache's own folder.
        network: a Qwen2-VL or Qwen2.5-VL whose vision tower will not change.
        patches: how frames are cut.
    """

    def __init__(self, folder: Path, network: Any, patches: PatchSettings) -> None:
        self._network = network
        self._folder = folder / f"vision-{_fingerprint(network.model.visual, patches)}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def features(self, key: str, cut: Callable[[], Sequence[Patches]]) -> list[Features]:
        """Features of the clips under ``key``.

        Args:
            key: names the clips and how they were cut; part of a file's name.
            cut: makes the clips, all of one grid; called only where the features are not known yet.
        """
        path = self._folder / f"{key}.npz"
        if not path.is_file():
            self._write(path, cut())
        with np.load(path) as stored:
            grid = tuple(stored["grid_thw"].tolist())
            return [Features(torch.from_numpy(values), grid) for values in stored["features"]]

    @torch.inference_mode()
    def _write(self, path: Path, clips: Sequence[Patches]) -> None:
        pixels = torch.cat([clip.pixel_values for clip in clips])
        grids = torch.tensor([clip.grid_thw for clip in clips])
        device = self._network.device
        with torch.autocast(device.type, enabled=False):
            found = self._network.get_video_features(pixels.to(device), grids.to(device)).pooler_output
        with whole_file(path) as partial:
            features = torch.stack(list(found)).float().cpu().numpy()
            np.savez(partial, features=features, grid_thw=grids[0].numpy())


def add_features(network: Any) -> None:
    """Let ``network`` take ``video_features`` (rows, d) in place of pixels, through a forward pre-hook.

    Row k stands where the k-th ``<|video_pad|>`` of ``input_ids`` is.
    """
    video_id = network.config.video_token_id

    def embed(module: Any, _arguments: Any, inputs: dict[str, Any]) -> Any:
        features = inputs.pop("video_features", None)
        if features is None:
            return None
        ids = inputs.pop("input_ids")
        embeddings = module.get_input_embeddings()(ids)
        mask = (ids == video_id)[..., None].expand_as(embeddings)
        inputs["inputs_embeds"] = embeddings.masked_scatter(mask, features.to(embeddings.dtype))
        return (), inputs

    network.register_forward_pre_hook(embed, with_kwargs=True)


def _fingerprint(tower: Any, patches: PatchSettings) -> str:
    digest = hashlib.sha256(str(patches).encode())
    for name, weight in sorted(tower.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
