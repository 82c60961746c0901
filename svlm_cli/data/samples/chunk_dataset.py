"""Chunks of real videos as training samples, read and written as streaming reads and writes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from svlm_cli.data.chunks.chunk import Chunk, ChunkFile
from svlm_cli.data.samples.first_turn import joined_turns
from svlm_cli.data.samples.sample import (
    BadSample,
    Features,
    FeatureStore,
    Sample,
    SampleWriter,
    Turn,
    stored_features,
)
from svlm_cli.digest import digest
from svlm_cli.errors import SourceError
from svlm_cli.media.file.reader import open_video
from svlm_cli.model.family.livecc import steps_of_first_turn
from svlm_cli.model.patches import Patches, PatchSettings, clip_to_patches
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits, middle_cut
from svlm_cli.settings import VIEWING, PromptFormat, Viewing

STEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class VideoClips:
    """Clips of one second of a video, cut for a model.

    Args:
        path: the path of the video.
        fps: frames per second.
        patches: how frames become patches.
        viewing: how pictures are read and shown.
    """

    path: Path
    fps: float
    patches: PatchSettings
    viewing: Viewing = VIEWING

    def cut(self, first_second: int, last_second: int) -> list[Patches]:
        """Clips of the seconds from ``first_second`` to before ``last_second``; fewer where the video ends.

        Raises:
            SourceError: the video cannot be read.
        """
        with open_video(self.path, viewing=self.viewing) as video:
            clips = video.clips(
                self.fps, STEP_SECONDS, float(first_second), float(last_second - first_second)
            )
            return [clip_to_patches(clip.frames, self.patches) for clip in clips]

    def keys(self, first_second: int, last_second: int) -> list[str]:
        """A name for each of these clips, for ``FeatureStore``; another one once the file has changed.

        Raises:
            SourceError: the video is not there.
        """
        try:
            file = self.path.stat()
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from error
        content = f"{self.path.resolve()} {file.st_size} {file.st_mtime_ns}"
        if not self.viewing.is_raw:
            content += f" {self.viewing.pictures} {self.viewing.deinterlace}"
        own = digest(content)
        return [f"{own}-{self.fps:g}-{second}" for second in range(first_second, last_second)]


class ChunkDataset(Dataset[Sample]):
    """Samples by number: every chunk once in an epoch, in an order drawn anew for each.

    In place of a chunk that cannot be read stands the next one of the epoch's order that can; the sample says
    so (``Sample.bad``). Where none of ``num_tries`` can, the sample has no tokens to train on.

    Args:
        writer: what writes prompts, for the model's tokenizer.
        patches: how frames become patches.
        tokens_per_second: rate of the model's time positions; None where the family counts temporal patches.
        folder: the folder of the data set; videos are named relative to it.
        name: the name of the pair of files, e.g. ``train_s12w24``.
        fps: frames per second.
        limits: sink and window of the previous text.
        seed: the seed of the order; None for the order of the file.
        num_samples: length, as many epochs as it takes; None for one epoch.
        features: keeps what the vision tower makes of each second; None to train on frames.
        num_tries: chunks to try for one sample.
        viewing: how pictures are read and shown.
        prompt_format: how samples are written; not ``auto``.

    Raises:
        SourceError: the data set cannot be read or is empty.
    """

    def __init__(
        self,
        writer: PromptWriter,
        patches: PatchSettings,
        tokens_per_second: float | None,
        *,
        folder: Path,
        name: str,
        fps: float,
        limits: WindowLimits,
        seed: int | None = None,
        num_samples: int | None = None,
        features: FeatureStore | None = None,
        num_tries: int = 1,
        viewing: Viewing = VIEWING,
        prompt_format: PromptFormat = PromptFormat.SVLM,
    ) -> None:
        self._writer = writer
        self._patches = patches
        self.folder = folder
        self.chunks = ChunkFile(folder, name)
        if not len(self.chunks):
            raise SourceError(f"{folder} holds no chunks named {name}")
        self._source = f"{folder}/{name}"
        self._fps = fps
        self._limits = limits
        self._seed = seed
        self._num_samples = len(self.chunks) if num_samples is None else num_samples
        self._features = features
        self._num_tries = num_tries
        self._viewing = viewing
        stride = patches.stride(fps, tokens_per_second)
        self._samples = SampleWriter(writer, patches.merge_size, stride, prompt_format)
        self._num_first = steps_of_first_turn(prompt_format, STEP_SECONDS)
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> Sample:
        epoch, place = divmod(index, len(self.chunks))
        order = self._order(epoch)
        bad: list[BadSample] = []
        for tried in range(min(self._num_tries, len(order))):
            number = int(order[(place + tried) % len(order)])
            try:
                return replace(self.sample(self.chunks[number]), bad=tuple(bad))
            except SourceError as error:
                bad.append(BadSample(self._source, number, str(error)))
        return replace(self._samples.write("", []), bad=tuple(bad))

    def sample(self, chunk: Chunk) -> Sample:
        """A chunk with its frames.

        Raises:
            SourceError: its video cannot be read or ends before the chunk does.
        """
        try:
            return self._whole_sample(chunk)
        except SourceError:
            if (shorter := chunk.without_last()) is None:
                raise
            return self._whole_sample(shorter)

    def _whole_sample(self, chunk: Chunk) -> Sample:
        lines = chunk.lines
        frames = self._frames(chunk)
        if len(frames) < len(lines):
            raise SourceError(f"{chunk.video} ends {len(lines) - len(frames)} s before its chunk does")
        turns = [
            Turn(
                float(second),
                float(second + 1),
                line,
                patches,
                question=" ".join(each.question for each in chunk.questions if each.second == second),
                reply=" ".join(each.answer for each in chunk.questions if each.second == second),
            )
            for second, line, patches in zip(count(chunk.start_seconds), lines, frames, strict=False)
        ]
        kept = middle_cut(len(self._writer.encode_plain(chunk.previous_text)), self._limits)
        turns = joined_turns(turns, self._num_first)
        return self._samples.write(chunk.previous_text, turns, kept=kept, query=chunk.query)

    def video(self, chunk: Chunk) -> VideoClips:
        """The video of a chunk."""
        return VideoClips(self.folder / chunk.video, self._fps, self._patches, self._viewing)

    def _frames(self, chunk: Chunk) -> Sequence[Patches | Features]:
        """The seconds of a chunk as the model takes them."""
        video, start, end = self.video(chunk), chunk.start_seconds, chunk.end_seconds
        if self._features is None:
            return video.cut(start, end)
        keys = video.keys(start, end)
        return stored_features(
            self._features, keys, lambda first, last: video.cut(start + first, start + last)
        )

    def _draw_order(self, epoch: int) -> np.ndarray:
        order = np.arange(len(self.chunks))
        if self._seed is not None:
            dice = random.Random(f"{self._seed} epoch {epoch}")
            np.random.default_rng(dice.getrandbits(64)).shuffle(order)
        return order
