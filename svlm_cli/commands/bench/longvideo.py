"""``svlm bench longvideo``: LongVideoBench, streamed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.bench import judge_options as judging
from svlm_cli.commands.bench.judge_options import Showing, ShowOption
from svlm_cli.commands.bench.work import ask_videos, finish
from svlm_cli.commands.options import Attention, Dtype
from svlm_cli.commands.stream import options as stream_options
from svlm_cli.settings import StreamSettings

DEFAULT = StreamSettings()
ANSWERS = Path("bench-longvideo")

GENERATE_EXAMPLES = """Examples:

svlm bench longvideo generate lvb_val.json --videos videos --out ours

svlm bench longvideo generate lvb_val.json --videos videos --show whole --max-frames 64 --out whole"""

SCORE_EXAMPLES = """Examples:

svlm bench longvideo score ours"""

app = typer.Typer(help="LongVideoBench: multiple choice about whole videos.")

Questions = Annotated[Path, typer.Argument(metavar="QUESTIONS", help="lvb_val.json.")]
Stored = Annotated[Path, typer.Argument(metavar="RESULTS", help="A folder that generate has filled.")]


@app.command(epilog=GENERATE_EXAMPLES)
def generate(
    context: typer.Context,
    questions: Questions,
    videos: judging.Videos = None,
    limit: judging.Limit = None,
    show: ShowOption = Showing.STREAMED,
    max_frames: judging.WholeFrames = 64,
    recent_frames: judging.RecentFrames = 4,
    speak: judging.Speak = False,
    max_answer_tokens: judging.AnswerTokens = 64,
    name: judging.RunName = "",
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DtypeOption = Dtype.AUTO,
    attention: options.AttentionOption = Attention.AUTO,
    threads: options.Threads = None,
    fps: stream_options.Fps = 1.0,
    step_seconds: stream_options.StepSeconds = 2.0,
    min_pixels: stream_options.MinPixels = DEFAULT.min_pixels,
    max_pixels: stream_options.MaxPixels = DEFAULT.max_pixels,
    query: stream_options.Query = "",
    policy: stream_options.PolicyOption = DEFAULT.policy,
    restart_seconds: stream_options.RestartSeconds = DEFAULT.restart_seconds,
    sink: stream_options.Sink = DEFAULT.sink,
    text_window: stream_options.TextWindow = DEFAULT.text_window,
    vision_window: stream_options.VisionWindow = DEFAULT.vision_window,
    rounds: stream_options.Rounds = DEFAULT.rounds,
    seed: stream_options.Seed = DEFAULT.sampling.seed,
    api: judging.Api = "",
    base_url: judging.BaseUrl = None,
    api_height: judging.ApiHeight = 360,
    workers: judging.Workers = 8,
    price: judging.PriceOption = "",
    dry_run: judging.DryRun = False,
    out: judging.Results = ANSWERS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Ask every question at the end of its video, which is streamed at 1 FPS, or shown in frames."""
    from svlm_cli.bench.common.model import ModelOptions
    from svlm_cli.bench.questions.longvideo import PROTOCOL, asked, load_items
    from svlm_cli.commands.bench.work import Showings
    from svlm_cli.settings import Sampling

    settings = StreamSettings(
        fps=fps,
        step_seconds=step_seconds,
        policy=policy,
        restart_seconds=restart_seconds,
        sink=sink,
        text_window=text_window,
        vision_window=vision_window,
        rounds=rounds,
        query=query,
        sampling=Sampling(seed=seed),
        min_pixels=min_pixels,
        max_pixels=max_pixels,
    )
    ask_videos(
        context,
        asked(load_items(questions)[:limit], videos or questions.parent),
        PROTOCOL,
        Showings(show, settings, max_frames, recent_frames, speak, max_answer_tokens),
        ModelOptions(model, device, dtype.value, attention.value, threads),
        judging.ApiChoice(api, base_url, api_height, workers, price, dry_run),
        name,
        out,
        f"svlm bench longvideo score {out}",
        json=json,
        quiet=quiet,
        verbose=verbose,
    )


@app.command(epilog=SCORE_EXAMPLES)
def score(
    results: Stored,
    out: judging.ScoreFolder = None,
    json: options.Json = False,
    quiet: options.Quiet = False,  # noqa: ARG001 - there is nothing but data
    verbose: options.Verbose = False,  # noqa: ARG001 - read by the error handler
) -> None:
    """Score answers that are stored: overall, by duration group and by category."""
    from svlm_cli.bench.common.tables import claim
    from svlm_cli.bench.questions.longvideo import report, rows

    found, notes = rows(results)
    folder = judging.score_folder(out, [results], "bench-longvideo-score")
    work = claim(folder, "longvideo", [results.resolve()])
    finish(report(found, notes), folder, work, json=json)
