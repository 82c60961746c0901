"""``svlm bench longvideo``: LongVideoBench, streamed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands.bench import judge_options as judging
from svlm_cli.commands.bench.judge_options import EndpointChoice, Shown
from svlm_cli.commands.bench.work import Answers, ask_videos, finish
from svlm_cli.commands.examples import shown
from svlm_cli.commands.groups import Without, grouped
from svlm_cli.commands.options import ModelChoice, Talk
from svlm_cli.commands.output import TalkConsole
from svlm_cli.commands.stream.options import (
    DEFAULT,
    MemoryChoice,
    SamplingChoice,
    Seed,
    SightChoice,
    stream_settings,
)

SIGHT = SightChoice(fps=1.0, step_seconds=2.0, query="")
ANSWERS = Path("bench-longvideo")

GENERATE_EXAMPLES = """
# needs: the data set
svlm bench longvideo generate lvb_val.json --videos videos --out ours
svlm bench longvideo generate lvb_val.json --videos videos --show whole --max-frames 64 --out whole"""

SCORE_EXAMPLES = """
# needs: results of the data set
svlm bench longvideo score ours"""

app = typer.Typer(help="LongVideoBench: multiple choice about whole videos.")

Questions = Annotated[
    Path, typer.Argument(metavar="QUESTIONS", help="The file lvb_val.json of LongVideoBench.")
]
Stored = Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that generate filled.")]


@shown(app, GENERATE_EXAMPLES)
@grouped
def generate(
    context: typer.Context,
    questions: Questions,
    *,
    videos: judging.Videos = None,
    limit: judging.Limit = None,
    shown: Shown,
    name: judging.RunName = "",
    model: ModelChoice,
    sight: Annotated[SightChoice, Without("drop_static")] = SIGHT,
    memory: MemoryChoice,
    seed: Seed = DEFAULT.sampling.seed,
    address: Annotated[EndpointChoice, Without("preset", "api_fps")],
    out: judging.Results = ANSWERS,
    talk: Talk,
) -> None:
    """Ask each question at the end of its video, which is streamed at 1 FPS or shown as a set of frames."""
    settings = stream_settings(sight, memory, SamplingChoice(seed=seed))
    from svlm_cli.bench.questions.longvideo import PROTOCOL, asked, load_items, without_subtitles

    items = load_items(questions)[:limit]
    told = without_subtitles(sum(item.has_subtitles for item in items), len(items))
    if told and not talk.quiet:
        TalkConsole().tell(f"warning: {told}", "yellow")
    found = asked(items, videos or questions.parent)
    run = Answers(name, out, f"svlm bench longvideo score {out}", batch=shown.batch)
    ask_videos(context, found, PROTOCOL, shown, settings, model, address, run, talk)


@shown(app, SCORE_EXAMPLES)
@grouped
def score(
    results: Stored,
    *,
    out: judging.ScoreFolder = None,
    talk: Talk,
) -> None:
    """Score stored answers: overall, by duration group and by category."""
    from svlm_cli.bench.common.tables import claim_figures
    from svlm_cli.bench.questions.longvideo import report, rows

    found, notes = rows(results)
    folder = judging.score_folder(out, [results], "bench-longvideo-score", talk)
    work = claim_figures(folder, "longvideo", [results.resolve()])
    finish(report(found, notes), folder, work, json=talk.json)
