"""Where everything is: a function of the match and the time, and of nothing else."""

import math
import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.moments import Kind, Travel
from svlm_cli.arena.plane import PITCH_X, PITCH_Y
from svlm_cli.arena.setup import draw_setup, team_of
from svlm_cli.arena.timeline import Timeline
from svlm_cli.arena.truth import truth


def facts(scene):
    return scene.places.tobytes(), scene.ball, scene.holder, scene.travel, scene.trail, scene.marks


def test_a_scene_does_not_depend_on_what_was_asked_before():
    setup = draw_setup("soccer", 5)
    times = [k / 8 for k in range(60 * 8)] + [1000.0, 2000.5]
    in_order = Timeline(setup)
    expected = [facts(in_order.scene(seconds)) for seconds in times]
    order = list(range(len(times)))
    random.Random(0).shuffle(order)
    shuffled = Timeline(setup)
    for index in order[:40]:
        assert facts(shuffled.scene(times[index])) == expected[index]
    late = Timeline(setup)
    assert facts(late.scene(2000.5)) == expected[-1]


def test_before_the_start_there_is_nothing():
    with pytest.raises(ValueError, match="begins at 0 s"):
        Timeline(draw_setup("soccer", 0)).scene(-0.5)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**9))
def test_a_frame_at_the_half_second_shows_what_is_spoken_and_the_one_before_does_not(seed):
    """For 2 FPS: frames at s and s + 1/2 of the second in which a line is spoken."""
    timeline = Timeline(draw_setup("soccer", seed))
    marked = {Kind.KICK_OFF, Kind.STEAL, Kind.GOAL, Kind.FOUL, Kind.CARD, Kind.FREE_KICK, Kind.SCORE}
    for record in truth(ArenaAddress(seed=seed, minutes=8)):
        before, after = timeline.scene(record.second), timeline.scene(record.second + 0.5)
        event = record.spoken
        expected = [event.kind] if event and event.kind in marked else []
        assert before.marks == ()
        assert [mark.kind.value for mark in after.marks] == expected
        if event is None:
            assert not (before.travel is Travel.PASS and after.holder is not None)
        elif event.kind == "pass":
            assert (before.travel, after.holder) == (Travel.PASS, event.player)
            assert before.trail is not None
        elif event.kind == "steal":
            assert after.holder == event.player
            assert team_of(before.holder) != team_of(after.holder)
        elif event.kind == "shot":
            assert (before.holder, after.travel) == (event.player, Travel.SHOT)
        elif event.kind in ("save", "goal"):
            assert before.travel is Travel.SHOT
            assert after.holder == event.player if event.kind == "save" else abs(after.ball[0]) > PITCH_X
        elif event.kind == "score":
            assert abs(after.ball[1]) > PITCH_Y
        elif event.kind in ("foul", "card", "free_kick"):
            assert after.holder is None


def test_nothing_between_foul_and_free_kick_tells_whose_it_is():
    """Who stands nearest to the ball just before the free kick says nothing about the coin."""
    right = total = 0
    for seed in range(200, 212):
        setup = draw_setup("soccer", seed)
        timeline = Timeline(setup)
        for record in truth(ArenaAddress(seed=seed, minutes=30)):
            if record.spoken is not None and record.spoken.kind == "free_kick":
                scene = timeline.scene(record.second)
                gaps = np.hypot(*(scene.places - np.array(scene.ball)).T)
                right += setup.names[team_of(int(gaps.argmin()))] == record.spoken.team
                total += 1
    assert total > 150
    assert abs(right / total - 0.5) < 4 * math.sqrt(0.25 / total)


def test_nobody_leaves_the_picture_and_nobody_jumps():
    timeline = Timeline(draw_setup("soccer", 9))
    before = timeline.scene(0).places
    for k in range(1, 24 * 120):
        places = timeline.scene(k / 24).places
        assert np.abs(places[:, 0]).max() < PITCH_X + 2
        assert np.abs(places[:, 1]).max() < PITCH_Y + 1
        assert np.abs(places - before).max() < 1.5
        before = places


def test_an_endless_match_is_watched_at_constant_memory():
    timeline = Timeline(draw_setup("soccer", 2))
    timeline.scene(1000)
    before = sys.getallocatedblocks()
    for second in range(1000, 11_000, 2):
        timeline.scene(second)
    assert sys.getallocatedblocks() - before < 1000
