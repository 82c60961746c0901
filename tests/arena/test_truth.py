"""Invariants of the world, told by its truth alone."""

import hashlib
import json
import math
import sys
from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.narrate import parse_line, vocabulary
from svlm_cli.arena.setup import WINNING_SCORE, draw_setup, keeper_of, team_of
from svlm_cli.arena.truth import opening_text, truth, words_of

# The same on every machine and in every version: whoever changes this changes every match there is.
TRUTH_SHA256 = "5b608b1d3ac954c9dcb575f485b6b1a0ec317998f43d5627ee52e494d6952183"
SEEDS = st.integers(0, 10**9)
HOUR = 60


def records(seed, minutes=10.0):
    return list(truth(ArenaAddress(seed=seed, minutes=minutes)))


def events_of(seconds, *kinds):
    return [event for record in seconds for event in record.events if event.kind in kinds]


@pytest.fixture(scope="module")
def hours():
    """Ten matches of an hour, by their setups."""
    return {seed: (draw_setup("soccer", seed), records(seed, HOUR)) for seed in range(100, 110)}


def test_the_same_seed_is_the_same_match_for_ever():
    digest = hashlib.sha256()
    for seed in range(4):
        for record in truth(ArenaAddress(seed=seed, minutes=20)):
            digest.update(json.dumps(record.to_json(), sort_keys=True).encode())
    assert digest.hexdigest() == TRUTH_SHA256


def test_other_seeds_are_other_matches():
    assert len({tuple(record.line for record in records(seed, 2)) for seed in range(20)}) == 20
    assert len({draw_setup("soccer", seed).opening_text for seed in range(200)}) == 200


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_world_holds_together(seed):
    setup, score, card_seconds = draw_setup("soccer", seed), None, []
    names = {name: index for index, name in enumerate(setup.names)}
    assert len(set(setup.kits)) == len(set(setup.names)) == 2
    score = setup.opening_score
    for expected_second, record in enumerate(truth(ArenaAddress(seed=seed, minutes=15))):
        assert record.second == expected_second
        assert sum(event.spoken for event in record.events) <= 1
        assert set(record.line.split()) <= set(vocabulary())
        assert bool(record.line) == (record.spoken is not None)
        for event in record.events:
            assert record.second + 0.1 <= event.time_seconds <= record.second + 0.3
            if event.kind == "goal":
                scorer = names[event.team]
                assert team_of(event.player) == scorer
                score = (score[0] + (scorer == 0), score[1] + (scorer == 1))
                assert event.score == score
            elif event.score is not None:
                if event.kind == "kick_off":
                    assert WINNING_SCORE in score
                    score = (0, 0)
                assert event.score == score
            if event.kind == "save":
                assert event.player == keeper_of(names[event.team])
            if event.kind == "card":
                card_seconds.append(record.second)
                assert event.referee == setup.referee
        assert record.score == score
        if record.player is not None:
            assert setup.names[team_of(record.player)] == record.possession
    assert all(second >= 600 for second in card_seconds)


def test_lines_tell_the_events(hours):
    for _, seconds in hours.values():
        for record in seconds:
            told = parse_line(record.line)
            assert len(told) == (record.spoken is not None)
            if told:
                event = record.spoken
                assert told[0].kind == event.kind
                hidden = event.kind in ("foul", "score", "card")
                assert told[0].team == (None if hidden else event.team)
                assert told[0].score == event.score
                assert told[0].referee == event.referee


def test_a_foul_leads_to_the_free_kick_of_its_team(hours):
    teams, before = Counter(), Counter()
    for setup, seconds in hours.values():
        last_named = None
        pending = None
        for record in seconds:
            for event in record.events:
                if event.kind == "foul":
                    assert pending is None
                    pending = event
                    assert parse_line(record.line)[0].team is None
                    teams[event.team == setup.names[0]] += 1
                    before[event.team == last_named] += 1
                elif event.kind == "free_kick":
                    assert event.team == pending.team
                    assert 4.5 <= event.time_seconds - pending.time_seconds <= 12.5
                    pending = None
                elif pending is not None:
                    assert event.kind == "card"
                if event.spoken and parse_line(record.line)[0].team:
                    last_named = parse_line(record.line)[0].team
            if pending is not None:
                assert record.possession is None
    for counts in (teams, before):
        share = counts[True] / counts.total()
        assert abs(share - 0.5) < 4 * math.sqrt(0.25 / counts.total())


def test_the_referee_is_named_every_ten_to_sixteen_minutes(hours):
    for _, seconds in hours.values():
        times = [0.0] + [event.time_seconds for event in events_of(seconds, "card")]
        assert len(times) >= 4
        for earlier, later in pairwise(times):
            assert 600 <= later - earlier <= 960
            words = sum(len(r.line.split()) for r in seconds[int(earlier) : int(later)])
            assert words > 512


def test_how_often_things_happen(hours):
    everything = [record for _, seconds in hours.values() for record in seconds]
    minutes = len(everything) / 60
    per_minute = Counter(event.kind for record in everything for event in record.events)
    assert 0.6 < sum(not record.line for record in everything) / len(everything) < 0.75
    assert 1.5 < minutes / per_minute["goal"] < 4
    assert 1 < minutes / per_minute["score"] < 2
    assert per_minute["foul"] / minutes > 0.5
    assert per_minute["save"] > 100
    assert per_minute["miss"] > 50
    assert per_minute["pass"] / minutes > 8
    assert per_minute["steal"] / minutes > 2


def test_the_last_name_spoken_does_not_tell_who_has_the_ball(hours):
    held = wrong = 0
    for _, seconds in hours.values():
        last_named = None
        for record in seconds:
            for told in parse_line(record.line):
                last_named = told.team or last_named
            if record.possession and last_named:
                held += 1
                wrong += record.possession != last_named
    assert wrong / held > 0.05


def test_a_tenth_goal_begins_a_new_game_and_the_kick_off_says_so(hours):
    seen = 0
    for _, seconds in hours.values():
        won = False
        for event in events_of(seconds, "goal", "kick_off"):
            if event.kind == "kick_off":
                assert event.score == ((0, 0) if won else None)
                seen += won
            won = event.kind == "goal" and WINNING_SCORE in event.score
    assert seen >= 5


def test_words_end_within_the_second_they_belong_to():
    for record in records(5, 5):
        words = words_of(record)
        assert [word.text for word in words] == record.line.split()
        for word in words:
            assert record.second < word.start_seconds < word.end_seconds <= record.second + 1


def test_a_later_start_is_told_the_score_of_then():
    address = ArenaAddress(seed=3, minutes=60)
    seconds = list(truth(address))
    assert opening_text(address) == draw_setup("soccer", 3).opening_text
    assert list(truth(address, start_second=1800)) == seconds[1800:]
    later = opening_text(address, 1800)
    assert later == draw_setup("soccer", 3).opening_text_at(seconds[1799].score)
    assert later != opening_text(address)


@pytest.mark.parametrize("num_seconds", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_constant_memory_whatever_the_length(num_seconds: int):
    endless = truth(ArenaAddress(seed=1, minutes=math.inf))
    for _ in islice(endless, 2000):
        pass
    before = sys.getallocatedblocks()
    assert sum(1 for _ in islice(endless, num_seconds)) == num_seconds
    assert sys.getallocatedblocks() - before < 1000
