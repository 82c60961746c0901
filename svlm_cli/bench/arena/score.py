"""Commentary against the truth of the arena, second by second: pure functions over lines of text.

A line tells events (``narrate.parse_line``). An event that was said *hits* one that was true when both
are of the same kind and ``pairing.pair_up`` pairs their seconds. What an event tells besides its kind
(team, score, referee) plays no part in the pairing; it is scored over the hits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from svlm_cli.arena.moments import SILENT_KINDS, Kind
from svlm_cli.arena.narrate import SpokenEvent, parse_line
from svlm_cli.bench.arena.pairing import pair_up
from svlm_cli.bench.common.intervals import Ratio

KINDS = tuple(kind for kind in Kind if kind not in SILENT_KINDS)


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What became of one event.

    Args:
        second: where it counts: that of the truth, or of the line for an event that was not true.
        truth: the event as the narrator says it, None for one that was not true.
        said: the event as it was said, None for one that was missed.
    """

    second: int
    truth: SpokenEvent | None
    said: SpokenEvent | None

    def __post_init__(self) -> None:
        if self.truth is None and self.said is None:
            raise ValueError("an outcome is of an event that was true, or said, or both")

    @property
    def kind(self) -> Kind:
        """Of the event."""
        event = self.truth or self.said
        assert event is not None
        return event.kind

    @property
    def is_hit(self) -> bool:
        """Said within the tolerance of when it was true."""
        return self.truth is not None and self.said is not None

    @property
    def is_complete(self) -> bool:
        """A hit in which the team, score and referee that the narrator tells are right."""
        if self.truth is None or self.said is None:
            return False
        pairs = (
            (self.truth.team, self.said.team),
            (self.truth.score, self.said.score),
            (self.truth.referee, self.said.referee),
        )
        return all(true in (None, said) for true, said in pairs)


Tally = Mapping[str, Ratio]


def match_events(truth: Sequence[str], said: Sequence[str]) -> tuple[EventOutcome, ...]:
    """Pair the events of two commentaries on the same seconds.

    Args:
        truth: the narrator's line of every second from 0 on, empty where he is silent.
        said: the model's lines of the same seconds.

    Returns:
        An outcome per event, true or said, in order of ``second``.

    Raises:
        ValueError: they are not of the same length.
    """
    if len(truth) != len(said):
        raise ValueError(f"{len(said)} lines said for {len(truth)} seconds of truth")
    true_events, said_events = _events(truth), _events(said)
    outcomes = [
        outcome
        for kind in KINDS
        for outcome in _outcomes(true_events.get(kind, []), said_events.get(kind, []))
    ]
    return tuple(sorted(outcomes, key=lambda outcome: outcome.second))


def tally(
    outcomes: Iterable[EventOutcome], truth: Sequence[str], said: Sequence[str], seconds: range | None = None
) -> Tally:
    """Count the outcomes and the silent seconds of a part of a match.

    Args:
        outcomes: what ``match_events`` gave over the whole match, so that no pair is cut at a border.
        truth, said: as there.
        seconds: the part; None for all of it.

    Returns:
        For each of ``METRICS`` a ratio; docs/bench.md defines them.
    """
    seconds = range(len(truth)) if seconds is None else seconds
    inside = [outcome for outcome in outcomes if outcome.second in seconds]
    counts = _detection("event", inside)
    counts["full_f1"] = _f1(sum(outcome.is_complete for outcome in inside), inside)
    for name, (applies, right) in _DETAILS.items():
        hits = [o for o in inside if o.truth and o.said and applies(o.truth)]
        counts[name] = Ratio(sum(right(o.truth, o.said) for o in hits if o.truth and o.said), len(hits))
    silent = [second for second in seconds if not truth[second].strip()]
    counts["silence"] = Ratio(sum(not said[second].strip() for second in silent), len(silent))
    for kind in KINDS:
        counts |= _detection(kind.value, [outcome for outcome in inside if outcome.kind is kind])
    return counts


def add_tallies(tallies: Iterable[Tally]) -> Tally:
    """The sum of several, metric by metric."""
    total = dict.fromkeys(METRICS, Ratio())
    for each in tallies:
        total = {name: total[name] + each[name] for name in METRICS}
    return total


def _same_team(truth: SpokenEvent, said: SpokenEvent) -> bool:
    return said.team == truth.team


def _same_score(truth: SpokenEvent, said: SpokenEvent) -> bool:
    return said.score == truth.score


def _same_referee(truth: SpokenEvent, said: SpokenEvent) -> bool:
    return said.referee == truth.referee


# Over hits: which of them count, and what makes one right.
_DETAILS: Mapping[str, tuple[Callable[[SpokenEvent], bool], Callable[[SpokenEvent, SpokenEvent], bool]]] = {
    "team": (lambda truth: truth.team is not None, _same_team),
    "free_kick_team": (lambda truth: truth.kind is Kind.FREE_KICK, _same_team),
    "goal_score": (lambda truth: truth.kind is Kind.GOAL, _same_score),
    "line_score": (lambda truth: truth.kind is Kind.SCORE, _same_score),
    "new_game_score": (lambda truth: truth.kind is Kind.KICK_OFF and truth.score is not None, _same_score),
    "referee": (lambda truth: truth.kind is Kind.CARD, _same_referee),
}
METRICS = (
    *("event_precision", "event_recall", "event_f1", "full_f1"),
    *_DETAILS,
    "silence",
    *(f"{kind.value}_{measure}" for kind in KINDS for measure in ("precision", "recall", "f1")),
)


def _detection(name: str, outcomes: Sequence[EventOutcome]) -> dict[str, Ratio]:
    num_hits = sum(outcome.is_hit for outcome in outcomes)
    return {
        f"{name}_precision": Ratio(num_hits, sum(outcome.said is not None for outcome in outcomes)),
        f"{name}_recall": Ratio(num_hits, sum(outcome.truth is not None for outcome in outcomes)),
        f"{name}_f1": _f1(num_hits, outcomes),
    }


def _f1(num_hits: int, outcomes: Sequence[EventOutcome]) -> Ratio:
    """Twice the hits over all events said and all events true: the harmonic mean, as one ratio."""
    num_said = sum(outcome.said is not None for outcome in outcomes)
    num_true = sum(outcome.truth is not None for outcome in outcomes)
    return Ratio(2 * num_hits, num_said + num_true)


_Timed = tuple[int, SpokenEvent]


def _events(lines: Sequence[str]) -> dict[Kind, list[_Timed]]:
    events: dict[Kind, list[_Timed]] = {}
    for second, line in enumerate(lines):
        for event in parse_line(line):
            events.setdefault(event.kind, []).append((second, event))
    return events


def _outcomes(true: Sequence[_Timed], said: Sequence[_Timed]) -> list[EventOutcome]:
    """The outcomes of one kind of event, both sides in order of time."""
    pairs = pair_up([second for second, _ in true], [second for second, _ in said])
    line_of = dict(pairs)
    used = set(line_of.values())
    outcomes = [
        EventOutcome(second, event, said[line_of[i]][1] if i in line_of else None)
        for i, (second, event) in enumerate(true)
    ]
    return outcomes + [
        EventOutcome(second, None, event) for j, (second, event) in enumerate(said) if j not in used
    ]
