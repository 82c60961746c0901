"""``svlm bench livesports``: LiveSports-3K CC, by a model of your own or a rival, judged as LiveCC does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.bench import judge_options as judging
from svlm_cli.commands.bench.work import (
    ONLY_API,
    ONLY_MODEL,
    ONLY_STREAM,
    ask_rival,
    finish,
    judge_all,
    refuse_unused,
    show_work,
    show_written,
)
from svlm_cli.commands.options import Attention, Dtype, option, unicode_text
from svlm_cli.commands.stream import options as stream_options
from svlm_cli.errors import UsageError
from svlm_cli.settings import Sampling, StreamSettings

DEFAULT = StreamSettings()
WORDS = DEFAULT.sampling
PREDICTIONS = Path("bench-livesports")
SCORES = Path("bench-livesports-score")

GENERATE_EXAMPLES = """Examples:

svlm bench livesports generate events.jsonl --videos videos --out ours

svlm bench livesports generate events.jsonl --videos videos --api gpt-4o --out rival --dry-run"""

SCORE_EXAMPLES = """Examples:

svlm bench livesports score ours rival --events events.jsonl --dry-run

svlm bench livesports score --votes judge_GPT-4o_vs_LiveCC-7B-Instruct.jsonl"""

app = typer.Typer(help="LiveSports-3K CC: commentary on events, judged in pairs.")

Events = Annotated[Path, typer.Argument(metavar="EVENTS", help="Rows of LiveSports_3K_CC as JSON Lines.")]
EventsOption = Annotated[
    Path | None,
    option(
        judging.DATA_PANEL,
        "--events FILE",
        "Rows of LiveSports_3K_CC as JSON Lines, with event_asr_text.",
        show_default="required, unless --votes is given",
    ),
]
Ours = Annotated[
    Path | None,
    typer.Argument(
        metavar="OURS",
        help="Predictions: a folder of generate, or a file.",
        show_default="required, unless --votes is given",
    ),
]
Rival = Annotated[
    Path | None,
    typer.Argument(
        metavar="RIVAL",
        help="Predictions to compare with.",
        show_default="required, unless --votes is given",
    ),
]
Votes = Annotated[
    Path | None,
    option(
        judging.DATA_PANEL,
        "--votes FILE",
        "Score stored votes, ours or LiveCC's, and ask nobody.",
        show_default="none",
    ),
]
Baseline = Annotated[
    str | None,
    option(
        judging.DATA_PANEL,
        "--baseline NAME",
        "With --votes: who the others are compared with.",
        callback=lambda value: None if value is None else unicode_text(value),
        show_default="GPT-4o, if it is one of them",
    ),
]


@app.command(epilog=GENERATE_EXAMPLES)
def generate(
    context: typer.Context,
    events: Events,
    videos: judging.Videos = None,
    limit: judging.Limit = None,
    name: judging.RunName = "",
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DtypeOption = Dtype.AUTO,
    attention: options.AttentionOption = Attention.AUTO,
    threads: options.Threads = None,
    fps: stream_options.Fps = DEFAULT.fps,
    min_pixels: stream_options.MinPixels = DEFAULT.min_pixels,
    max_pixels: stream_options.MaxPixels = DEFAULT.max_pixels,
    query: stream_options.Query = DEFAULT.query,
    policy: stream_options.PolicyOption = DEFAULT.policy,
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
    api_fps: judging.ApiFps = 1.0,
    api_height: judging.ApiHeight = 360,
    workers: judging.Workers = 8,
    price: judging.PriceOption = "",
    dry_run: judging.DryRun = False,
    out: judging.Results = PREDICTIONS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Commentate the events, told their title and what was said before."""
    settings = StreamSettings(
        fps=fps,
        policy=policy,
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
    from svlm_cli.bench.commentary import livesports
    from svlm_cli.bench.commentary.pieces import PieceRun
    from svlm_cli.bench.commentary.speak import commentate
    from svlm_cli.bench.common.model import ModelOptions

    pieces = livesports.pieces(livesports.load_events(events)[:limit], videos or events.parent)
    protocol = "told title and words before"
    if api:
        refuse_unused(context, {*ONLY_MODEL, *ONLY_STREAM} - {"query"}, "with --api")
        own_query = livesports.QUERY if query == DEFAULT.query else query
        asked = ApiOptions(
            api, base_url, workers, api_fps, api_height, own_query, 100, judging.read_price(price)
        )
        name = name or api
        ask_rival(
            pieces,
            asked,
            None,
            name,
            protocol,
            out,
            livesports.shape,
            dry_run=dry_run,
            json=json,
            quiet=quiet,
        )
        return
    refuse_unused(context, ONLY_API, "without --api MODEL")
    run = PieceRun(name or policy.value, settings, protocol, pieces)
    opening = ModelOptions(model, device, dtype.value, attention.value, threads)
    show_work(commentate((run,), opening, out, livesports.shape), quiet=quiet, verbose=verbose)
    show_written(out, json=json, hint=f"svlm bench livesports score {out} RIVAL --events {events}")


@app.command(epilog=SCORE_EXAMPLES)
def score(
    ours: Ours = None,
    rival: Rival = None,
    events: EventsOption = None,
    votes: Votes = None,
    baseline: Baseline = None,
    limit: judging.Limit = None,
    judge: judging.Judge = "gpt-4o-2024-08-06",
    base_url: judging.BaseUrl = None,
    judge_prompt: judging.JudgePrompt = None,
    workers: judging.Workers = 8,
    price: judging.PriceOption = "",
    dry_run: judging.DryRun = False,
    out: judging.Report = SCORES,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Let a judge compare two predictions event by event, in both orders, or score votes that are stored."""
    from svlm_cli.bench.commentary import livesports
    from svlm_cli.bench.common.tables import claim
    from svlm_cli.bench.judge.contests import load_template
    from svlm_cli.bench.judge.judge import JudgeOptions, Judging
    from svlm_cli.bench.judge.votes import load_votes

    if votes is not None:
        if ours is not None or dry_run:
            raise UsageError("--votes asks nobody: it goes with neither predictions nor --dry-run")
        work = claim(out, "livesports", [votes.resolve()])
        found = load_votes(votes)
        rows = livesports.rows_of_votes(found, baseline, votes.name)
        finish(livesports.report(rows, [f"{problem}." for problem in found.problems]), out, work, json=json)
        return
    if ours is None or rival is None or events is None or baseline is not None:
        raise UsageError("give OURS, RIVAL and --events, or --votes (maybe with --baseline)")
    a, b = livesports.load_predictions(ours), livesports.load_predictions(rival)
    contests, missing = livesports.contests(livesports.load_events(events)[:limit], a, b)
    rules = livesports.rules(load_template(judge_prompt) if judge_prompt else None)
    work = claim(out, "livesports", [ours.resolve(), rival.resolve(), events.resolve(), judge, rules.name])
    judge_options = JudgeOptions(judge, base_url, workers, judging.read_price(price))
    judgement = Judging(contests, (a.name, b.name), rules, judge_options, out)
    if judge_all([judgement], dry_run=dry_run, json=json, quiet=quiet, verbose=verbose):
        row, told = livesports.row(a, b, judgement)
        notes = [*([f"{missing}."] if missing else []), *told]
        finish(livesports.report([row], notes), out, work, json=json)
