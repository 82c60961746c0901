"""What the commands of the benchmarks share: show the work, print a plan, judge, print the report."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from svlm_cli.commands.bench.drawn import show_found
from svlm_cli.commands.bench.judge_options import EndpointChoice, JudgeChoice, ShowChoice, Shown, read_price
from svlm_cli.commands.options import ModelChoice, Talk
from svlm_cli.commands.output import TalkConsole, emit, leaving_at_once, prints_are_talk
from svlm_cli.commands.stream.options import MemoryChoice, SamplingChoice
from svlm_cli.documents import lines_of
from svlm_cli.errors import UsageError
from svlm_cli.text import as_json
from svlm_cli.work.place import Workplace, parse_place

if TYPE_CHECKING:
    from svlm_cli.bench.api.prices import CallPlan
    from svlm_cli.bench.api.videos import VideoCalls
    from svlm_cli.bench.commentary.pieces import Piece
    from svlm_cli.bench.common.events import WorkEvent
    from svlm_cli.bench.common.hands import Staff
    from svlm_cli.bench.common.model import ModelOptions
    from svlm_cli.bench.common.tables import Report
    from svlm_cli.bench.judge.judge import Judging
    from svlm_cli.bench.questions.answering import Asked, AskRun
    from svlm_cli.settings import StreamSettings


def _names(group: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(group))


ONLY_API = tuple(name for name in _names(EndpointChoice) if name not in ("api", "workers", "on"))
ONLY_STREAM = ("step_seconds", *_names(MemoryChoice), *_names(SamplingChoice), "speak", "query")
ONLY_MODEL = (
    *_names(ModelChoice),
    *("fps", "min_pixels", "max_pixels", "show", "max_answer_tokens", "setting", "on", "batch"),
)
ONLY_WHOLE = ("max_frames",)
PRESET_DECIDES = ("api_fps", "api_height", "query", "previous", "chunk_seconds")


def show_work(events: Generator[WorkEvent, None, None], talk: Talk, *, at_once: bool = False) -> None:
    """Show all events of a piece of work.

    Args:
        at_once: whether Ctrl-C ends the process without waiting for questions on their way.
    """
    from svlm_cli.commands.bench.view import WorkView

    def show() -> None:
        with (
            prints_are_talk(verbose=talk.verbose),
            WorkView(quiet=talk.quiet, verbose=talk.verbose) as view,
            closing(events),
        ):
            for event in events:
                view.show_work(event)

    if not at_once:
        show()
        return
    with leaving_at_once(TalkConsole()):
        show()


def show_written(out: Path, *, json: bool, hint: str) -> None:
    """Say where the results are and what to do with them."""
    from svlm_cli.bench.common.results import RESULTS_NAME

    path = out / RESULTS_NAME
    num = sum(1 for _ in lines_of(path.read_bytes())) if path.exists() else 0
    if json:
        emit(as_json({"results": str(path), "lines": num}))
    else:
        emit(f"{num} lines in {path}; next: {hint}")


def show_plan(plans: Sequence[CallPlan], *, json: bool) -> None:
    """Print what would be asked."""
    if json:
        emit(json_module.dumps({"plans": [plan.to_json() for plan in plans]}, indent=2))
        return
    for plan in plans:
        emit(plan.text())


def opening(model: ModelChoice, threads: int | None = None) -> ModelOptions:
    """How a benchmark opens its model; ``threads`` in place of the model's own."""
    from svlm_cli.bench.common.model import ModelOptions

    return ModelOptions(
        model.model,
        model.device,
        model.dtype.value,
        model.attention.value,
        threads or model.threads,
        model.adapter,
        model.quantize.value,
        model.kv_cache.value,
    )


