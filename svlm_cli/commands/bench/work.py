"""What the commands of the benchmarks share: show the work, print a plan, judge, print the report."""

from __future__ import annotations

import json as json_module
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from svlm_cli.commands.bench.judge_options import ApiChoice, Showing, read_price
from svlm_cli.commands.output import TalkConsole, emit, leaving_at_once
from svlm_cli.documents import lines_of
from svlm_cli.errors import UsageError
from svlm_cli.text import as_json

ONLY_API = ("base_url", "preset", "api_fps", "api_height", "workers", "price", "dry_run")
ONLY_STREAM = (
    *("step_seconds", "policy", "positions", "restart_seconds", "sink", "text_window", "vision_window"),
    *("rounds", "max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "greedy", "seed"),
    *("speak", "query"),
)
ONLY_MODEL = (
    *("model", "device", "dtype", "attention", "threads", "fps", "min_pixels", "max_pixels", "show"),
    *("max_answer_tokens", "setting"),
)
ONLY_WHOLE = ("max_frames",)
PRESET_DECIDES = ("api_fps", "api_height", "query", "previous", "chunk_seconds")

if TYPE_CHECKING:
    from svlm_cli.bench.api.options import ApiOptions
    from svlm_cli.bench.api.prices import Plan
    from svlm_cli.bench.commentary.pieces import Piece, Shape
    from svlm_cli.bench.common.events import WorkEvent
    from svlm_cli.bench.common.model import ModelOptions
    from svlm_cli.bench.common.tables import Report
    from svlm_cli.bench.judge.judge import Judging
    from svlm_cli.bench.questions.answering import Asked
    from svlm_cli.settings import StreamSettings


def show_work(
    events: Generator[WorkEvent, None, None], *, quiet: bool, verbose: bool = False, at_once: bool = False
) -> None:
    """Show all events of a piece of work.

    Args:
        at_once: on Ctrl-C end the process without waiting for questions on their way.
    """
    from svlm_cli.commands.bench.view import WorkView

    def show() -> None:
        with WorkView(quiet=quiet, verbose=verbose) as view, closing(events):
            for event in events:
                view.show_work(event)

    if not at_once:
        show()
        return
    with leaving_at_once(TalkConsole()):
        show()


def show_written(out: Path, *, json: bool, hint: str) -> None:
    """Say where the results are and what to do with them."""
    from svlm_cli.bench.common.work import RESULTS_NAME

    path = out / RESULTS_NAME
    num = sum(1 for _ in lines_of(path.read_bytes())) if path.exists() else 0
    if json:
        emit(as_json({"results": str(path), "lines": num}))
    else:
        emit(f"{num} lines in {path}; next: {hint}")


def show_plan(plans: Sequence[Plan], *, json: bool) -> None:
    """Print what would be asked."""
    if json:
        emit(json_module.dumps({"plans": [plan.to_json() for plan in plans]}, indent=2))
        return
    for plan in plans:
        emit(plan.text())


def ask_rival(
    pieces: Sequence[Piece],
    options: ApiOptions,
    preset: str | None,
    name: str,
    protocol: str,
    out: Path,
    shape: Shape,
    *,
    dry_run: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Let a model behind an address commentate, or say what that would take."""
    from svlm_cli.bench.api.options import PRESETS
    from svlm_cli.bench.commentary.rival import Rival

    if preset is not None:
        own = PRESETS[preset]
        options = replace(options, fps=own.fps, height=own.height, query=own.query)
        protocol = f"{protocol}, preset {preset}"
    work = Rival(pieces, options, name, protocol, out, shape)
    if dry_run:
        show_plan([work.plan()], json=json)
        return
    show_work(work.run(), quiet=quiet, at_once=True)
    show_written(out, json=json, hint="score")


def judge_all(
    judgings: Sequence[Judging],
    *,
    dry_run: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
) -> bool:
    """Have all votes, or say what they would take.

    Returns:
        Whether there are votes to report on.
    """
    if dry_run:
        show_plan([each.plan() for each in judgings], json=json)
        return False
    for each in judgings:
        show_work(each.run(), quiet=quiet, verbose=verbose, at_once=True)
    return True


def finish(report: Report, out: Path, work: str, *, json: bool) -> None:
    """Write a report and print its main table, or all of it as JSON.

    Args:
        work: from ``tables.claim``.
    """
    report = replace(report, more={**report.more, "work": work})
    report.write(out)
    if json:
        emit(report.to_json())
        return
    emit("\n\n".join([report.main_table(), *report.notes]))


def refuse_unused(context: typer.Context, names: Iterable[str], beside: str) -> None:
    """Refuse options that would do nothing beside what else was chosen.

    Args:
        context: of the command.
        names: of its parameters.
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


@dataclass(frozen=True, slots=True)
class Showings:
    """How videos are shown, as given on the command line.

    Args:
        show: the way of the main row.
        settings: of the stream.
        max_frames: of the whole video at once.
        recent_frames: of the row to compare with; 0 for none.
        speak: whether the stream speaks.
        max_answer_tokens: of a reply.
    """

    show: Showing
    settings: StreamSettings
    max_frames: int
    recent_frames: int
    speak: bool
    max_answer_tokens: int


def ask_videos(
    context: typer.Context,
    asked: Sequence[Asked],
    protocol: str,
    showings: Showings,
    opening: ModelOptions,
    choice: ApiChoice,
    name: str,
    out: Path,
    hint: str,
    *,
    json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Ask questions about videos, of a model or behind an address, with the recent frames beside it.

    Raises:
        UsageError: options that do not go together.
    """
    from svlm_cli.bench.api.options import ApiOptions
    from svlm_cli.bench.questions import answering, asking

    is_whole = showings.show is Showing.WHOLE or bool(choice.api)
    if choice.api:
        if choice.needs_logits:
            raise UsageError(
                "no address gives the logits that --protocol logit needs", "use --protocol official"
            )
        refuse_unused(context, {*ONLY_MODEL, *ONLY_STREAM} - {"fps"}, "with --api")
    else:
        refuse_unused(context, ONLY_API, "without --api MODEL")
        refuse_unused(context, ONLY_STREAM if is_whole else ONLY_WHOLE, f"with --show {showings.show.value}")
        refuse_unused(context, () if showings.speak else ("seed",), "without --speak")
    way = asking.Way(
        asking.Showing.WHOLE if is_whole else asking.Showing.STREAMED,
        showings.settings,
        showings.max_frames,
        showings.speak,
    )
    main = name or choice.api or way.showing.value
    runs = [answering.AskRun(main, protocol, way, showings.max_answer_tokens)]
    if showings.recent_frames:
        recent = replace(way, showing=asking.Showing.RECENT, num_frames=showings.recent_frames, speaks=False)
        runs.append(
            answering.AskRun(
                f"{name or choice.api}{' ' if name or choice.api else ''}recent {recent.num_frames} frames",
                protocol,
                recent,
                showings.max_answer_tokens,
            )
        )
    if not choice.api:
        show_work(answering.answer_by_model(runs, asked, opening, out), quiet=quiet, verbose=verbose)
        show_written(out, json=json, hint=hint)
        return
    options = ApiOptions(
        choice.api,
        choice.base_url,
        choice.workers,
        height=choice.height,
        expected_tokens=8,
        price=read_price(choice.price),
    )
    works = [answering.ApiAnswers(run, asked, options, out) for run in runs]
    if choice.dry_run:
        show_plan([work.plan() for work in works], json=json)
        return
    for work in works:
        show_work(work.run(), quiet=quiet, verbose=verbose, at_once=True)
    show_written(out, json=json, hint=hint)
