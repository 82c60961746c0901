"""``svlm bench``: measure a model and an engine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from svlm_cli.bench.speed.plan import Clock, NamedSettings, SpeedPlan
from svlm_cli.commands import options
from svlm_cli.commands.bench import commentary as bench_commentary
from svlm_cli.commands.bench import livesports as bench_livesports
from svlm_cli.commands.bench import longvideo as bench_longvideo
from svlm_cli.commands.bench import options as own
from svlm_cli.commands.bench import ovo as bench_ovo
from svlm_cli.commands.bench import report as bench_report
from svlm_cli.commands.options import Attention, Dtype, Graphs, Quantize
from svlm_cli.commands.output import emit
from svlm_cli.commands.stream import options as stream_options
from svlm_cli.errors import UsageError
from svlm_cli.settings import Policy, Sampling, StreamSettings
from svlm_cli.text import as_json

if TYPE_CHECKING:
    from svlm_cli.bench.arena.summary import RunSummary

DEFAULT = StreamSettings()
WORDS = DEFAULT.sampling
OUT = Path("bench-arena")

EXAMPLES = """Examples:

svlm bench arena --matches 2 --minutes 1

svlm bench arena --model runs/arena/checkpoint --fps 8 --workers 2 --out bench-8fps

svlm bench arena --grid recipes/bench_arena_grid.yaml --matches 5 --minutes 15 --out bench-grid"""

SPEED_OUT = Path("bench-fps")

SPEED_EXAMPLES = """Examples:

svlm bench fps 'arena:soccer,seed=1,minutes=2' --seconds 60

svlm bench fps match.mp4 --policy streaming --fps 8 --find-max-fps

svlm bench fps match.mp4 --grid recipes/bench_fps_grid.yaml --seconds 300

svlm bench fps match.mp4 --model mit-han-lab/StreamingVLM --policy streaming --fps 8 --out bench-h100"""

app = typer.Typer(help="Measure what a model says and how fast.")
app.add_typer(bench_commentary.app, name="commentary")
app.add_typer(bench_livesports.app, name="livesports")
app.add_typer(bench_ovo.app, name="ovo")
app.add_typer(bench_longvideo.app, name="longvideo")
app.command(epilog=bench_report.EXAMPLES)(bench_report.report)


@app.command(epilog=EXAMPLES)
def arena(
    matches: own.Matches = 20,
    minutes: own.Minutes = 30.0,
    seed: own.FirstSeed = 0,
    grid: own.Grid = None,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DtypeOption = Dtype.AUTO,
    attention: options.AttentionOption = Attention.AUTO,
    workers: own.Workers = 1,
    threads: own.ThreadsPerWorker = 1,
    fps: stream_options.Fps = DEFAULT.fps,
    min_pixels: stream_options.MinPixels = DEFAULT.min_pixels,
    max_pixels: stream_options.MaxPixels = DEFAULT.max_pixels,
    query: stream_options.Query = DEFAULT.query,
    policy: stream_options.PolicyOption = DEFAULT.policy,
    positions: stream_options.PositionsOption = DEFAULT.positions,
    restart_seconds: stream_options.RestartSeconds = DEFAULT.restart_seconds,
    sink: stream_options.Sink = DEFAULT.sink,
    text_window: stream_options.TextWindow = DEFAULT.text_window,
    vision_window: stream_options.VisionWindow = DEFAULT.vision_window,
    rounds: stream_options.Rounds = DEFAULT.rounds,
    max_new_tokens: stream_options.MaxNewTokens = WORDS.max_new_tokens,
    repetition_penalty: stream_options.RepetitionPenalty = WORDS.repetition_penalty,
    out: own.Folder = OUT,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Stream unseen synthetic matches, greedily, and score every second against the truth."""
    settings = StreamSettings(
        fps=fps,
        policy=policy,
        positions=positions,
        restart_seconds=restart_seconds,
        sink=sink,
        text_window=text_window,
        vision_window=vision_window,
        rounds=rounds,
        query=query,
        sampling=Sampling(max_new_tokens, repetition_penalty=repetition_penalty, greedy=True),
        min_pixels=min_pixels,
        max_pixels=max_pixels,
    )
    from svlm_cli.bench.arena.grid import load_grid
    from svlm_cli.bench.arena.matches import BenchEnd, bench_arena, summary_json
    from svlm_cli.bench.arena.report import result_tables
    from svlm_cli.bench.arena.runs import Plan, Run
    from svlm_cli.bench.common.model import ModelOptions
    from svlm_cli.commands.bench.view import BenchView

    runs = load_grid(grid, settings) if grid else (Run(settings.policy.value, settings),)
    plan = Plan(runs, first_seed=seed, num_matches=matches, minutes=minutes)
    opening = ModelOptions(model, device, dtype.value, attention.value, threads)
    summaries: tuple[RunSummary, ...] = ()
    with (
        BenchView(quiet=quiet, verbose=verbose) as view,
        closing(bench_arena(plan, opening, out, num_workers=workers)) as events,
    ):
        for event in events:
            view.show(event)
            if isinstance(event, BenchEnd):
                summaries = event.summaries
    emit(summary_json(summaries) if json else result_tables(summaries))


