"""``svlm bench ovo``: OVO-Bench, streamed or not, by two protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.bench.questions.ovo import Protocol
from svlm_cli.commands import options
from svlm_cli.commands.bench import judge_options as judging
from svlm_cli.commands.bench.judge_options import Showing, ShowOption
from svlm_cli.commands.bench.work import ask_videos, finish
from svlm_cli.commands.options import Attention, Dtype, choices, option
from svlm_cli.commands.stream import options as stream_options
from svlm_cli.settings import StreamSettings

DEFAULT = StreamSettings()
ANSWERS = Path("bench-ovo")

GENERATE_EXAMPLES = """Examples:

svlm bench ovo generate ovo_bench_new.json --videos src_videos --out ours

svlm bench ovo generate ovo_bench_new.json --videos src_videos --protocol logit --out ours-logit

svlm bench ovo generate ovo_bench_new.json --prompts prompts.json --api gpt-4o --dry-run"""

SCORE_EXAMPLES = """Examples:

svlm bench ovo score ours ours-logit

svlm bench ovo score results_FlashVStream --json"""

app = typer.Typer(help="OVO-Bench: questions at their time in a video.")

Annotations = Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="ovo_bench_new.json.")]
ProtocolOption = Annotated[
    Protocol,
    option(
        judging.DATA_PANEL,
        f"--protocol {choices(Protocol)}",
        "A free reply, or the best of the possible answers by their logits.",
    ),
]
Prompts = Annotated[
    Path | None,
    option(
        judging.DATA_PANEL,
        "--prompts FILE",
        "JSON with the official wording of the questions under templates.",
        show_default="svlm's own wording",
    ),
]
Stored = Annotated[
    list[Path],
    typer.Argument(metavar="RESULTS...", help="Folders of generate, or result files in the official form."),
]


@app.command(epilog=GENERATE_EXAMPLES)
def generate(
    context: typer.Context,
    annotations: Annotations,
    videos: judging.Videos = None,
    protocol: ProtocolOption = Protocol.OFFICIAL,
    prompts: Prompts = None,
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
    fps: stream_options.Fps = DEFAULT.fps,
    step_seconds: stream_options.StepSeconds = DEFAULT.step_seconds,
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
    """Ask every query at its time; the video is streamed once, or shown in frames."""
    from svlm_cli.bench.common.model import ModelOptions
    from svlm_cli.bench.questions.ovo import OWN_WORDING, load_items, load_wording, queries
    from svlm_cli.bench.questions.ovo_bench import asked
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
    wording = load_wording(prompts) if prompts else OWN_WORDING
    found = queries(load_items(annotations)[:limit], protocol, wording)
    ask_videos(
        context,
        asked(found, videos or annotations.parent, protocol),
        f"OVO-Bench {protocol.value}, {wording.name}",
        Showings(show, settings, max_frames, recent_frames, speak, max_answer_tokens),
        ModelOptions(model, device, dtype.value, attention.value, threads),
        judging.ApiChoice(
            api, base_url, api_height, workers, price, dry_run, needs_logits=protocol is Protocol.LOGIT
        ),
        name,
        out,
        f"svlm bench ovo score {out}",
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
    """Score answers that are stored: by the protocol's rule, and by strict extraction beside it."""
    from svlm_cli.bench.common.tables import claim
    from svlm_cli.bench.questions.ovo_bench import load_results, report

    folder = judging.score_folder(out, results, "bench-ovo-score")
    work = claim(folder, "ovo", [path.resolve() for path in results])
    finish(report(load_results(results)), folder, work, json=json)
