"""Chunks of real videos as training samples, read and written as streaming reads and writes them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path

from torch.utils.data import Dataset

from svlm_cli.data.chunks import Chunk, ChunkFile
from svlm_cli.data.sample import Features, FeatureSource, Sample, SampleWriter, Turn
from svlm_cli.errors import SourceError
from svlm_cli.media.reader import open_video
from svlm_cli.model.patches import Patches, PatchSettings, clip_to_patches
from svlm_cli.model.positions import time_stride
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.window import WindowLimits, middle_cut

STEP_SECONDS = 1.0


class ChunkDataset(Dataset[Sample]):
    """Samples by number: every chunk once in an epoch, in an order drawn anew for each.

    Args:
        writer: of prompts, for the model's tokenizer.
        patches: how frames become patches.
        tokens_per_second: of the model's time positions.
        folder: of the data set; videos are named relative to it.
        name: of the pair of files, e.g. ``train_s12w24``.
        fps: frames per second.
        limits: sink and window of the previous text.
        seed: of the order.
        num_samples: length; as many epochs as it takes.
        features: from a name and a function that cuts the clips of a chunk, what the vision tower makes of
            them; None to train on frames.

    Raises:
        SourceError: the data set cannot be read or is empty.
    """

    def __init__(
        self,
        writer: PromptWriter,
        patches: PatchSettings,
        tokens_per_second: float,
        *,
        folder: Path,
        name: str,
        fps: float,
        limits: WindowLimits,
        seed: int,
        num_samples: int,
        features: FeatureSource | None = None,
    ) -> None:
        self._writer = writer
        self._patches = patches
        self._folder = folder
        self._chunks = ChunkFile(folder, name)
        if not len(self._chunks):
            raise SourceError(f"{folder} holds no chunks named {name}")
        self._fps = fps
        self._limits = limits
        self._seed = seed
        self._num_samples = num_samples
        self._features = features
        stride = time_stride(fps, patches.temporal_patch_size, tokens_per_second)
        self._samples = SampleWriter(writer, patches.merge_size, stride)
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> Sample:
        """Read one chunk.

        Raises:
            SourceError: its line or its video cannot be read.
        """
        epoch, place = divmod(index, len(self._chunks))
        return self.sample(self._chunks[self._order(epoch)[place]])

    def sample(self, chunk: Chunk) -> Sample:
        """A chunk with its frames."""
        lines = chunk.lines
        frames = self._frames(chunk)
        if len(frames) < len(lines):
            raise SourceError(f"{chunk.video} ends {len(lines) - len(frames)} s before its chunk does")
        turns = [
            Turn(float(second), float(second + 1), line, patches)
            for second, line, patches in zip(count(chunk.start_seconds), lines, frames, strict=False)
        ]
        kept = middle_cut(len(self._writer.encode(chunk.previous_text)), self._limits)
        return self._samples.write(chunk.previous_text, turns, kept=kept, query=chunk.query)

    def _frames(self, chunk: Chunk) -> Sequence[Patches | Features]:
        """The seconds of a chunk as the model takes them."""
        path = self._folder / chunk.video

        def cut() -> list[Patches]:
            with open_video(path) as video:
                duration = float(chunk.end_seconds - chunk.start_seconds)
                clips = video.clips(self._fps, STEP_SECONDS, float(chunk.start_seconds), duration)
                return [clip_to_patches(clip.frames, self._patches) for clip in clips]

        if self._features is None:
            return cut()
        if not path.is_file():
            raise SourceError(f"{path} is not there")
        file = path.stat()
        content = f"{path.resolve()} {file.st_size} {file.st_mtime_ns}"
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return self._features(f"{digest}-{chunk.start_seconds}-{chunk.end_seconds}-{self._fps:g}", cut)

    def _draw_order(self, epoch: int) -> list[int]:
        order = list(range(len(self._chunks)))
        random.Random(f"{self._seed} epoch {epoch}").shuffle(order)
        return order
