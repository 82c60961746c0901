"""``svlm bench``: measure a model and an engine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.bench.speed.plan import NamedSettings, SpeedClock, SpeedPlan
from svlm_cli.commands.bench import commentary as bench_commentary
from svlm_cli.commands.bench import livesports as bench_livesports
from svlm_cli.commands.bench import longvideo as bench_longvideo
from svlm_cli.commands.bench import options as own
from svlm_cli.commands.bench import ovo as bench_ovo
from svlm_cli.commands.bench import report as bench_report
from svlm_cli.commands.bench.drawn import show_found
from svlm_cli.commands.bench.work import opening, refuse_numbered
from svlm_cli.commands.examples import help_of, shown
from svlm_cli.commands.groups import Without, grouped
from svlm_cli.commands.options import ModelChoice, On, Talk, WordChoice
from svlm_cli.commands.output import emit, prints_are_talk
from svlm_cli.commands.stream.options import (
    DEFAULT,
    MaxNewTokens,
    MemoryChoice,
    SamplingChoice,
    SightChoice,
    Source,
    stream_settings,
)
from svlm_cli.errors import UsageError
from svlm_cli.settings import Policy, PromptFormat, StreamSettings
from svlm_cli.text import as_json
from svlm_cli.work.place import parse_place

if TYPE_CHECKING:
    from svlm_cli.bench.arena.summary import RunSummary
    from svlm_cli.model.runtime import VideoLanguageModel

OUT = Path("bench-arena")

EXAMPLES = """
svlm bench arena --matches 2 --minutes 1
svlm bench arena --model runs/arena/stream/final --fps 8 --workers 2 --out bench-8fps
svlm bench arena --ask --matches 5 --minutes 30 --out bench-asked
svlm bench arena --grid recipes/bench_arena_grid.yaml --matches 5 --minutes 15 --out bench-grid"""

SPEED_OUT = Path("bench-fps")

SPEED_EXAMPLES = """
svlm bench fps 'arena:soccer,seed=1,minutes=2' --seconds 60
# needs: minutes
svlm bench fps match.mp4 --policy streaming --fps 8 --find-max-fps
svlm bench fps 'arena:soccer,seed=1,minutes=2' --streams 1 2 4 8 16 32 --out bench-streams
svlm bench fps match.mp4 --grid recipes/bench_fps_grid.yaml --seconds 300
svlm bench fps match.mp4 --model mit-han-lab/StreamingVLM --policy streaming --fps 8 --out bench-h100"""

OF_FILES = ("pictures", "deinterlace", "reader")

GROUP_EXAMPLES = """
svlm bench arena --matches 2 --minutes 1
svlm bench fps 'arena:soccer,seed=1,minutes=2' --seconds 60
svlm bench report bench-arena bench-8fps"""

app = typer.Typer(help=help_of("Measure what a model says and how fast it says it.", GROUP_EXAMPLES))
app.add_typer(bench_commentary.app, name="commentary")
app.add_typer(bench_livesports.app, name="livesports")
app.add_typer(bench_ovo.app, name="ovo")
app.add_typer(bench_longvideo.app, name="longvideo")
shown(app, bench_report.EXAMPLES)(bench_report.report)


@shown(app, EXAMPLES)
@grouped
def arena(
    *,
    matches: own.Matchday,
    model: Annotated[ModelChoice, Without("threads")],
    workers: own.Workers = 1,
    threads: own.ThreadsPerWorker = 1,
    batch: own.Batch = 1,
    on: On = "local",
    sight: Annotated[SightChoice, Without("step_seconds", "drop_static", *OF_FILES)],
    memory: MemoryChoice,
    words: Annotated[SamplingChoice, Without("temperature", "top_k", "top_p", "greedy", "seed")],
    out: own.Folder = OUT,
    talk: Talk,
) -> None:
    """Stream unseen synthetic matches, greedily, and score every second against the truth."""
    settings = stream_settings(sight, memory, replace(words, greedy=True))
    from svlm_cli.bench.arena.grid import load_grid
    from svlm_cli.bench.arena.matches import BenchEnd, bench_arena, summary_json
    from svlm_cli.bench.arena.report import result_tables
    from svlm_cli.bench.arena.runs import ArenaPlan, ArenaRun
    from svlm_cli.bench.common.hands import Staff
    from svlm_cli.commands.bench.view import BenchView

    place = parse_place(on)
    refuse_numbered(model, place)
    runs = load_grid(matches.grid, settings) if matches.grid else (ArenaRun(settings.policy.value, settings),)
    plan = ArenaPlan(runs, matches.seed, matches.matches, matches.minutes, matches.ask)
    summaries: tuple[RunSummary, ...] = ()
    with (
        prints_are_talk(verbose=talk.verbose),
        BenchView(quiet=talk.quiet, verbose=talk.verbose) as view,
        closing(bench_arena(plan, Staff(opening(model, threads), workers, place, batch), out)) as events,
    ):
        for event in events:
            view.show(event)
            if isinstance(event, BenchEnd):
                summaries = event.summaries
    if talk.json:
        emit(summary_json(summaries))
    else:
        show_found(result_tables(summaries))


@shown(app, SPEED_EXAMPLES)
@grouped
def fps(
    source: Source,
    more_streams: own.MoreStreams = None,
    *,
    timing: own.Timing,
    model: ModelChoice,
    feeding: WordChoice,
    packed: own.Packed = True,
    sight: Annotated[SightChoice, Without("query")],
    memory: Annotated[MemoryChoice, Without("policy", "positions")],
    max_new_tokens: MaxNewTokens = DEFAULT.sampling.max_new_tokens,
    out: own.Folder = SPEED_OUT,
    talk: Talk,
) -> None:
    """Time every stage of a stream under each policy, over time and against the least it could take."""
    settings = stream_settings(sight, memory, SamplingChoice(max_new_tokens, greedy=True))
    settings = replace(settings, prompt_format=PromptFormat.SVLM)  # LiveCC's puts full in place of streaming
    counts = _streams(timing, more_streams)
    from svlm_cli.bench.speed.fps import SpeedEnd, bench_fps
    from svlm_cli.bench.speed.report import main_table
    from svlm_cli.commands.bench.speed_view import SpeedView

    plan = SpeedPlan(
        source, _speed_runs(settings, timing, feeding), timing.seconds, timing.floor_steps, timing.clock
    )
    opened = model.load(packed=packed, compiled=feeding.compiled, graphs=feeding.graphs.value)
    if timing.clock is SpeedClock.CPU and opened.device.type == "cuda":
        raise UsageError(
            "--clock cpu does not go with CUDA", "its stages are timed on the device: leave it out"
        )
    how: dict[str, object] = {
        "attention": opened.attention,
        "quantize": opened.quantize,
        "packed": packed and not feeding.compiled,
        "compiled": feeding.compiled,
        "graphs": opened.word_forward is not None and opened.word_forward.graphs,
        "threads": model.threads or "default",
    }
    if counts:
        _fps_of_streams(opened, plan, counts, how, out, talk)
        return
    summary: Mapping[str, object] = {}
    with (
        SpeedView(quiet=talk.quiet) as view,
        closing(bench_fps(opened, plan, how, out, find_max=timing.find_max_fps)) as events,
    ):
        for event in events:
            view.show(event)
            if isinstance(event, SpeedEnd):
                summary = event.summary
    if talk.json:
        emit(as_json(summary, 2))
    else:
        show_found([main_table(summary)])


def _streams(timing: own.Timing, more: list[int] | None) -> list[int]:
    """What ``--streams`` and the numbers behind it say; none where it is not there.

    Raises:
        UsageError: numbers without it, or what does not go with it.
    """
    if timing.streams is None:
        if more:
            raise UsageError(f"Got unexpected extra argument ({more[0]})", "one source is measured")
        return []
    if timing.grid or timing.find_max_fps or len(timing.policy or []) > 1:
        raise UsageError("--streams goes with one policy, and not with --grid or --find-max-fps")
    return sorted({timing.streams, *(more or [])})


def _fps_of_streams(
    model: VideoLanguageModel,
    plan: SpeedPlan,
    counts: list[int],
    how: dict[str, object],
    out: Path,
    talk: Talk,
) -> None:
    from svlm_cli.bench.speed.streams import StreamsEnd, bench_streams
    from svlm_cli.bench.speed.streams_report import main_table
    from svlm_cli.commands.bench.speed_view import SpeedView

    summary: Mapping[str, object] = {}
    with (
        SpeedView(quiet=talk.quiet) as view,
        closing(bench_streams(model, plan, counts, how, out)) as events,
    ):
        for event in events:
            view.show(event)
            if isinstance(event, StreamsEnd):
                summary = event.summary
    if talk.json:
        emit(as_json(summary, 2))
    else:
        show_found([main_table(summary)])


def _speed_runs(
    settings: StreamSettings, timing: own.Timing, feeding: WordChoice
) -> tuple[NamedSettings, ...]:
    """A run for each line of the grid, or for each policy.

    Raises:
        UsageError: options that do not go together.
    """
    from svlm_cli.bench.speed.grid import load_speed_grid

    if timing.grid and timing.policy:
        raise UsageError("--grid lists the policies: --policy does not go with it")
    runs = (
        load_speed_grid(timing.grid, settings)
        if timing.grid
        else tuple(
            NamedSettings(each.value, replace(settings, policy=each))
            for each in dict.fromkeys(timing.policy or list(Policy))
        )
    )
    if feeding.compiled and not all(run.settings.policy.keeping.is_bounded for run in runs):
        raise UsageError(
            "--compile needs a bounded cache: what was compiled would not fit once it has grown",
            "name other policies, e.g. --policy streaming --policy recompute",
        )
    return runs
