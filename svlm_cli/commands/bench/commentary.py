"""``svlm bench commentary``: Inf-Streams-Eval, by a model of your own or a rival, judged in pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.bench.commentary.games import PAPER_START_SECONDS, Previous, Setting
from svlm_cli.commands import options
from svlm_cli.commands.bench import judge_options as judging
from svlm_cli.commands.bench import options as own
from svlm_cli.commands.bench.work import (
    ONLY_API,
    ONLY_MODEL,
    ONLY_STREAM,
    PRESET_DECIDES,
    ask_rival,
    finish,
    judge_all,
    refuse_together,
    refuse_unused,
    show_work,
    show_written,
)
from svlm_cli.commands.options import Attention, Dtype, choices, finite, option
from svlm_cli.commands.stream import options as stream_options
from svlm_cli.settings import Sampling, StreamSettings

if TYPE_CHECKING:
    from svlm_cli.bench.commentary.games import Game, Window

DEFAULT = StreamSettings()
WORDS = DEFAULT.sampling
PREDICTIONS = Path("bench-commentary")
SCORES = Path("bench-commentary-score")

GENERATE_EXAMPLES = """Examples:

svlm bench commentary generate eval_all_metadata.jsonl --clips score_all_clips.jsonl --out ours

svlm bench commentary generate eval_all_metadata.jsonl --setting chunked --previous none --out chunked

svlm bench commentary generate eval_all_metadata.jsonl --grid recipes/bench_commentary_grid.yaml --out grid

svlm bench commentary generate eval_all_metadata.jsonl --api gpt-4o-mini --preset gpt-4o-mini --dry-run"""

SCORE_EXAMPLES = """Examples:

svlm bench commentary score ours rival --metadata eval_all_metadata.jsonl --dry-run

svlm bench commentary score ours rival --metadata eval_all_metadata.jsonl --judge gpt-5 --out judged"""

app = typer.Typer(help="Inf-Streams-Eval: commentary on whole games, judged in pairs.")

Metadata = Annotated[
    Path, typer.Argument(metavar="METADATA", help="eval_all_metadata.jsonl: games with their transcripts.")
]
MetadataOption = Annotated[
    Path,
    option(judging.DATA_PANEL, "--metadata FILE", "eval_all_metadata.jsonl: games with their transcripts."),
]
Clips = Annotated[
    Path | None,
    option(
        judging.DATA_PANEL,
        "--clips FILE",
        "score_all_clips.jsonl: the windows that are scored.",
        show_default="from --start on, every 100 s with 200 words or more",
    ),
]
SettingOption = Annotated[
    Setting,
    option(
        judging.DATA_PANEL,
        f"--setting {choices(Setting)}",
        "One stream from --start to the end of the last window, or a fresh one for every window.",
    ),
]
PreviousOption = Annotated[
    Previous,
    option(
        judging.DATA_PANEL,
        f"--previous {choices(Previous)}",
        "What a stream is told as previous text: the reference up to its start, or nothing but the title.",
    ),
]
Start = Annotated[
    float,
    option(judging.DATA_PANEL, "--start SECONDS", "Where the infinite stream begins.", callback=finite),
]
ChunkSeconds = Annotated[
    float | None,
    option(
        judging.DATA_PANEL,
        "--chunk-seconds SECONDS",
        "Length of the chunked streams.",
        callback=finite,
        show_default="the scored windows themselves",
    ),
]
Ours = Annotated[
    Path,
    typer.Argument(metavar="OURS", help="Predictions: a folder of generate, or a file; every run in it."),
]
RivalArgument = Annotated[Path, typer.Argument(metavar="RIVAL", help="Predictions to compare with: one run.")]


@app.command(epilog=GENERATE_EXAMPLES)
def generate(
    context: typer.Context,
    metadata: Metadata,
    clips: Clips = None,
    videos: judging.Videos = None,
    setting: SettingOption = Setting.INFINITE,
    previous: PreviousOption = Previous.REFERENCE,
    start: Start = PAPER_START_SECONDS,
    chunk_seconds: ChunkSeconds = None,
    limit: judging.Limit = None,
    grid: own.Grid = None,
    name: judging.RunName = "",
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DtypeOption = Dtype.AUTO,
    attention: options.AttentionOption = Attention.AUTO,
    threads: options.Threads = None,
    fps: stream_options.Fps = DEFAULT.fps,
    step_seconds: stream_options.StepSeconds = DEFAULT.step_seconds,
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
    temperature: stream_options.Temperature = WORDS.temperature,
    top_k: stream_options.TopK = WORDS.top_k,
    top_p: stream_options.TopP = WORDS.top_p,
    repetition_penalty: stream_options.RepetitionPenalty = WORDS.repetition_penalty,
    greedy: stream_options.Greedy = WORDS.greedy,
    seed: stream_options.Seed = WORDS.seed,
    api: judging.Api = "",
    base_url: judging.BaseUrl = None,
    preset: judging.Preset = None,
    api_fps: judging.ApiFps = 0.25,
    api_height: judging.ApiHeight = 360,
    workers: judging.Workers = 8,
    price: judging.PriceOption = "",
    dry_run: judging.DryRun = False,
    out: judging.Results = PREDICTIONS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Commentate the games, with a model of your own or (--api) with any vision model behind an address."""
    settings = StreamSettings(
        fps=fps,
        step_seconds=step_seconds,
        policy=policy,
        positions=positions,
        restart_seconds=restart_seconds,
        sink=sink,
        text_window=text_window,
        vision_window=vision_window,
        rounds=rounds,
        query=query,
        sampling=Sampling(max_new_tokens, temperature, top_k, top_p, repetition_penalty, greedy, seed),
        min_pixels=min_pixels,
        max_pixels=max_pixels,
    )
    from svlm_cli.bench.api.options import ApiOptions
    from svlm_cli.bench.commentary import infstreams as bench
    from svlm_cli.bench.common.grid import load_entries
    from svlm_cli.bench.common.model import ModelOptions

    task = bench.Task(setting, previous, start, chunk_seconds)
    games, windows = _data(metadata, clips, start, limit)
    folder = videos or metadata.parent
    refuse_together(grid=grid, api=api, name=name)
    if api:
        refuse_unused(context, {*ONLY_MODEL, *ONLY_STREAM} - {"query"}, "with --api")
        if preset:
            refuse_unused(context, PRESET_DECIDES, f"with --preset {preset.value}")
        asked = ApiOptions(api, base_url, workers, api_fps, api_height, query, 400, judging.read_price(price))
        told = Previous.NONE if preset else previous
        task = replace(task, setting=Setting.CHUNKED, previous=told)
        pieces = task.pieces(games, windows, folder)
        name = name or api
        ask_rival(
            pieces,
            asked,
            preset,
            name,
            task.protocol,
            out,
            bench.shape,
            dry_run=dry_run,
            json=json,
            quiet=quiet,
        )
        return
    refuse_unused(context, ONLY_API, "without --api MODEL")
    runs = (
        load_entries(
            grid,
            settings,
            lambda entry: bench.piece_run(entry, task, games, windows, folder),
            bench.GRID_KEYS,
            "recipes/bench_commentary_grid.yaml",
        )
        if grid
        else (bench.one_run(name or policy.value, settings, task, games, windows, folder),)
    )
    from svlm_cli.bench.commentary.speak import commentate

    opening = ModelOptions(model, device, dtype.value, attention.value, threads)
    show_work(commentate(runs, opening, out, bench.shape), quiet=quiet, verbose=verbose)
    show_written(out, json=json, hint=f"svlm bench commentary score {out} RIVAL --metadata {metadata}")


