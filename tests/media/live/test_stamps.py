"""Packets of live sources placed in stream time, against a simulated broadcast whose true times are known."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.media.live.stamps import Stamps

FRAME = 0.04


def broadcast(seconds: float, clock_starts: float, wall_starts: float) -> list[tuple[float, float]]:
    """(stamp, arrival) of each packet."""
    times = [k * FRAME for k in range(round(seconds / FRAME))]
    return [(clock_starts + t, wall_starts + t) for t in times]


def places(stamps: Stamps, packets: list[tuple[float | None, float]]) -> list[float]:
    return [stamps.place(stamp, arrived).decode_seconds for stamp, arrived in packets]


@given(st.floats(-1e6, 1e6), st.lists(st.floats(0, 0.5), min_size=1, max_size=40))
def test_a_steady_source_is_believed_whenever_its_packets_arrive(start, delays):
    stamps = Stamps(FRAME)
    sent = broadcast(4, start, 0)
    delayed = [(stamp, t + delay) for (stamp, t), delay in zip(sent, itertools.cycle(delays), strict=False)]
    arrived = [(stamp, max(t for _, t in delayed[: k + 1])) for k, (stamp, _) in enumerate(delayed)]
    found = places(stamps, arrived)
    assert found == pytest.approx([k * FRAME for k in range(len(sent))], abs=1e-6)


@given(st.floats(-1e5, 1e5).filter(lambda jump: jump < -1.1 or jump > 11))
def test_a_jump_of_the_clock_leaves_no_gap(jump):
    stamps = Stamps(FRAME)
    before = broadcast(2, 100.0, 0)
    after = broadcast(2, 102.0 + jump, 2)
    found = [stamps.place(*packet) for packet in [*before, *after]]
    assert [placed.decode_seconds for placed in found] == pytest.approx(
        [k * FRAME for k in range(100)], abs=1e-6
    )
    told = [placed.jump_seconds for placed in found if placed.jump_seconds is not None]
    assert told == [pytest.approx(jump + FRAME, abs=1e-6)]


@given(st.floats(1, 100), st.sampled_from([0.0, 3.0, 1e5]), st.floats(0, 3))
def test_after_a_loss_time_has_gone_on(gap, new_clock, noticed_late):
    """By its own clock where that goes on, by the wall's where the source begins anew."""
    stamps = Stamps(FRAME)
    before = broadcast(5, 1000.0, 50.0)
    before[-1] = (before[-1][0], before[-1][1] + min(noticed_late, gap))
    places(stamps, before)
    stamps.reconnect(FRAME, sends_again=False)
    starts = new_clock or 1005.0 + gap
    found = places(stamps, broadcast(1, starts, 55.0 + gap))
    assert found == pytest.approx([5 + gap + k * FRAME for k in range(25)], abs=0.1)


def test_a_clock_below_its_first_stamp_has_fallen_and_not_leapt():
    """libav adds the period of 33 bits to it; over the end of the period a clock runs on."""
    wrap = 2**33 / 90_000
    for seed in range(40):
        dice = Random(f"fall {seed}")
        first, behind = dice.uniform(100, 90_000), dice.uniform(0, 30)
        stamps = Stamps(FRAME, wrap_seconds=wrap)
        stamps.place(first, 0.0)
        assert stamps.place(behind + wrap, 0.1).jump_seconds == pytest.approx(behind - first)
        assert stamps.place(behind + wrap + FRAME, 0.14).jump_seconds is None
        near, hole = dice.uniform(0.1, 10), dice.uniform(11, 30)
        stamps = Stamps(FRAME, wrap_seconds=wrap)
        stamps.place(wrap - near, 0.0)
        assert stamps.place(wrap - near + hole, 0.1).jump_seconds == pytest.approx(hole)


def test_what_is_sent_again_keeps_its_place():
    stamps = Stamps(FRAME)
    places(stamps, broadcast(10, 7.0, 0.0))
    stamps.reconnect(FRAME, sends_again=True)
    resent = [(stamp, 14.0 + 0.001 * k) for k, (stamp, _) in enumerate(broadcast(8, 13.0, 0))]
    assert places(stamps, resent) == pytest.approx([6 + k * FRAME for k in range(200)], abs=1e-6)


def test_a_playlist_that_counts_anew_is_found_out():
    """Its stamps lie behind, but it takes its time over them: it is not sending again what was there."""
    stamps = Stamps(FRAME)
    places(stamps, broadcast(20, 0.0, 0.0))
    stamps.reconnect(FRAME, sends_again=True)
    found = places(stamps, broadcast(6, 0.0, 24.0))
    assert found[-1] == pytest.approx(24 + 6 - FRAME, abs=0.1)


def test_packets_without_stamps_follow_each_other():
    stamps = Stamps(FRAME)
    assert places(stamps, [(None, 0.1 * k) for k in range(5)]) == pytest.approx([k * FRAME for k in range(5)])
    assert stamps.place(None, 9.4).decode_seconds == pytest.approx(9.4)


def test_a_short_step_back_is_disorder():
    stamps = Stamps(FRAME)
    assert places(stamps, [(5.0, 0.0), (5.08, 0.04), (5.04, 0.08), (5.12, 0.12)]) == pytest.approx(
        [0, 0.08, 0.04, 0.12]
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_file_sent_again_keeps_its_place_however_long_it_is(seed: int) -> None:
    """And however long that takes."""
    dice = Random(seed)
    stamps = Stamps(FRAME, runs_by_clock=False)
    length = dice.randrange(100, 9000)
    for number in range(length):
        stamps.place(float(number), number / 1000)
    stamps.reconnect(FRAME, sends_again=True)
    for number in range(length + 50):
        placed = stamps.place(float(number), length / 1000 + 1 + number * dice.uniform(0.01, 0.02))
        assert placed.decode_seconds == pytest.approx(number)
