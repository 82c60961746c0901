"""Pictures taken away on purpose: what does a score owe to what the model sees?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from enum import StrEnum
from itertools import count, islice
from random import Random
from typing import Self

import numpy as np

from svlm_cli.media.source import Guide, Source, VideoInfo
from svlm_cli.types import Clip

BLOCK_SECONDS = 32
LEAST_MOVE_SECONDS = 2
MAX_SHUFFLES = 1000


class Frames(StrEnum):
    """What the model is shown."""

    SHOWN = "shown"
    SHUFFLED = "shuffled"
    BLANK = "blank"


def altered(source: Source, frames: Frames, seed: int) -> Source:
    """The source with its pictures as ``frames`` says; times and everything else stay.

    Args:
        seed: the seed of the shuffling.
    """
    if frames is Frames.SHOWN:
        return source
    return _Altered(source, _blank if frames is Frames.BLANK else lambda clips: _shuffled(clips, seed))


def shuffled_order(num_clips: int, random: Random) -> list[int]:
    """Places of clips, each moved by ``LEAST_MOVE_SECONDS`` or more where so few clips allow it."""
    order = list(range(num_clips))
    for _ in range(MAX_SHUFFLES):
        random.shuffle(order)
        if all(abs(place - clip) >= LEAST_MOVE_SECONDS for place, clip in enumerate(order)):
            break
    return order


def _blank(clips: Iterator[Clip]) -> Iterator[Clip]:
    for clip in clips:
        yield replace(clip, frames=np.zeros_like(clip.frames))


def _shuffled(clips: Iterator[Clip], seed: int) -> Iterator[Clip]:
    """Each second shows another second of its block, so that every picture is seen once."""
    for number in count():
        block = list(islice(clips, BLOCK_SECONDS))
        if not block:
            return
        order = shuffled_order(len(block), Random(f"{seed} {number}"))
        for clip, shown in zip(block, order, strict=True):
            yield replace(clip, frames=block[shown].frames)


class _Altered:
    """Implements ``media.source.Source`` over another source."""

    def __init__(self, source: Source, change: Callable[[Iterator[Clip]], Iterator[Clip]]) -> None:
        self._source = source
        self._change = change

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def info(self) -> VideoInfo:
        return self._source.info

    @property
    def is_live(self) -> bool:
        return self._source.is_live

    @property
    def problems(self) -> list[str]:
        return self._source.problems

    def opening_text(self, start_seconds: float) -> str:
        return self._source.opening_text(start_seconds)

    def clips(
        self,
        fps: float,
        step_seconds: float,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        guide: Guide | None = None,
    ) -> Iterator[Clip]:
        clips = self._source.clips(fps, step_seconds, start_seconds, duration_seconds, guide)
        with closing(clips):  # type: ignore[type-var]
            yield from self._change(clips)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
