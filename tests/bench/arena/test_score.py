"""Scoring against hand-made lines and against the narrator."""

from __future__ import annotations

import pytest

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.setup import draw_setup
from svlm_cli.arena.truth import truth
from svlm_cli.bench.arena.score import METRICS, add_tallies, match_events, tally
from svlm_cli.bench.common.intervals import Ratio

ADDRESS = parse_address("arena:soccer?seed=11&minutes=40")
RECORDS = list(truth(ADDRESS))
TRUTH = [record.line for record in RECORDS]
NAMES = draw_setup("soccer", 11).names
RIGHT = ["team", "free_kick_team", "goal_score", "line_score", "referee"]


def score(said: list[str], true: list[str] = TRUTH) -> dict[str, float | None]:
    return {name: ratio.percent for name, ratio in tally(match_events(true, said), true, said).items()}


def shifted(seconds: int) -> list[str]:
    return [""] * seconds + TRUTH[: len(TRUTH) - seconds]


def test_the_narrator_is_right_everywhere() -> None:
    scores = score(TRUTH)
    assert set(scores) == set(METRICS)
    assert {value for name, value in scores.items() if name != "new_game_score"} == {100.0}
    assert scores["new_game_score"] in (None, 100.0)


def test_every_true_event_counts_once() -> None:
    counts = tally(match_events(TRUTH, TRUTH), TRUTH, TRUTH)
    events = [event for record in RECORDS for event in record.events if event.spoken]
    assert counts["event_recall"].whole == len(events)
    for kind in ("pass", "goal", "foul", "card", "score"):
        assert counts[f"{kind}_recall"].whole == sum(event.kind == kind for event in events)
    named = [event for event in events if event.kind not in ("foul", "card", "score")]
    assert counts["team"].whole == len(named)
    assert counts["silence"].whole == sum(not record.line for record in RECORDS)


def test_saying_nothing() -> None:
    scores = score([""] * len(TRUTH))
    assert scores["event_recall"] == scores["event_f1"] == scores["full_f1"] == 0
    assert scores["event_precision"] is None
    assert scores["team"] is scores["goal_score"] is scores["referee"] is None
    assert scores["silence"] == 100


def test_other_words_are_no_events_but_break_the_silence() -> None:
    scores = score(["what a lovely day"] * len(TRUTH))
    assert scores["event_recall"] == 0
    assert scores["event_precision"] is None
    assert scores["silence"] == 0


def test_a_second_late_still_counts() -> None:
    counts = tally(match_events(TRUTH, shifted(1)), TRUTH, shifted(1))
    assert counts["event_precision"].percent == 100
    assert counts["event_recall"].whole - counts["event_recall"].part == bool(TRUTH[-1])
    assert {counts[name].percent for name in RIGHT} == {100.0}
    assert counts["silence"].percent < 100


def test_two_seconds_late_does_not() -> None:
    sparse = ["goal for Lions one nil" if second % 5 == 0 else "" for second in range(100)]
    late = ["", "", *sparse[:-2]]
    scores = score(late, sparse)
    assert scores["event_f1"] == scores["goal_recall"] == scores["event_precision"] == 0
    assert scores["goal_score"] is None
    assert score(shifted(2))["goal_f1"] < 10


def test_wrong_teams_are_wrong_in_names_alone() -> None:
    swap = dict(zip(NAMES, reversed(NAMES), strict=True))
    said = [" ".join(swap.get(word, word) for word in line.split()) for line in TRUTH]
    scores = score(said)
    assert scores["event_f1"] == scores["goal_score"] == scores["line_score"] == scores["referee"] == 100
    assert scores["team"] == scores["free_kick_team"] == 0
    assert 0 < scores["full_f1"] < 50  # fouls, cards and scores tell no team


def test_a_swapped_score_is_wrong() -> None:
    true = ["goal for Lions two one", "", "score two one", "", "score one one"]
    said = ["goal for Lions one two", "", "score one two", "", "score one one"]
    scores = score(said, true)
    assert scores["event_f1"] == scores["team"] == 100
    assert scores["goal_score"] == 0
    assert scores["line_score"] == 50


def test_wrong_details_of_each_kind() -> None:
    true = ["card by Moreno", "", "free kick for Owls", "", "kick off by Owls nil nil"]
    said = ["card by Keller", "", "free kick for Rams", "", "kick off by Owls one nil"]
    scores = score(said, true)
    assert scores["event_f1"] == 100
    assert scores["referee"] == scores["free_kick_team"] == scores["new_game_score"] == 0
    assert scores["team"] == 50
    assert scores["full_f1"] == 0


def test_what_is_missing_from_a_line_is_wrong() -> None:
    scores = score(
        ["goal", "", "card", "", "score two"],
        ["goal for Owls one nil", "", "card by Rossi", "", "score two one"],
    )
    assert scores["event_f1"] == 100
    assert scores["team"] == scores["goal_score"] == scores["referee"] == scores["line_score"] == 0


def test_saying_it_twice_is_a_false_alarm() -> None:
    scores = score(["", "pass by Owls pass by Owls", "pass by Owls"], ["", "pass by Owls", ""])
    assert scores["pass_recall"] == 100
    assert scores["pass_precision"] == pytest.approx(100 / 3)
    assert scores["pass_f1"] == 50


def test_another_kind_is_both_missed_and_false() -> None:
    counts = tally(match_events(["shot by Owls"], ["save by Owls"]), ["shot by Owls"], ["save by Owls"])
    assert counts["shot_recall"] == Ratio(0, 1)
    assert counts["save_precision"] == Ratio(0, 1)
    assert counts["event_f1"] == Ratio(0, 2)


def test_the_nearest_line_is_taken_whatever_it_tells() -> None:
    outcomes = match_events(["", "pass by Owls", ""], ["pass by Owls", "pass by Rams", ""])
    hit = next(outcome for outcome in outcomes if outcome.is_hit)
    assert hit.said is not None
    assert hit.said.team == "Rams"


def test_parts_add_up_to_the_whole() -> None:
    said = shifted(1)
    outcomes = match_events(TRUTH, said)
    minutes = [tally(outcomes, TRUTH, said, range(start, start + 60)) for start in range(0, len(TRUTH), 60)]
    assert add_tallies(minutes) == tally(outcomes, TRUTH, said)


def test_lines_of_other_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 lines said for 1"):
        match_events([""], ["", ""])
