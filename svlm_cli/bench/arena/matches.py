"""``svlm bench arena``: unseen synthetic matches, streamed and scored."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.bench.arena.match import MatchJob, MatchResult, result_key
from svlm_cli.bench.arena.report import QUALITY_PLOT, document, report
from svlm_cli.bench.arena.results import ResultsFile
from svlm_cli.bench.arena.runs import ArenaPlan
from svlm_cli.bench.arena.summary import RunSummary, ScoredMatch, score_match, summarize
from svlm_cli.bench.arena.workers import play_all
from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.model import ModelFacts, ModelOptions, model_facts
from svlm_cli.bench.common.records import write_whole
from svlm_cli.bench.common.tables import REPORT_NAME, SCORES_PLOT, SUMMARY_NAME, require_benchmark
from svlm_cli.text import as_json
from svlm_cli.types import WarningEvent

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel


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


def bench_arena(
    plan: ArenaPlan, options: ModelOptions, out: Path, num_workers: int = 1, batch: int = 1
) -> Generator[BenchEvent, None, None]:
    """Stream what is not there yet, score everything, and write the report.

    Args:
        plan: which runs over which matches.
        options: how to open the model.
        out: folder for ``results.jsonl``, ``summary.json``, ``report.md`` and the plots. Matches that
            ``results.jsonl`` holds with the same fingerprint are not streamed again.
        num_workers: processes, each with a model of its own.
        batch: matches at once in each of them, in shared forwards.

    Yields:
        A ``BenchStart``, then ``WorkProgress`` and a ``ScoredMatch`` for every match once it is on disk,
        then a ``BenchEnd``; warnings before the start.

    Raises:
        ModelError: the model cannot be opened.
        OutputError: the folder cannot be used.
        SvlmError: a worker failed; whole matches are kept.
    """
    with ResultsFile(out) as results:
        require_benchmark(out, "arena")
        yield from (WarningEvent(problem) for problem in results.problems)
        model = options.load()
        facts = model_facts(model)
        yield from _lacking(model, plan)
        jobs = [
            MatchJob(run, seed, plan.num_seconds, result_key(run, facts, plan.num_seconds))
            for run in plan.runs
            for seed in plan.seeds
        ]
        missing = _distinct([job for job in jobs if results.find(job) is None])
        num_done = sum(results.find(job) is not None for job in jobs)
        yield BenchStart(facts, plan.num_seconds * len(missing), num_done, num_done + len(missing))
        with closing(play_all(model, options, missing, num_workers, batch)) as events:
            for event in events:
                if isinstance(event, WorkProgress):
                    yield event
                    continue
                match = score_match(event)
                results.add_match(event, facts, match.total)
                yield match
        summaries = tuple(
            summarize(run, plan, facts, [score_match(_found(results, job)) for job in jobs if job.run is run])
            for run in plan.runs
        )
        _write(out, summaries)
    yield BenchEnd(summaries)


def summary_json(summaries: tuple[RunSummary, ...]) -> str:
    """The summary document as text."""
    return as_json(document(summaries), 2)


def _lacking(model: VideoLanguageModel, plan: ArenaPlan) -> Generator[WarningEvent, None, None]:
    """The words of the queries that are outside the model's vocabulary, each once."""
    from svlm_cli.model.prompt import PromptWriter, unknown_words_text

    writer = PromptWriter(model.tokenizer, model.markup)
    unknown = writer.unknown_words(" ".join(run.settings.query for run in plan.runs))
    if unknown:
        yield WarningEvent(unknown_words_text(unknown))


def _distinct(jobs: list[MatchJob]) -> list[MatchJob]:
    """Without the matches that two runs of the same settings share."""
    return list({(job.key, job.seed): job for job in reversed(jobs)}.values())[::-1]


def _found(results: ResultsFile, job: MatchJob) -> MatchResult:
    result = results.find(job)
    if result is None:
        raise RuntimeError(f"seed {job.seed} of run {job.run.name!r} was streamed and is not there")
    return result


def _write(out: Path, summaries: tuple[RunSummary, ...]) -> None:
    from svlm_cli.bench.arena.plots import quality_plot, scores_plot

    pictures: dict[str, Callable[[tuple[RunSummary, ...]], bytes]] = {
        QUALITY_PLOT: quality_plot,
        SCORES_PLOT: scores_plot,
    }
    for name, draw in pictures.items():
        write_whole(out / name, draw(summaries))
    write_whole(out / REPORT_NAME, report(summaries).encode())
    write_whole(out / SUMMARY_NAME, f"{summary_json(summaries)}\n".encode())
