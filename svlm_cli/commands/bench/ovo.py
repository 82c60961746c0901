"""``svlm bench ovo``: OVO-Bench, streamed or not, by two protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.bench.questions.ovo import OvoProtocol
from svlm_cli.commands.bench import judge_options as judging
from svlm_cli.commands.bench.judge_options import EndpointChoice, Shown
from svlm_cli.commands.bench.work import Answers, ask_videos, finish, show_work
from svlm_cli.commands.examples import shown
from svlm_cli.commands.groups import Without, grouped
from svlm_cli.commands.options import ModelChoice, Talk, choices, option
from svlm_cli.commands.stream.options import (
    DEFAULT,
    MemoryChoice,
    SamplingChoice,
    Seed,
    SightChoice,
    stream_settings,
)

SIGHT = SightChoice(query="")
ANSWERS = Path("bench-ovo")

GENERATE_EXAMPLES = """
# needs: the data set
svlm bench ovo generate ovo_bench_new.json --videos src_videos --out ours
svlm bench ovo generate ovo_bench_new.json --videos src_videos --protocol logit --out ours-logit
svlm bench ovo generate ovo_bench_new.json --prompts prompts.json --api gpt-4o --dry-run"""

SCORE_EXAMPLES = """
# needs: results of the data set
svlm bench ovo score ours ours-logit
svlm bench ovo score results_FlashVStream --json"""

app = typer.Typer(help="OVO-Bench: questions at their time in a video.")

Annotations = Annotated[
    Path, typer.Argument(metavar="ANNOTATIONS", help="The file ovo_bench_new.json of OVO-Bench.")
]
ProtocolOption = Annotated[
    OvoProtocol,
    option(
        judging.DATA_PANEL,
        f"--protocol {choices(OvoProtocol)}",
        "official: a free reply; logit: the most likely of the possible answers.",
    ),
]
Prompts = Annotated[
    Path | None,
    option(
        judging.DATA_PANEL,
        "--prompts FILE",
        "JSON file with the official wording of the questions, under templates.",
        show_default="svlm's own wording",
    ),
]
Stored = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULTS...", help="Folders that generate filled, or result files in the official form."
    ),
]


@shown(app, GENERATE_EXAMPLES)
@grouped
def generate(
    context: typer.Context,
    annotations: Annotations,
    *,
    videos: judging.Videos = None,
    protocol: ProtocolOption = OvoProtocol.OFFICIAL,
    prompts: Prompts = None,
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
    """Ask each query at its time in the video, which is streamed once or shown as a set of frames."""
    settings = stream_settings(sight, memory, SamplingChoice(seed=seed))
    from svlm_cli.bench.questions.ovo import OWN_WORDING, load_items, load_wording, queries
    from svlm_cli.bench.questions.ovo_bench import asked
    from svlm_cli.types import WarningEvent

    wording = load_wording(prompts) if prompts else OWN_WORDING
    found = queries(load_items(annotations)[:limit], protocol, wording)
    by_logits = protocol is OvoProtocol.LOGIT
    run = Answers(name, out, f"svlm bench ovo score {out}", needs_logits=by_logits, batch=shown.batch)
    notes: list[str] = []
    questions = asked(found, videos or annotations.parent, protocol, notes.append)
    show_work((WarningEvent(note) for note in notes), talk)
    ask_videos(
        context,
        questions,
        f"OVO-Bench {protocol.value}, {wording.name}",
        shown,
        settings,
        model,
        address,
        run,
        talk,
    )


@shown(app, SCORE_EXAMPLES)
@grouped
def score(
    results: Stored,
    *,
    out: judging.ScoreFolder = None,
    talk: Talk,
) -> None:
    """Score stored answers by the rule of their protocol and, beside it, by strict extraction."""
    from svlm_cli.bench.common.tables import claim_figures
    from svlm_cli.bench.questions.ovo_bench import load_results, report

    found = report(load_results(results))
    folder = judging.score_folder(out, results, "bench-ovo-score", talk)
    work = claim_figures(folder, "ovo", [path.resolve() for path in results])
    finish(found, folder, work, json=talk.json)
