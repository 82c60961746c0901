import itertools

import numpy as np
import pytest

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.source import ArenaSource
from svlm_cli.errors import SourceError, UsageError
from svlm_cli.media.source import Source

SMALL = "arena:soccer?seed=7&minutes=1&size=168x112"


def test_it_is_a_source():
    with ArenaSource(SMALL) as source:
        assert isinstance(source, Source)
        assert source.name == SMALL
        assert not source.is_live
        assert (source.info.width, source.info.height, source.info.fps) == (168, 112, 24)
        assert (source.info.duration_seconds, source.info.num_frames) == (60, 1440)
        assert source.problems == []


def test_an_endless_match_has_no_length_and_goes_on():
    source = ArenaSource("arena:soccer?seed=7&minutes=inf&size=168x112")
    assert source.info.duration_seconds is None
    assert source.info.num_frames is None
    clip = next(source.clips(2, 1, start_seconds=7200))
    assert (clip.start_seconds, clip.end_seconds, clip.num_frames) == (7200, 7201, 2)


def test_clips_hold_the_frames_on_screen():
    source = ArenaSource(SMALL)
    video = list(itertools.islice(source.frames(), 24 * 5))
    clips = list(source.clips(8, 1, duration_seconds=5))
    assert [clip.index for clip in clips] == [0, 1, 2, 3, 4]
    for clip in clips:
        for k, frame in enumerate(clip.frames):
            assert np.array_equal(frame, video[24 * clip.index + 3 * k])


def test_every_frame_rate_sees_the_same_match():
    source = ArenaSource(SMALL)
    fast = np.concatenate([clip.frames for clip in source.clips(8, 1, 10, 20)])
    slow = np.concatenate([clip.frames for clip in source.clips(2, 1, 10, 20)])
    long = np.concatenate([clip.frames for clip in source.clips(2, 2, 10, 20)])
    later = np.concatenate([clip.frames for clip in source.clips(4, 1, 12, 18)])
    assert np.array_equal(fast[::4], slow)
    assert np.array_equal(slow, long)
    assert np.array_equal(fast[16::2], later)


def test_a_frame_stays_on_screen_until_the_next_one():
    source = ArenaSource("arena:soccer?seed=7&fps=2&size=168x112")
    (clip,) = source.clips(8, 1, 20, 1)
    assert np.array_equal(clip.frames[0], clip.frames[3])
    assert not np.array_equal(clip.frames[3], clip.frames[4])
    assert np.array_equal(clip.frames[4], clip.frames[7])


def test_the_last_step_is_filled_with_the_last_frame():
    source = ArenaSource(SMALL.replace("minutes=1", "minutes=0.025"))
    clips = list(source.clips(4, 1))
    assert len(clips) == 2
    assert np.array_equal(clips[1].frames[2], clips[1].frames[3])


def test_a_start_past_the_end_is_an_error():
    with pytest.raises(SourceError, match="ends at 60 s"):
        ArenaSource(SMALL).clips(2, 1, start_seconds=61)
    with pytest.raises(UsageError):
        ArenaSource("arena:chess")


def test_opening_text_names_the_match():
    words = ArenaSource(SMALL).opening_text().split()
    assert words[2] == "against"
    assert "referee" in words
    assert ArenaSource(parse_address(SMALL)).opening_text() == " ".join(words)
