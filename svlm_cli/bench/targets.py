"""What a model of the arena is held to: the bars of docs/arena.md, each with what was reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svlm_cli.bench.intervals import Estimate, rounded
from svlm_cli.bench.tables import NOTHING, percent_text, table

if TYPE_CHECKING:
    from svlm_cli.bench.summary import RunSummary

DECAY = "event_f1 change"
# Percent, but for the change from the first to the last quarter, which is in points.
TARGETS: dict[str, tuple[str, float]] = {
    "event_f1": ("event F1", 95),
    "goal_f1": ("goal F1", 99),
    "kick_off_f1": ("kick-off F1", 99),
    "free_kick_f1": ("free kick F1", 99),
    "team": ("team name", 97),
    "goal_score": ("score at goals", 90),
    "free_kick_team": ("free-kick team", 90),
    DECAY: ("event F1, last quarter less first", -2),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A bar and what was reached; ``is_reached`` goes by the estimate, not by its interval."""

    label: str
    at_least: float
    reached: Estimate

    @property
    def is_reached(self) -> bool | None:
        """None where there was nothing to score."""
        percent = self.reached.percent
        return None if percent is None else percent >= self.at_least


def targets(summary: RunSummary) -> dict[str, Target]:
    """Every bar, by name."""
    decay = summary.decay["event_f1"].change
    return {
        name: Target(label, at_least, decay if name == DECAY else summary.scores[name])
        for name, (label, at_least) in TARGETS.items()
    }


def targets_json(summary: RunSummary) -> dict[str, object]:
    """Plain values."""
    return {
        name: {
            "at_least": each.at_least,
            "percent": rounded(each.reached.percent),
            "is_reached": each.is_reached,
        }
        for name, each in targets(summary).items()
    }


def targets_table(summary: RunSummary) -> str:
    """A row for every bar."""
    columns: list[tuple[str, Callable[[Target], str]]] = [
        ("to be reached, over 20 matches of 30 min", lambda each: f"{each.label} >= {each.at_least:g}"),
        (summary.run.name, lambda each: percent_text(each.reached)),
        ("reached", lambda each: NOTHING if each.is_reached is None else "yes" if each.is_reached else "no"),
    ]
    return table(columns, list(targets(summary).values()))
