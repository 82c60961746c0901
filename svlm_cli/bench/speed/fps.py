"""``svlm bench fps`` as a whole: every policy once, results that are kept, report and picture."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.model import ModelFacts, model_facts
from svlm_cli.bench.common.records import claim_folder, write_whole
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
from svlm_cli.documents import lines_of, parse_json
from svlm_cli.errors import OutputError
from svlm_cli.text import as_json
from svlm_cli.types import WarningEvent

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel

RESULTS_NAME = "results.jsonl"


@dataclass(frozen=True, slots=True)
class SpeedStart:
    """First event: what is measured, and how many steps are left."""

    model: ModelFacts
    num_steps: int
    num_done: int


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
    with claim_folder(out):
        yield from _measured(model, plan, options, out, find_max=find_max)


def _measured(
    model: VideoLanguageModel, plan: SpeedPlan, options: dict[str, object], out: Path, *, find_max: bool
) -> Generator[SpeedEvent, None, None]:
    from svlm_cli.bench.speed.report import LATENCY_PLOT, document, latency_plot, report

    facts = model_facts(model)
    keys = [plan.key(each.settings, facts, options) for each in plan.runs]
    done, problems = _read(out)
    yield from (WarningEvent(problem) for problem in problems)
    missing = [(key, each) for key, each in zip(keys, plan.runs, strict=True) if key not in done]
    yield SpeedStart(
        facts, sum(plan.num_steps(each.settings) for _, each in missing), len(keys) - len(missing)
    )
    for key, named in missing:
        num_steps, full = plan.num_steps(named.settings), warm_up_steps(named.settings)
        if num_steps - plan.floor_steps < full:
            yield WarningEvent(
                f"{named.name}: {num_steps} steps are over before its window of {full} is full and the floor "
                "measured: no steady state"
            )
        for event in measure(model, plan, named):
            if isinstance(event, SpeedRun):
                done[key] = event
                lines = [json.dumps({"key": key, **run_to_json(run)}) for key, run in done.items()]
                write_whole(out / RESULTS_NAME, "".join(f"{line}\n" for line in lines).encode())
            yield event
    trials = []
    if find_max:
        for trial in find_max_fps(model, plan.source, plan.runs[0].settings):
            trials.append(trial)
            yield trial
    runs = [replace(done[key], name=each.name) for key, each in zip(keys, plan.runs, strict=True)]
    summary = document(plan, facts, options, runs, trials)
    write_whole(out / LATENCY_PLOT, latency_plot(runs))
    write_whole(out / "report.md", report(summary).encode())
    write_whole(out / "summary.json", f"{as_json(summary, 2)}\n".encode())
    yield SpeedEnd(summary)


def _read(out: Path) -> tuple[dict[str, SpeedRun], list[str]]:
    """Runs by fingerprint, and what is wrong with the file."""
    path = out / RESULTS_NAME
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise OutputError(f"cannot use {out} for results: {error}", "choose another --out") from error
    runs, problems = {}, []
    for number, line in lines_of(content):
        try:
            values = parse_json(line)
            runs[str(values["key"])] = run_from_json(values)
        except ValueError:
            problems.append(f"line {number} of {path} is damaged and is left out")
        except (KeyError, TypeError) as error:
            raise OutputError(
                f"line {number} of {path} is of another benchmark, which would be lost",
                "choose another --out",
            ) from error
    return runs, problems
