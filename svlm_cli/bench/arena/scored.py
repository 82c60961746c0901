"""One match against its truth."""

from __future__ import annotations

from dataclasses import dataclass

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.truth import truth
from svlm_cli.bench.arena.answers import answer_tally
from svlm_cli.bench.arena.match import MatchResult
from svlm_cli.bench.arena.score import Tally, match_events, tally
from svlm_cli.bench.common.intervals import Estimate

MINUTE_SECONDS = 60
LABELS = {
    "event_f1": "event F1",
    "full_f1": "full F1",
    "event_precision": "precision",
    "event_recall": "recall",
    "team": "team name",
    "free_kick_team": "free-kick team",
    "goal_score": "score at goals",
    "line_score": "score lines",
    "new_game_score": "score at new games",
    "referee": "referee",
    "silence": "silent seconds",
}
OVER_TIME = ("event_f1", "full_f1", "team", "goal_score", "referee")


@dataclass(frozen=True, slots=True)
class ScoredMatch:
    """One match against its truth.

    Args:
        result: what was said.
        total: the figures of the whole match.
        minutes: the figures of each minute; the last one may be shorter.
        first_quarter, last_quarter: the figures of these quarters of the stream.
        answers: of the questions, ``answer_tally``.
        answer_quarters: the same of each quarter.
    """

    result: MatchResult
    total: Tally
    minutes: tuple[Tally, ...]
    first_quarter: Tally
    last_quarter: Tally
    answers: Tally
    answer_quarters: tuple[Tally, ...]


@dataclass(frozen=True, slots=True)
class Decay:
    """A score in the first and last quarter of the stream, and the difference in percentage points."""

    first: Estimate
    last: Estimate
    change: Estimate


def score_match(result: MatchResult) -> ScoredMatch:
    """Score what was said in one match; the truth is played again from its seed."""
    num_seconds = result.job.num_seconds
    address = ArenaAddress(seed=result.job.seed, minutes=num_seconds / 60)
    true = [record.line for record in truth(address)]
    outcomes = match_events(true, result.said)

    def part(start: int, end: int) -> Tally:
        return tally(outcomes, true, result.said, range(start, min(end, num_seconds)))

    return ScoredMatch(
        result=result,
        total=part(0, num_seconds),
        minutes=tuple(part(start, start + MINUTE_SECONDS) for start in range(0, num_seconds, MINUTE_SECONDS)),
        first_quarter=part(0, num_seconds // 4),
        last_quarter=part(num_seconds - num_seconds // 4, num_seconds),
        answers=answer_tally(result.answers),
        answer_quarters=tuple(
            answer_tally(result.answers, range(k * num_seconds // 4, (k + 1) * num_seconds // 4))
            for k in range(4)
        ),
    )
