"""The play clock against a simulated stream whose every moment is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.settings import OnLag, Pace, StreamSettings
from svlm_cli.stream.pacing import DROP_AFTER_SECONDS, WAIT_AT_MOST_SECONDS, PlayClock, SaveTurns


class Now:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def realtime(on_lag: OnLag = OnLag.DROP, step_seconds: float = 1.0) -> StreamSettings:
    return StreamSettings(
        fps=4, pace=Pace.REALTIME, on_lag=on_lag, step_seconds=step_seconds, vision_window=4 * step_seconds
    )


def test_at_full_speed_nothing_is_ever_due() -> None:
    now = Now()
    clock = PlayClock(StreamSettings(), 0.0, now)
    now.seconds += 1e6
    assert clock.behind(3.0) == 0.0
    assert clock.next_start(3.0) == 3.0


def speak(clock: PlayClock, now: Now, seconds_per_step: list[float], step_seconds: float) -> list[tuple]:
    """(start, lag, skipped) of every step of a source that is always ready, spoken at these costs."""
    steps, start = [], 0.0
    for cost in seconds_per_step:
        chosen = clock.next_start(start)
        end = chosen + step_seconds
        now.seconds = max(now.seconds, now.seconds - clock.behind(end))  # wait until it is over
        now.seconds += cost
        steps.append((chosen, clock.behind(end), chosen - start))
        start = end
    return steps


COSTS = st.lists(st.floats(0.01, 3.0), min_size=1, max_size=80)


@settings(max_examples=60, deadline=None)
@given(COSTS, st.sampled_from([0.5, 1.0, 2.0]))
def test_dropping_bounds_the_lag(costs: list[float], step_seconds: float) -> None:
    now = Now()
    clock = PlayClock(realtime(step_seconds=step_seconds), 0.0, now)
    steps = speak(clock, now, costs, step_seconds)
    may_lag = max(DROP_AFTER_SECONDS, step_seconds)
    for cost, (start, lag, skipped) in zip(costs, steps, strict=True):
        assert lag <= may_lag + cost + 1e-6
        assert (start / step_seconds) % 1 == pytest.approx(0, abs=1e-6)
        assert skipped >= 0


@settings(max_examples=60, deadline=None)
@given(COSTS)
def test_waiting_queues_up_to_half_a_minute(costs: list[float]) -> None:
    now = Now()
    clock = PlayClock(realtime(OnLag.WAIT), 0.0, now)
    steps = speak(clock, now, costs, 1.0)
    for cost, (_, lag, skipped) in zip(costs, steps, strict=True):
        assert lag <= WAIT_AT_MOST_SECONDS + cost + 1e-6
        if skipped:
            assert skipped > WAIT_AT_MOST_SECONDS - 3.0


def test_a_model_that_keeps_up_skips_nothing() -> None:
    now = Now()
    steps = speak(PlayClock(realtime(), 0.0, now), now, [0.9] * 200, 1.0)
    assert [start for start, _, _ in steps] == list(range(200))
    assert max(lag for _, lag, _ in steps) == pytest.approx(0.9)


def test_a_source_that_is_late_holds_the_clock() -> None:
    """What the source makes late is no lag of the model's: nothing is skipped for it."""
    now = Now()
    clock = PlayClock(realtime(OnLag.WAIT), 0.0, now)
    now.seconds += 8.0
    clock.hold(1.0, 8.0)
    assert clock.behind(1.0) == pytest.approx(0.0)
    assert clock.next_start(1.0) == 1.0


def test_what_was_held_for_is_not_what_the_model_took() -> None:
    now = Now()
    clock = PlayClock(realtime(OnLag.WAIT), 0.0, now)
    now.seconds += 8.0
    clock.hold(1.0, 3.0)
    assert clock.behind(1.0) == pytest.approx(4.0)


def test_a_hiccup_is_made_up_once_the_source_is_ahead() -> None:
    now = Now()
    clock = PlayClock(realtime(), 0.0, now)
    began = now.seconds
    now.seconds += 1.0
    clock.hold(1.0, math.inf)  # the first clip sets the clock
    lags = []
    hiccup = 5.0
    for index in range(1, 60):
        end = index + 1.0
        arrives = began + end + (hiccup if index == 10 else 0.0)
        waited = max(0.0, arrives - now.seconds)
        now.seconds = max(now.seconds, arrives)
        newest = now.seconds - began  # all that was held up comes at once
        clock.hold(end, waited if index == 10 else 0.0, newest - end)
        now.seconds = max(now.seconds, now.seconds - clock.behind(end))
        lags.append(now.seconds - began - end)
        assert clock.next_start(end) == end  # and nothing is left out for it
    assert lags[10] > 4
    assert lags[-1] == pytest.approx(lags[0], abs=0.6)


def test_a_source_that_never_is_ahead_stays_held() -> None:
    """A pipe that was stopped for a while: what follows comes that much later for good."""
    now = Now()
    clock = PlayClock(realtime(), 0.0, now)
    now.seconds += 30
    clock.hold(1.0, 30.0)
    for index in range(2, 100):
        now.seconds += 1
        clock.hold(float(index), 1.0, 0.0)
        assert clock.next_start(index) == index


@pytest.mark.parametrize("num", [1, 5, 40, 256])
@pytest.mark.parametrize("every", [1.0, 60.0])
def test_states_of_many_are_copied_in_turns(num, every) -> None:
    """All begin in one second, ask once a second, and are saved nearly as often as they want to be."""
    now = Now()
    turns = SaveTurns(now)
    last, saved = dict.fromkeys(range(num), now.seconds), dict.fromkeys(range(num), 0)
    most = 0
    for _ in range(round(10 * every)):
        now.seconds += 1.0
        at_once = [each for each in last if now.seconds - last[each] >= every and turns.take(every)]
        for each in at_once:
            last[each] = now.seconds
            saved[each] += 1
        most = max(most, len(at_once))
    assert most <= 1 + 256 / every
    assert min(saved.values()) >= 9 - (num > 200)
    fresh = SaveTurns(now)
    assert all(fresh.take(0.0) for _ in range(1000)), "each of its steps"


def test_who_saves_once_an_hour_is_not_waited_for() -> None:
    now = Now()
    turns = SaveTurns(now)
    assert turns.take(3600.0)
    now.seconds += 1.0
    assert turns.take(2.0)
