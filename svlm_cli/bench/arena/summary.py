"""From the words of whole matches to the figures of a run; docs/bench.md defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from svlm_cli.bench.arena.asked import AskedSummary
from svlm_cli.bench.arena.pairing import TOLERANCE_SECONDS
from svlm_cli.bench.arena.runs import ArenaPlan, ArenaRun
from svlm_cli.bench.arena.score import METRICS, add_tallies
from svlm_cli.bench.arena.scored import OVER_TIME, Decay, ScoredMatch
from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio, rounded
from svlm_cli.bench.common.model import ModelFacts

PROTOCOL = f"arena, greedy, ±{TOLERANCE_SECONDS} s"


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
        asked: what became of the questions; None where the run asks none.
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
    asked: AskedSummary | None = None

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
            **({} if self.asked is None else self.asked.to_json()),
            "realtime_factor": round(self.realtime_factor, 2),
            "slowest_realtime_factor": round(self.slowest_realtime_factor, 2),
            "p50_step_seconds": round(self.p50_step_seconds, 4),
            "p95_step_seconds": round(self.p95_step_seconds, 4),
        }


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


def asked_of(summaries: Sequence[RunSummary]) -> list[AskedSummary]:
    """Of the runs that were asked."""
    return [each.asked for each in summaries if each.asked is not None]
