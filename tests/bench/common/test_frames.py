from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from random import Random

import numpy as np
import pytest

from svlm_cli.arena.source import ArenaSource
from svlm_cli.bench.common.frames import BLOCK_SECONDS, Frames, altered, shuffled_order
from svlm_cli.media.source import Source

ADDRESS = "arena:soccer?seed=5&minutes=1&size=84x56"


@pytest.fixture
def source() -> Iterator[ArenaSource]:
    with ArenaSource(ADDRESS) as opened:
        yield opened


def test_shown_is_the_source_itself(source: ArenaSource) -> None:
    assert altered(source, Frames.SHOWN, 5) is source


def test_blank_keeps_times_and_shapes(source: ArenaSource) -> None:
    blank = altered(source, Frames.BLANK, 5)
    assert isinstance(blank, Source)
    for clip, plain in zip(blank.clips(2, 1), source.clips(2, 1), strict=True):
        assert not clip.frames.any()
        assert clip.frames.shape == plain.frames.shape
        assert (clip.index, clip.start_seconds, clip.end_seconds) == (
            plain.index,
            plain.start_seconds,
            plain.end_seconds,
        )


def test_shuffled_shows_every_picture_once_elsewhere(source: ArenaSource) -> None:
    plain = list(source.clips(2, 1))
    shuffled = list(altered(source, Frames.SHUFFLED, 5).clips(2, 1))
    assert [clip.start_seconds for clip in shuffled] == [clip.start_seconds for clip in plain]
    for start in range(0, len(plain), BLOCK_SECONDS):
        block = slice(start, start + BLOCK_SECONDS)
        assert sorted(clip.frames.tobytes() for clip in plain[block]) == sorted(
            clip.frames.tobytes() for clip in shuffled[block]
        )
    unmoved = [np.array_equal(one.frames, two.frames) for one, two in zip(plain, shuffled, strict=True)]
    assert not any(unmoved[:-1])
    again = altered(source, Frames.SHUFFLED, 5).clips(2, 1)
    assert all(np.array_equal(one.frames, two.frames) for one, two in zip(shuffled, again, strict=True))


@pytest.mark.parametrize("num_clips", [5, 8, 32])
def test_every_clip_moves_two_seconds_or_more(num_clips: int) -> None:
    for seed in range(20):
        order = shuffled_order(num_clips, Random(seed))
        assert sorted(order) == list(range(num_clips))
        assert all(abs(place - clip) >= 2 for place, clip in enumerate(order))


def test_too_few_clips_to_move_are_still_all_there() -> None:
    assert sorted(shuffled_order(2, Random(0))) == [0, 1]


def test_closing_it_closes_the_source(source: ArenaSource) -> None:
    clips = altered(source, Frames.BLANK, 5).clips(2, 1)
    with closing(clips):  # type: ignore[type-var]
        next(clips)
    assert list(clips) == []
