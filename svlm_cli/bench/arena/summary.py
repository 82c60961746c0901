"""From the words of whole matches to the figures of a run; docs/bench.md defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.truth import truth
from svlm_cli.bench.arena.match import MatchResult
from svlm_cli.bench.arena.pairing import TOLERANCE_SECONDS
from svlm_cli.bench.arena.runs import ArenaPlan, ArenaRun
from svlm_cli.bench.arena.score import METRICS, Tally, add_tallies, match_events, tally
from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio, rounded
from svlm_cli.bench.common.model import ModelFacts

MINUTE_SECONDS = 60
PROTOCOL = f"arena, greedy, ±{TOLERANCE_SECONDS} s"
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
    """

    result: MatchResult
    total: Tally
    minutes: tuple[Tally, ...]
    first_quarter: Tally
    last_quarter: Tally


@dataclass(frozen=True, slots=True)
class Decay:
    """A score in the first and last quarter of the stream, and the difference in percentage points."""

    first: Estimate
    last: Estimate
    change: Estimate


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One row of the table.

    Args:
        run: what was run, on which ``model``, over which matches of ``num_seconds`` each.
        scores: the scores of all matches, one per metric.
        decay: the decay of the metrics in ``OVER_TIME``.
        minutes: the same metrics for every minute of the stream, counts of all matches added.
        realtime_factor: stream seconds per wall second, over all matches.
        slowest_realtime_factor: the slowest real-time factor of one match.
        p50_step_seconds, p95_step_seconds: the middle and the worst match's.
    """

    run: ArenaRun
    model: ModelFacts
    seeds: range
    num_seconds: int
    scores: Mapping[str, Estimate]
    decay: Mapping[str, Decay]
    minutes: tuple[Mapping[str, Ratio], ...]
    realtime_factor: float
    slowest_realtime_factor: float
    p50_step_seconds: float
    p95_step_seconds: float

    def to_json(self) -> dict[str, object]:
        """Plain values; percentages rounded to two decimals."""
        return {
            "run": self.run.name,
            "protocol": PROTOCOL,
            "model": self.model.name,
            "model_fingerprint": self.model.fingerprint,
            "device": self.model.device,
            "dtype": self.model.dtype,
            **self.run.identity(),
            **({} if self.run.paper is None else {"paper": self.run.paper}),
            "first_seed": self.seeds[0],
            "num_matches": len(self.seeds),
            "seconds_per_match": self.num_seconds,
            "scores": {name: estimate.to_json() for name, estimate in self.scores.items()},
            "decay": {
                name: {
                    "first_quarter": each.first.to_json(),
                    "last_quarter": each.last.to_json(),
                    "change": each.change.to_json(),
                }
                for name, each in self.decay.items()
            },
            "minutes": [
                {"minute": minute} | {name: rounded(ratio.percent) for name, ratio in ratios.items()}
                for minute, ratios in enumerate(self.minutes)
            ],
            "realtime_factor": round(self.realtime_factor, 2),
            "slowest_realtime_factor": round(self.slowest_realtime_factor, 2),
            "p50_step_seconds": round(self.p50_step_seconds, 4),
            "p95_step_seconds": round(self.p95_step_seconds, 4),
        }


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
    )


def summarize(
    run: ArenaRun, plan: ArenaPlan, model: ModelFacts, matches: Sequence[ScoredMatch]
) -> RunSummary:
    """The figures of a run from all its matches.

    Raises:
        ValueError: not every match of the plan is there once.
    """
    if sorted(match.result.job.seed for match in matches) != list(plan.seeds):
        raise ValueError(f"run {run.name!r} is not whole")
    matches = sorted(matches, key=lambda match: match.result.job.seed)
    draws = Bootstrap(len(matches))
    results = [match.result for match in matches]
    decay = {}
    for name in OVER_TIME:
        first = [match.first_quarter[name] for match in matches]
        last = [match.last_quarter[name] for match in matches]
        decay[name] = Decay(draws.estimate(first), draws.estimate(last), draws.change(first, last))
    sums = [add_tallies(minute) for minute in zip(*(match.minutes for match in matches), strict=True)]
    return RunSummary(
        run=run,
        model=model,
        seeds=plan.seeds,
        num_seconds=plan.num_seconds,
        scores={name: draws.estimate([match.total[name] for match in matches]) for name in METRICS},
        decay=decay,
        minutes=tuple({name: minute[name] for name in OVER_TIME} for minute in sums),
        realtime_factor=plan.num_seconds * len(results) / sum(result.wall_seconds for result in results),
        slowest_realtime_factor=min(result.realtime_factor for result in results),
        p50_step_seconds=sorted(result.p50_step_seconds for result in results)[len(results) // 2],
        p95_step_seconds=max(result.p95_step_seconds for result in results),
    )