@app.command(epilog=SCORE_EXAMPLES)
def score(
    context: typer.Context,
    ours: Ours,
    rival: RivalArgument,
    metadata: MetadataOption,
    clips: Clips = None,
    start: Start = PAPER_START_SECONDS,
    limit: judging.Limit = None,
    judge: judging.Judge = "gpt-5",
    base_url: judging.BaseUrl = None,
    judge_prompt: judging.JudgePrompt = None,
    seed: stream_options.Seed = 0,
    workers: judging.Workers = 8,
    price: judging.PriceOption = "",
    dry_run: judging.DryRun = False,
    out: judging.Report = SCORES,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Let a judge compare two predictions window by window, in both orders; every vote is stored."""
    if clips is not None:
        refuse_unused(context, ("start",), "with --clips")
    from svlm_cli.bench.commentary import infstreams as bench
    from svlm_cli.bench.commentary.games import load_predictions, one_of
    from svlm_cli.bench.common.tables import claim
    from svlm_cli.bench.judge.contests import load_template
    from svlm_cli.bench.judge.judge import JudgeOptions, Judging

    _, windows = _data(metadata, clips, start, limit)
    against = one_of(load_predictions(rival), rival)
    rules = bench.rules(load_template(judge_prompt) if judge_prompt else None, seed)
    inputs = [path and path.resolve() for path in (ours, rival, metadata, clips)]
    work = claim(out, "commentary", [*inputs, judge, rules.name])
    options_of_judge = JudgeOptions(judge, base_url, workers, judging.read_price(price))
    notes, judgings = [], []
    runs = load_predictions(ours)
    for run in runs:
        contests, missing = bench.contests(run, against, windows)
        notes += [f"{missing}."] if missing else []
        names = (run.name, against.name)
        judgings.append(Judging(contests, names, rules, options_of_judge, out))
    if judge_all(judgings, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose):
        found = [bench.row(run, against, each) for run, each in zip(runs, judgings, strict=True)]
        notes += [note for _, own_notes in found for note in own_notes]
        finish(bench.report([row for row, _ in found], notes), out, work, json=json)


def _data(
    metadata: Path, clips: Path | None, start: float, limit: int | None
) -> tuple[list[Game], list[Window]]:
    from svlm_cli.bench.commentary.games import cut_windows, load_games, load_windows

    games = load_games(metadata)
    games = games if limit is None else games[:limit]
    if clips is None:
        return games, cut_windows(games, start)
    known = {game.name for game in games}
    every = load_windows(clips, load_games(metadata))
    return games, [window for window in every if window.game.name in known]
