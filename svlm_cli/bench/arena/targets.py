"""What a model of the arena is held to: the targets of docs/arena.md, each with what was reached."""

from __future__ import annotations

from dataclasses import dataclass

from svlm_cli.bench.arena.summary import RunSummary
from svlm_cli.bench.common.intervals import Estimate, rounded
from svlm_cli.bench.common.table import Table, tabled
from svlm_cli.bench.common.tables import NOTHING, percent_text

DECAY = "event_f1 change"
TITLE = "to be reached (20 matches of 30 min, or 2 of 2 h)"
# Matches, and the seconds of each, over which a model is judged; the decay over the long ones alone.
MANY_MATCHES, LONG_MATCHES = (20, 30 * 60), (2, 120 * 60)
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
    """A bar and what was reached; ``is_reached`` goes by the estimate, not by its interval.

    Args:
        label: the label of the score.
        at_least: the bar.
        reached: the score.
        is_judged: whether it was measured over enough matches that are long enough.
    """

    label: str
    at_least: float
    reached: Estimate
    is_judged: bool

    @property
    def is_reached(self) -> bool | None:
        """None where there was nothing to score, or too little to judge by."""
        percent = self.reached.percent
        return None if percent is None or not self.is_judged else percent >= self.at_least


def targets(summary: RunSummary) -> dict[str, Target]:
    """Every bar, by name."""
    is_long = _is_over(summary, LONG_MATCHES)
    is_enough = is_long or _is_over(summary, MANY_MATCHES)
    return {
        name: Target(label, at_least, summary.decay["event_f1"].change, is_long)
        if name == DECAY
        else Target(label, at_least, summary.scores[name], is_enough)
        for name, (label, at_least) in TARGETS.items()
    }


def _is_over(summary: RunSummary, least: tuple[int, int]) -> bool:
    num_matches, num_seconds = least
    return len(summary.seeds) >= num_matches and summary.num_seconds >= num_seconds


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


def targets_table(summary: RunSummary) -> Table:
    """A row for every bar; "–" where the run is too short to judge by."""
    return tabled(
        [(TITLE, lambda each: f"{each.label} >= {each.at_least:g}")],
        [],
        [
            (summary.run.name, lambda each: percent_text(each.reached)),
            (
                "reached",
                lambda each: NOTHING if each.is_reached is None else "yes" if each.is_reached else "no",
            ),
        ],
        list(targets(summary).values()),
    )
