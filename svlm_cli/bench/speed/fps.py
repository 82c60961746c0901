"""``svlm bench fps`` as a whole: every policy once, results that are kept, report and picture."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.model import ModelFacts, model_facts
from svlm_cli.bench.common.records import Record, RecordFile, write_whole
from svlm_cli.bench.common.results import RESULTS_NAME
from svlm_cli.bench.common.tables import REPORT_NAME, SUMMARY_NAME, require_benchmark
from svlm_cli.bench.speed.measure import (
    SpeedRun,
    Trial,
    find_max_fps,
    measure,
    run_from_json,
    run_to_json,
    warm_up_steps,
)
from svlm_cli.bench.speed.plan import SpeedPlan
from svlm_cli.errors import OutputError
from svlm_cli.text import as_json
from svlm_cli.types import WarningEvent

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel


@dataclass(frozen=True, slots=True)
class SpeedStart:
    """First event: what is measured, how many steps are left, and how many of the runs are there."""

    model: ModelFacts
    num_steps: int
    num_done: int
    num_runs: int


@dataclass(frozen=True, slots=True)
class SpeedEnd:
    """Last event: everything is on disk; ``summary`` is the document."""

    summary: Mapping[str, Any]


SpeedEvent = SpeedStart | WarningEvent | WorkProgress | SpeedRun | Trial | SpeedEnd


def bench_fps(
    model: VideoLanguageModel,
    plan: SpeedPlan,
    options: dict[str, object],
    out: Path,
    *,
    find_max: bool = False,
) -> Generator[SpeedEvent, None, None]:
    """Measure what is not there yet and write the report.

    Args:
        model: loaded, warmed up by the first steps of each run.
        plan: what is measured.
        options: how the model was opened, for the report and to tell results apart.
        out: folder for ``results.jsonl``, ``summary.json``, ``report.md`` and ``latency.png``. Runs that
            ``results.jsonl`` holds with the same fingerprint are not repeated.
        find_max: search the highest FPS in real time, with the first run's settings.

    Yields:
        A ``SpeedStart``, ``WorkProgress`` by steps, each ``SpeedRun`` once it is on disk, each ``Trial``, and
        a ``SpeedEnd``.

    Raises:
        SourceError: the source cannot be read.
        OutputError: the folder cannot be used, or somebody else writes to it.
    """
    with RecordFile(out / RESULTS_NAME, _key) as results:
        require_benchmark(out, "fps")
        if results.others:
            told = f"{results.path} holds lines of another benchmark"
            raise OutputError(told, "choose another --out")
        yield from _measured(model, plan, options, results, find_max=find_max)


def _measured(
    model: VideoLanguageModel,
    plan: SpeedPlan,
    options: dict[str, object],
    results: RecordFile,
    *,
    find_max: bool,
) -> Generator[SpeedEvent, None, None]:
    from svlm_cli.bench.speed.report import LATENCY_PLOT, document, latency_plot, report

    facts = model_facts(model)
    keys = [plan.key(each.settings, facts, options) for each in plan.runs]
    yield from (WarningEvent(problem) for problem in results.problems)
    num_done = sum(key in results for key in keys)
    missing = {key: each for key, each in zip(keys, plan.runs, strict=True) if key not in results}
    num_left = sum(plan.num_steps(each.settings) for each in missing.values())
    yield SpeedStart(facts, num_left, num_done, len(keys))
    for key, named in missing.items():
        num_steps, full = plan.num_steps(named.settings), warm_up_steps(named.settings)
        if num_steps - plan.floor_steps < full:
            yield WarningEvent(
                f"{named.name}: {num_steps} steps are over before its window of {full} is full and the floor "
                "measured: no steady state"
            )
        for event in measure(model, plan, named):
            if isinstance(event, SpeedRun):
                results.add({"key": key, **run_to_json(event)})
            yield event
    trials = []
    if find_max:
        for trial in find_max_fps(model, plan.source, plan.runs[0].settings):
            trials.append(trial)
            yield trial
    results.sort(list(dict.fromkeys(keys)))
    done = {str(record["key"]): record for record in results}
    runs = [
        replace(run_from_json(done[key]), name=each.name) for key, each in zip(keys, plan.runs, strict=True)
    ]
    summary = document(plan, facts, options, runs, trials)
    out = results.path.parent
    write_whole(out / LATENCY_PLOT, latency_plot(runs))
    write_whole(out / REPORT_NAME, report(summary).encode())
    write_whole(out / SUMMARY_NAME, f"{as_json(summary, 2)}\n".encode())
    yield SpeedEnd(summary)


def _key(record: Record) -> str:
    """The fingerprint of a run that is whole."""
    run_from_json(record)
    return str(record["key"])
