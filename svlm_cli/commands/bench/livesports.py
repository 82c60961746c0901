"""``svlm bench livesports``: LiveSports-3K CC, by a model of your own or a rival, judged as LiveCC does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands.bench import judge_options as judging
from svlm_cli.commands.bench import options as own
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
    staff,
)
from svlm_cli.commands.examples import shown
from svlm_cli.commands.groups import Without, grouped
from svlm_cli.commands.options import ModelChoice, Talk, option, optional_text
from svlm_cli.commands.stream.options import (
    DEFAULT,
    MemoryChoice,
    SamplingChoice,
    SightChoice,
    stream_settings,
)
from svlm_cli.errors import UsageError

ADDRESS = judging.EndpointChoice(api_fps=1.0)
JUDGE = judging.JudgeChoice("gpt-4o-2024-08-06")
PREDICTIONS = Path("bench-livesports")
SCORES = "bench-livesports-score"

GENERATE_EXAMPLES = """
# needs: the data set
svlm bench livesports generate events.jsonl --videos videos --out ours
svlm bench livesports generate events.jsonl --videos videos --api gpt-4o --out rival --dry-run"""

SCORE_EXAMPLES = """
# needs: the data set, and an address to judge
svlm bench livesports score ours rival --events events.jsonl --dry-run
svlm bench livesports score --votes judge_GPT-4o_vs_LiveCC-7B-Instruct.jsonl"""

app = typer.Typer(help="LiveSports-3K CC: commentary on events, judged in pairs.")

Events = Annotated[Path, typer.Argument(metavar="EVENTS", help="Rows of LiveSports_3K_CC as JSON Lines.")]
EventsOption = Annotated[
    list[Path] | None,
    option(
        judging.DATA_PANEL,
        "--events FILE",
        "Rows of LiveSports_3K_CC as JSON Lines, with event_asr_text; repeat it for several splits.",
        show_default="required, unless --votes is given",
    ),
]
Ours = Annotated[
    Path | None,
    typer.Argument(
        metavar="OURS",
        help="Predictions to score: a folder that generate filled, or a file.",
        show_default="required, unless --votes is given",
    ),
]
RivalArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="RIVAL",
        help="Predictions to compare with: a folder or a file.",
        show_default="required, unless --votes is given",
    ),
]
Votes = Annotated[
    Path | None,
    option(
        judging.DATA_PANEL,
        "--votes FILE",
        "Score these stored votes, svlm's or LiveCC's, and call no judge.",
        show_default="none",
    ),
]
Baseline = Annotated[
    str | None,
    option(
        judging.DATA_PANEL,
        "--baseline NAME",
        "With --votes: the model that the others are compared with.",
        callback=optional_text,
        show_default="GPT-4o, if it is one of them",
    ),
]


@shown(app, GENERATE_EXAMPLES)
@grouped
def generate(
    context: typer.Context,
    events: Events,
    *,
    videos: judging.Videos = None,
    limit: judging.Limit = None,
    name: judging.RunName = "",
    model: ModelChoice,
    sight: Annotated[SightChoice, Without("drop_static")],
    memory: MemoryChoice,
    words: SamplingChoice,
    batch: own.Batch = 1,
    address: Annotated[judging.EndpointChoice, Without("preset")] = ADDRESS,
    out: judging.Results = PREDICTIONS,
    talk: Talk,
) -> None:
    """Commentate each event, given its title and what was said before it."""
    settings = stream_settings(sight, memory, words)
    from svlm_cli.bench.commentary import livesports
    from svlm_cli.bench.commentary.pieces import PieceRun
    from svlm_cli.bench.commentary.rival import rival
    from svlm_cli.bench.commentary.speak import commentate

    pieces = livesports.pieces(livesports.load_events(events)[:limit], videos or events.parent)
    protocol = "told title and words before"
    if address.api:
        refuse_unused(context, {*ONLY_MODEL, *ONLY_STREAM} - {"query"}, "with --api")
        query = livesports.QUERY if sight.query == DEFAULT.query else sight.query
        asked = address.options(query, 100, settings.viewing)
        work = rival(pieces, asked, name or address.api, protocol, out, livesports.shape)
        ask_rival(work, address, talk, out)
        return
    refuse_unused(context, ONLY_API, "without --api MODEL")
    run = PieceRun(name or memory.policy.value, settings, protocol, pieces)
    show_work(commentate((run,), staff(model, address, batch), out, livesports.shape), talk)
    show_written(out, json=talk.json, hint=f"svlm bench livesports score {out} RIVAL --events {events}")


@shown(app, SCORE_EXAMPLES)
@grouped
def score(
    ours: Ours = None,
    rival: RivalArgument = None,
    *,
    events: EventsOption = None,
    votes: Votes = None,
    baseline: Baseline = None,
    limit: judging.Limit = None,
    judge: judging.JudgeChoice = JUDGE,
    out: judging.Report = None,
    talk: Talk,
) -> None:
    """Let a judge compare two sets of predictions, event by event, in both orders; or score stored votes."""
    from svlm_cli.bench.commentary import livesports
    from svlm_cli.bench.common.tables import claim_figures
    from svlm_cli.bench.judge.judge import Judging
    from svlm_cli.bench.judge.votes import load_votes

    if votes is not None:
        if ours is not None or judge.dry_run:
            raise UsageError("--votes asks nobody: it goes with neither predictions nor --dry-run")
        found = load_votes(votes)
        known = livesports.load_events(*events) if events else []
        rows = livesports.rows_of_votes(found, baseline, votes.name, known)
        out = judging.own_folder(out, SCORES, [votes], talk)
        work = claim_figures(out, "livesports", [votes.resolve()])
        problems = [f"{problem}." for problem in found.problems]
        finish(livesports.report(rows, problems), out, work, json=talk.json)
        return
    if ours is None or rival is None or not events or baseline is not None:
        raise UsageError("give OURS, RIVAL and --events, or --votes (maybe with --baseline)")
    a, b = livesports.load_predictions(ours), livesports.load_predictions(rival)
    contests, missing = livesports.contests(livesports.load_events(*events)[:limit], a, b)
    rules = livesports.rules(judge.template())
    inputs = [path.resolve() for path in (ours, rival, *events)]
    part = [] if limit is None else [limit]
    out = judging.own_folder(out, SCORES, [*inputs, judge.judge, rules.name, *part], talk)
    work = claim_figures(out, "livesports", [*inputs, judge.judge, rules.name])
    judgement = Judging(contests, (a.name, b.name), rules, judge.options(), out)
    if judge_all([judgement], judge, talk):
        row, told = livesports.row(a, b, judgement)
        notes = [*([f"{missing}."] if missing else []), *told]
        finish(livesports.report([row], notes), out, work, json=talk.json)
