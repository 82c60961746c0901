"""Chunks of real videos as training samples, read and written as streaming reads and writes them."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

from torch.utils.data import Dataset

from svlm_cli.data.chunks import Chunk, ChunkFile
from svlm_cli.data.sample import Sample, SampleWriter, Turn
from svlm_cli.errors import SourceError
from svlm_cli.media.reader import open_video
from svlm_cli.model.patches import PatchSettings, clip_to_patches
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
        turns = []
        with open_video(self._folder / chunk.video) as video:
            duration = float(chunk.end_seconds - chunk.start_seconds)
            clips = video.clips(self._fps, STEP_SECONDS, float(chunk.start_seconds), duration)
            lines = chunk.lines
            for clip, line in zip(clips, lines, strict=False):
                patches = clip_to_patches(clip.frames, self._patches)
                turns.append(Turn(clip.start_seconds, clip.end_seconds, line, patches))
        if len(turns) < len(lines):
            raise SourceError(f"{chunk.video} ends {len(lines) - len(turns)} s before its chunk does")
        kept = middle_cut(len(self._writer.encode(chunk.previous_text)), self._limits)
        return self._samples.write(chunk.previous_text, turns, kept=kept, query=chunk.query)

    def _draw_order(self, epoch: int) -> list[int]:
        order = list(range(len(self._chunks)))
        random.Random(f"{self._seed} epoch {epoch}").shuffle(order)
        return order