def staff(model: ModelChoice, address: EndpointChoice, batch: int) -> Staff:
    """Who works on a benchmark with a model of our own, ``batch`` pieces at once through each.

    Raises:
        UsageError: there is no such place to work.
    """
    from svlm_cli.bench.common.hands import Staff

    place, num = parse_place(address.on), address.workers or 1
    refuse_numbered(model, place)
    shares_cores = num > 1 and not place.on_cluster
    threads = max(1, (os.cpu_count() or 1) // num) if shares_cores and model.threads is None else None
    return Staff(opening(model, threads), num, place, batch)


def refuse_numbered(model: ModelChoice, place: Workplace) -> None:
    """Refuse a GPU by its number on a cluster, where each worker is given one.

    Raises:
        UsageError: that was asked for.
    """
    if place.on_cluster and ":" in model.device:
        raise UsageError(f"--device {model.device}: on a cluster each worker is given a GPU", "--device cuda")


def ask_rival(work: VideoCalls[Piece], address: EndpointChoice, talk: Talk, out: Path) -> None:
    """Let a model behind an address commentate, or say what that would take."""
    if address.dry_run:
        show_work(work.told(), talk)
        show_plan([work.plan()], json=talk.json)
        return
    show_work(work.run(), talk, at_once=True)
    show_written(out, json=talk.json, hint="score")


def judge_all(judgings: Sequence[Judging], judge: JudgeChoice, talk: Talk) -> bool:
    """Have all votes, or say what they would take.

    Returns:
        Whether there are votes to report on.
    """
    if judge.dry_run:
        show_plan([each.plan() for each in judgings], json=talk.json)
        return False
    for each in judgings:
        show_work(each.run(), talk, at_once=True)
    return True


def finish(report: Report, out: Path, work: str, *, json: bool) -> None:
    """Write a report and print its main table, or all of it as JSON.

    Args:
        work: what ``tables.claim_figures`` gave.
    """
    report = replace(report, more={**report.more, "work": work})
    report.write(out)
    if json:
        emit(report.to_json())
        return
    show_found([report.main_table(), *report.notes])


def refuse_unused(context: typer.Context, names: Iterable[str], beside: str) -> None:
    """Refuse options that would do nothing beside what else was chosen.

    Args:
        context: the context of the command.
        names: the names of its parameters.
        beside: what was chosen, for the error.

    Raises:
        UsageError: one of them was typed.
    """
    sources = {name: context.get_parameter_source(name) for name in names if name in context.params}
    typed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if typed:
        told = " and ".join(f"--{name.replace('_', '-')}" for name in typed)
        raise UsageError(f"{told} would do nothing {beside}", "leave it out")


def refuse_together(*, grid: Path | None, api: str, name: str) -> None:
    """Refuse options that rule each other out.

    Raises:
        UsageError: a grid was given with one of the others.
    """
    if grid is not None and (api or name):
        raise UsageError(f"--grid does not go with {'--api' if api else '--name'}", "the file names the runs")


def ask_videos(
    context: typer.Context,
    asked: Sequence[Asked],
    protocol: str,
    shown: Shown,
    settings: StreamSettings,
    model: ModelChoice,
    address: EndpointChoice,
    run: Answers,
    talk: Talk,
) -> None:
    """Ask questions about videos, of a model or behind an address, with the recent frames beside it.

    Args:
        asked: the questions.
        protocol: the protocol of the benchmark, as tables show it.
        settings: the settings of the stream.
        run: its name, its folder, and what to do with it.

    Raises:
        UsageError: options that do not go together.
    """
    run.check(address)
    _refuse_idle(context, shown, address)
    runs = _ask_runs(protocol, shown, settings, run.name, address.api)
    if not address.api:
        from svlm_cli.bench.questions.answering import answer_by_model

        show_work(answer_by_model(runs, asked, staff(model, address, run.batch), run.out), talk)
        show_written(run.out, json=talk.json, hint=run.hint)
        return
    from svlm_cli.bench.api.options import ApiOptions
    from svlm_cli.bench.questions.answering import answer_by_address, behind_the_end

    options = ApiOptions(
        address.api,
        address.base_url,
        address.requests,
        height=address.api_height,
        expected_tokens=8,
        price=read_price(address.price),
        viewing=settings.viewing,
    )
    works = [answer_by_address(each, asked, options, run.out) for each in runs]
    if address.dry_run:
        show_work(works[0].told(), talk)
        show_plan([work.plan() for work in works], json=talk.json)
        return
    show_work(behind_the_end(asked), talk)
    for work in works:
        show_work(work.run(), talk, at_once=True)
    show_written(run.out, json=talk.json, hint=run.hint)


@dataclass(frozen=True, slots=True)
class Answers:
    """A run of answers.

    Args:
        name: the name of its row; empty for a fitting one.
        out: folder of ``results.jsonl``.
        hint: the command that scores them.
        needs_logits: answers are taken from logits, which no address gives.
        batch: videos at once through one model.
    """

    name: str
    out: Path
    hint: str
    needs_logits: bool = False
    batch: int = 1

    def check(self, address: EndpointChoice) -> None:
        """Refuse an address where logits are needed.

        Raises:
            UsageError: no address gives them.
        """
        if address.api and self.needs_logits:
            raise UsageError(
                "no address gives the logits that --protocol logit needs", "use --protocol official"
            )


def _refuse_idle(context: typer.Context, shown: Shown, address: EndpointChoice) -> None:
    if address.api:
        refuse_unused(context, {*ONLY_MODEL, *ONLY_STREAM} - {"fps"}, "with --api")
        return
    is_whole = shown.show is ShowChoice.WHOLE
    refuse_unused(context, ONLY_API, "without --api MODEL")
    refuse_unused(context, ONLY_STREAM if is_whole else ONLY_WHOLE, f"with --show {shown.show.value}")
    refuse_unused(context, () if shown.speak else ("seed",), "without --speak")


def _ask_runs(protocol: str, shown: Shown, settings: StreamSettings, name: str, api: str) -> list[AskRun]:
    """The ways to ask: as chosen, and with the recent frames alone."""
    from svlm_cli.bench.questions import answering, asking

    is_whole = shown.show is ShowChoice.WHOLE or bool(api)
    way = asking.Way(
        asking.Showing.WHOLE if is_whole else asking.Showing.STREAMED,
        settings,
        shown.max_frames,
        shown.speak,
    )
    runs = [answering.AskRun(name or api or way.showing.value, protocol, way, shown.max_answer_tokens)]
    if shown.recent_frames:
        recent = replace(way, showing=asking.Showing.RECENT, num_frames=shown.recent_frames, speaks=False)
        title = " ".join([*([name or api] if name or api else []), f"recent {recent.num_frames} frames"])
        runs.append(answering.AskRun(title, protocol, recent, shown.max_answer_tokens))
    return runs
