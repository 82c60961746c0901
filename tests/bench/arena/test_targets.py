"""The bars a model is held to, against figures made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from svlm_cli.bench.arena.targets import TARGETS, targets, targets_json, targets_table
from svlm_cli.bench.common.intervals import Estimate


def summary(
    change: float | None = 0.0, *, num_matches: int = 2, minutes: int = 120, **percents: float | None
) -> Any:
    scores = {name: Estimate(100.0, 99.0, 100.0, 5) for name in TARGETS}
    scores |= {name: Estimate(percent, percent, percent, 5) for name, percent in percents.items()}
    decay = {"event_f1": SimpleNamespace(change=Estimate(change, change, change, 5))}
    return SimpleNamespace(
        run=SimpleNamespace(name="streaming"),
        seeds=range(num_matches),
        num_seconds=60 * minutes,
        scores=scores,
        decay=decay,
    )


@pytest.mark.parametrize(
    ("name", "below", "enough"),
    [
        ("event_f1", 94.99, 95.0),
        ("goal_f1", 98.99, 99.0),
        ("kick_off_f1", 98.99, 99.0),
        ("free_kick_f1", 98.99, 99.0),
        ("team", 96.99, 97.0),
        ("goal_score", 89.99, 90.0),
        ("free_kick_team", 89.99, 90.0),
    ],
)
def test_each_bar_of_the_specification(name: str, below: float, enough: float) -> None:
    assert targets(summary(**{name: below}))[name].is_reached is False
    found = targets(summary(**{name: enough}))
    assert all(each.is_reached for each in found.values())


def test_decay_counts_in_points_and_growth_is_none() -> None:
    assert [targets(summary(change))["event_f1 change"].is_reached for change in (-2.01, -2.0, 3.0)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("num_matches", "minutes", "num_judged"),
    [
        (20, 30, len(TARGETS) - 1),
        (2, 120, len(TARGETS)),
        (20, 120, len(TARGETS)),
        (19, 30, 0),
        (20, 29, 0),
        (1, 120, 0),
    ],
)
def test_short_runs_are_not_judged(num_matches: int, minutes: int, num_judged: int) -> None:
    """Two hours show whether quality lasts; half an hour does not."""
    found = targets(summary(num_matches=num_matches, minutes=minutes))
    assert sum(each.is_reached is not None for each in found.values()) == num_judged


def test_nothing_to_score_is_neither_reached_nor_missed() -> None:
    found = summary(None, goal_score=None)
    stored = targets_json(found)
    assert stored["goal_score"] == {"percent": None, "at_least": 90, "is_reached": None}
    lines = targets_table(found).markdown().splitlines()
    assert len(lines) == 2 + len(TARGETS)
    assert sum(line.endswith("| – |") for line in lines) == 2
    assert lines[2] == "| event F1 >= 95 | 100.00 [99.00, 100.00] | yes |"