@app.command(epilog=SPEED_EXAMPLES)
def fps(
    source: stream_options.Source,
    seconds: own.Seconds = 60.0,
    policy: own.Policies = None,
    grid: own.SpeedGrid = None,
    find_max_fps: own.FindMaxFps = False,
    floor_steps: own.FloorSteps = 4,
    clock: own.ClockOption = Clock.WALL,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DtypeOption = Dtype.AUTO,
    attention: options.AttentionOption = Attention.AUTO,
    quantize: options.QuantizeOption = Quantize.NONE,
    compiled: options.CompileOption = False,
    graphs: options.GraphsOption = Graphs.AUTO,
    packed: own.Packed = True,
    threads: options.Threads = None,
    fps: stream_options.Fps = DEFAULT.fps,
    step_seconds: stream_options.StepSeconds = DEFAULT.step_seconds,
    min_pixels: stream_options.MinPixels = DEFAULT.min_pixels,
    max_pixels: stream_options.MaxPixels = DEFAULT.max_pixels,
    drop_static: stream_options.DropStatic = DEFAULT.drop_static,
    restart_seconds: stream_options.RestartSeconds = DEFAULT.restart_seconds,
    sink: stream_options.Sink = DEFAULT.sink,
    text_window: stream_options.TextWindow = DEFAULT.text_window,
    vision_window: stream_options.VisionWindow = DEFAULT.vision_window,
    rounds: stream_options.Rounds = DEFAULT.rounds,
    max_new_tokens: stream_options.MaxNewTokens = WORDS.max_new_tokens,
    out: own.Folder = SPEED_OUT,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read by cli.main
) -> None:
    """Time every stage of a stream, per policy, as it goes on, against the floor of bare kernels."""
    settings = StreamSettings(
        fps=fps,
        step_seconds=step_seconds,
        restart_seconds=restart_seconds,
        sink=sink,
        text_window=text_window,
        vision_window=vision_window,
        rounds=rounds,
        sampling=Sampling(max_new_tokens, greedy=True),
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        drop_static=drop_static,
    )
    from svlm_cli.bench.speed.fps import SpeedEnd, bench_fps
    from svlm_cli.bench.speed.grid import load_speed_grid
    from svlm_cli.bench.speed.report import main_table
    from svlm_cli.commands.bench.speed_view import SpeedView
    from svlm_cli.model.load import load_model

    if grid and policy:
        raise UsageError("--grid lists the policies: --policy does not go with it")
    runs = (
        load_speed_grid(grid, settings)
        if grid
        else tuple(
            NamedSettings(each.value, replace(settings, policy=each))
            for each in dict.fromkeys(policy or list(Policy))
        )
    )
    if compiled and any(run.settings.policy is Policy.FULL for run in runs):
        raise UsageError(
            "--compile needs a bounded cache: what was compiled would not fit once it has grown",
            "name other policies, e.g. --policy streaming --policy recompute",
        )
    plan = SpeedPlan(source, runs, seconds, floor_steps, clock)
    opened = load_model(
        model,
        device=device,
        dtype=dtype.value,
        attention=attention.value,
        threads=threads,
        quantize=quantize.value,
        packed=packed,
        compiled=compiled,
        graphs=graphs.value,
    )
    if clock is Clock.CPU and opened.device.type == "cuda":
        raise UsageError(
            "--clock cpu does not go with CUDA", "its stages are timed on the device: leave it out"
        )
    how: dict[str, object] = {
        "attention": opened.attention,
        "quantize": opened.quantize,
        "packed": packed and not compiled,
        "compiled": compiled,
        "graphs": opened.word_forward is not None and opened.word_forward.graphs,
        "threads": threads or "default",
    }
    summary: Mapping[str, object] = {}
    with (
        SpeedView(quiet=quiet) as view,
        closing(bench_fps(opened, plan, how, out, find_max=find_max_fps)) as events,
    ):
        for event in events:
            view.show(event)
            if isinstance(event, SpeedEnd):
                summary = event.summary
    emit(as_json(summary, 2) if json else main_table(summary))
