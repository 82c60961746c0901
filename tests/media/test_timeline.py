from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.media.timeline import Clock, Picture, Playhead, Steps

MILLI = Fraction(1, 1000)
stamps = st.lists(st.integers(0, 5000), min_size=1, max_size=40).map(sorted)


def pictures(ticks: list[int], last_ticks: int = 40) -> list[Picture]:
    """Pictures whose image holds their number."""
    ends = [*ticks[1:], ticks[-1] + last_ticks]
    return [
        Picture(at / 1000, (end - at) / 1000, lambda n=n: np.full((1, 1, 3), n, dtype=np.uint8))
        for n, (at, end) in enumerate(zip(ticks, ends, strict=True))
    ]


def shown(playhead: Playhead, milliseconds: int) -> int:
    image = playhead.image(milliseconds / 1000)
    assert image is not None
    return int(image[0, 0, 0])


@given(stamps, st.lists(st.integers(0, 6000), min_size=1, max_size=30).map(sorted))
def test_playhead_shows_the_last_picture_not_after_the_time(ticks: list[int], times: list[int]) -> None:
    playhead = Playhead(iter(pictures(ticks)))
    for at in times:
        not_after = [n for n, tick in enumerate(ticks) if tick <= at]
        assert shown(playhead, at) == (not_after[-1] if not_after else 0)


@given(stamps, st.integers(0, 6000), st.integers(0, 6000))
def test_looking_ahead_changes_nothing_that_is_shown(ticks: list[int], ahead: int, at: int) -> None:
    playhead = Playhead(iter(pictures(ticks)))
    assert playhead.lasts_beyond(ahead / 1000) == (ticks[-1] + 40 > ahead)
    assert shown(playhead, at) == shown(Playhead(iter(pictures(ticks))), at)


def test_a_time_a_rounding_error_before_a_picture_shows_it() -> None:
    thirds = [Picture(n / 3, 1 / 3, lambda n=n: np.full((1, 1, 3), n, dtype=np.uint8)) for n in range(30)]
    playhead = Playhead(iter(thirds))
    for n in range(30):
        image = playhead.image(float(np.nextafter(n / 3, 0)))
        assert image is not None
        assert image[0, 0, 0] == n


def test_an_end_a_rounding_error_after_a_time_is_that_time() -> None:
    black = np.zeros((1, 1, 3), dtype=np.uint8)
    for number in range(1, 40):
        start, length = number / 30, 1 / 30
        playhead = Playhead(iter([Picture(start, length, lambda: black)]))
        end = start + length
        assert not playhead.lasts_beyond(float(np.nextafter(end, 0)))
        assert not playhead.lasts_beyond(end)
        assert playhead.lasts_beyond(end - 0.001)


def test_a_next_picture_a_rounding_error_away_does_not_end_the_video() -> None:
    black = np.zeros((1, 1, 3), dtype=np.uint8)
    playhead = Playhead(iter([Picture(0.0, 1.0, lambda: black), Picture(1.0, 1.0, lambda: black)]))
    assert playhead.lasts_beyond(float(np.nextafter(1.0, 0)))


def test_a_picture_is_converted_once_while_it_stays() -> None:
    made: list[int] = []

    def rgb() -> np.ndarray:
        made.append(1)
        return np.zeros((1, 1, 3), dtype=np.uint8)

    playhead = Playhead(iter([Picture(0.0, 10.0, rgb)]))
    for at in range(10):
        playhead.image(at)
    assert len(made) == 1


def test_pictures_that_are_never_shown_are_not_converted() -> None:
    def never() -> np.ndarray:
        raise AssertionError("converted for nothing")

    sixty = [Picture(n / 60, 1 / 60, never) for n in range(60)]
    last = Picture(1.0, 1 / 60, lambda: np.zeros((1, 1, 3), dtype=np.uint8))
    assert Playhead(iter([*sixty, last])).image(1.0) is not None


def test_nothing_to_show() -> None:
    playhead = Playhead(iter([]))
    assert playhead.image(0.0) is None
    assert not playhead.lasts_beyond(0.0)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_clock_never_runs_backwards_and_keeps_true_times(jumps: list[int]) -> None:
    clock, at = Clock(MILLI, 40), 12345
    for jump in jumps:
        at += jump
        assert clock.place(at, 40) == (pytest.approx((at - 12345 - jumps[0]) / 1000), 0.04)


def test_clock_without_stamps_goes_on_at_the_pace_so_far() -> None:
    clock = Clock(MILLI, 40)
    assert [clock.place(stamp, 0)[0] for stamp in (None, None, None)] == [0.0, 0.04, 0.08]
    clock = Clock(MILLI, 40)
    assert [clock.place(stamp, 0)[0] for stamp in (500, 520, None, None)] == [0.0, 0.02, 0.04, 0.06]


def test_clock_holds_disorder() -> None:
    clock = Clock(MILLI, 40)
    assert [clock.place(stamp, 40)[0] for stamp in (1000, 1080, 1040, 1120)] == [0.0, 0.08, 0.08, 0.12]


def test_clock_takes_no_late_picture_for_a_reset() -> None:
    clock = Clock(MILLI, 40)
    found = [(clock.place(stamp, 40)[0], clock.is_misplaced) for stamp in (0, 5000, 3890, 5040)]
    assert found == [(0.0, False), (5.0, False), (5.0, True), (5.04, False)]


@pytest.mark.parametrize(
    ("duration", "count"), [(0.02, 1), (1.0, 1), (1.0000001, 1), (1.01, 2), (2.9, 3), (3.0, 3)]
)
def test_steps_cover_the_duration(duration: float, count: int) -> None:
    assert Steps(2, 1.0, 5.0, duration).num_steps == count


def test_steps_look_at_k_over_fps_and_not_past_the_end() -> None:
    assert Steps(8, 0.5, 3.0).times(3.5) == [3.5, 3.625, 3.75, 3.875]
    assert Steps(4, 1.0, 0.0, 1.5).times(1.0) == pytest.approx([1.0, 1.25, 1.5, 1.5], abs=1e-5)
    assert max(Steps(4, 1.0, 0.0, 1.5).times(1.0)) < 1.5 - 1e-6


@pytest.mark.parametrize(
    "values", [(3, 0.5), (0, 1), (2, 0), (0.3, 1), (2, 1, -1), (2, 1, 0, 0), (2, 1, 0, -3)]
)
def test_steps_refuse_what_makes_no_sense(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"fps|watch"):
        Steps(*values)
