from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.data.words.annealing import dense_clips
from svlm_cli.data.words.transcript import TimedWord

GAPS = st.one_of(st.floats(0, 0.5), st.floats(0, 4))


def row(gaps: list[float], length: float) -> list[TimedWord]:
    words, time = [], 0.0
    for gap in gaps:
        words.append(TimedWord("x", time + gap, time + gap + length))
        time += gap + length
    return words


@given(st.lists(GAPS, max_size=400), st.floats(0.05, 0.6))
def test_clips_are_as_the_paper_wants_them(gaps: list[float], length: float) -> None:
    words = row(gaps, length)
    clips = dense_clips(words)
    assert all(a.end_seconds <= b.start_seconds for a, b in pairwise(clips))
    for clip in clips:
        seconds = clip.end_seconds - clip.start_seconds
        inside = [word for word in words if clip.start_seconds < word.end_seconds <= clip.end_seconds]
        assert 16 <= seconds <= 64
        assert abs(len(inside) - clip.num_words) <= 1  # an end on the border itself
        assert clip.num_words >= 2 * seconds
        assert all(b.start_seconds - a.end_seconds <= 3.0 for a, b in pairwise(inside))
        assert clip.longest_silence_seconds <= 3.001


def test_a_long_stretch_is_cut_evenly_and_a_pause_parts() -> None:
    words = row([0.1] * 500, 0.3)  # 200 s
    assert [(c.start_seconds, c.end_seconds) for c in dense_clips(words)] == [
        (0, 50),
        (50, 100),
        (100, 150),
        (150, 200),
    ]
    two = [*words[:100], *(TimedWord("y", w.start_seconds + 5, w.end_seconds + 5) for w in words[100:150])]
    assert [(c.start_seconds, c.end_seconds) for c in dense_clips(two)] == [(0, 40), (45, 65)]


def test_words_without_length_are_no_clip() -> None:
    assert dense_clips([TimedWord("x", 2.0, 2.0)]) == ()


def test_sparse_or_short_speech_gives_none() -> None:
    assert dense_clips(row([1.0] * 100, 0.3)) == ()
    assert dense_clips(row([0.1] * 30, 0.3)) == ()
    assert dense_clips([]) == ()
