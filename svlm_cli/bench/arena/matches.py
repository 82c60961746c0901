"""``svlm bench arena``: unseen synthetic matches, streamed and scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from svlm_cli.arena.asking.wording import asking_words
from svlm_cli.bench.arena.asked import summarize_asked
from svlm_cli.bench.arena.match import MatchJob, MatchResult, play, result_key
from svlm_cli.bench.arena.report import ANSWERS_PLOT, PLACES_PLOT, QUALITY_PLOT, document, report
from svlm_cli.bench.arena.results import ResultsFile
from svlm_cli.bench.arena.runs import ArenaPlan, ArenaRun
from svlm_cli.bench.arena.scored import ScoredMatch, score_match
from svlm_cli.bench.arena.summary import RunSummary, asked_of, summarize
from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.hands import ModelCrew, Staff, fail
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.records import write_whole
from svlm_cli.bench.common.tables import REPORT_NAME, SCORES_PLOT, SUMMARY_NAME, require_benchmark
from svlm_cli.model.prompt import unknown_words_text
from svlm_cli.text import as_json
from svlm_cli.types import WarningEvent
from svlm_cli.work.jobs import BegunAgain, Came, Ended


@dataclass(frozen=True, slots=True)
class BenchStart:
    """First event of a benchmark.

    Args:
        model: what is measured.
        num_seconds: the seconds of stream that are left.
        num_done: matches that were there already, of ``num_matches``, over all runs.
    """

    model: ModelFacts
    num_seconds: int
    num_done: int
    num_matches: int


@dataclass(frozen=True, slots=True)
class BenchEnd:
    """Last event: everything is on disk. One summary per run, in the plan's order."""

    summaries: tuple[RunSummary, ...]


BenchEvent = BenchStart | WarningEvent | WorkProgress | ScoredMatch | BenchEnd


def bench_arena(plan: ArenaPlan, staff: Staff, out: Path) -> Generator[BenchEvent, None, None]:
    """Stream what is not there yet, score everything, and write the report.

    Args:
        plan: which runs over which matches.
        staff: who streams, and where.
        out: folder for ``results.jsonl``, ``summary.json``, ``report.md`` and the plots. Matches that
            ``results.jsonl`` holds with the same fingerprint are not streamed again.

    Yields:
        A ``BenchStart``, then ``WorkProgress`` and a ``ScoredMatch`` for every match once it is on disk,
        then a ``BenchEnd``; warnings before the start.

    Raises:
        ModelError: the model cannot be opened.
        OutputError: the folder cannot be used.
        SvlmError: a worker failed; whole matches are kept.
    """
    most = len(plan.runs) * plan.num_matches * (2 if plan.asks else 1)
    with staff.crew(play, _unshared, _name, most) as crew, ResultsFile(out) as results:
        require_benchmark(out, "arena")
        yield from (WarningEvent(problem) for problem in results.problems)
        prompts = [run.settings.query for run in plan.runs]
        prompts += asking_words() if plan.asks else ()
        for event in crew.look(" ".join(prompts)):
            if isinstance(event, WarningEvent):
                yield event
                continue
            facts = event.facts
            if event.unknown:
                yield WarningEvent(unknown_words_text(event.unknown))
        jobs = [
            MatchJob(each, seed, plan.num_seconds, result_key(each, facts, plan.num_seconds))
            for run in plan.runs
            for each in ((run, replace(run, is_asked=True)) if plan.asks else (run,))
            for seed in plan.seeds
        ]
        missing = _distinct([job for job in jobs if results.find(job) is None])
        num_done = sum(results.find(job) is not None for job in jobs)
        yield BenchStart(facts, plan.num_seconds * len(missing), num_done, num_done + len(missing))
        yield from _streamed(crew, missing, results, facts)
        results.sort([(job.key, job.seed) for job in jobs])
        summaries = tuple(_summary(run, plan, facts, jobs, results) for run in plan.runs)
        _write(out, summaries)
    yield BenchEnd(summaries)


def summary_json(summaries: tuple[RunSummary, ...]) -> str:
    """The summary document as text."""
    return as_json(document(summaries), 2)


def _streamed(
    crew: ModelCrew[MatchJob], missing: list[MatchJob], results: ResultsFile, facts: ModelFacts
) -> Generator[BenchEvent, None, None]:
    """Stream matches; what is streamed a second time, as its worker was lost, is no progress."""
    known, now = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    with closing(crew.work(missing)) as events:
        for heard in events:
            match heard:
                case WarningEvent():
                    yield heard
                case BegunAgain(job=job):
                    now[job.key, job.seed] = 0
                case Came(job=job, event=WorkProgress(num_seconds=num)):
                    place = job.key, job.seed
                    now[place] += num
                    if now[place] > known[place]:
                        yield WorkProgress(now[place] - known[place])
                        known[place] = now[place]
                case Came(event=MatchResult() as result):
                    scored = score_match(result)
                    results.add_match(result, facts, scored.total)
                    yield scored
                case Ended(job=job, error=BaseException() as error):
                    fail(error, _name(job))


def _summary(
    run: ArenaRun, plan: ArenaPlan, facts: ModelFacts, jobs: list[MatchJob], results: ResultsFile
) -> RunSummary:
    matches = [score_match(_found(results, job)) for job in jobs if job.run is run]
    summary = summarize(run, plan, facts, matches)
    if not plan.asks:
        return summary
    asked = replace(run, is_asked=True)
    of_it = [score_match(_found(results, job)) for job in jobs if job.run == asked]
    return replace(summary, asked=summarize_asked(of_it, matches))


def _unshared(_job: MatchJob) -> str:
    """A match is drawn anew wherever it is streamed."""
    return ""


def _name(job: MatchJob) -> str:
    asked = ", asked" if job.run.is_asked else ""
    return f"run {job.run.name!r}, seed {job.seed}{asked}"


def _distinct(jobs: list[MatchJob]) -> list[MatchJob]:
    """Without the matches that two runs of the same settings share."""
    return list({(job.key, job.seed): job for job in reversed(jobs)}.values())[::-1]


def _found(results: ResultsFile, job: MatchJob) -> MatchResult:
    result = results.find(job)
    if result is None:
        raise RuntimeError(f"seed {job.seed} of run {job.run.name!r} was streamed and is not there")
    return result


def _write(out: Path, summaries: tuple[RunSummary, ...]) -> None:
    from svlm_cli.bench.arena.plots import answers_plot, places_plot, quality_plot, scores_plot

    pictures: dict[str, Callable[[tuple[RunSummary, ...]], bytes]] = {
        QUALITY_PLOT: quality_plot,
        SCORES_PLOT: scores_plot,
    }
    if asked_of(summaries):
        pictures |= {ANSWERS_PLOT: answers_plot, PLACES_PLOT: places_plot}
    for name, draw in pictures.items():
        write_whole(out / name, draw(summaries))
    write_whole(out / REPORT_NAME, report(summaries).encode())
    write_whole(out / SUMMARY_NAME, f"{summary_json(summaries)}\n".encode())
