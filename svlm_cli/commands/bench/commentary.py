"""``svlm bench commentary``: Inf-Streams-Eval, by a model of your own or a rival, judged in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.bench.commentary.games import PAPER_START_SECONDS, Previous, Setting
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
    staff,
)
from svlm_cli.commands.examples import shown
from svlm_cli.commands.groups import Without, grouped
from svlm_cli.commands.options import ModelChoice, Talk, choices, finite, option
from svlm_cli.commands.output import TalkConsole, some_of
from svlm_cli.commands.stream.options import (
    LARGEST_SEED,
    MemoryChoice,
    SamplingChoice,
    SightChoice,
    stream_settings,
)

if TYPE_CHECKING:
    from svlm_cli.bench.api.videos import VideoCalls
    from svlm_cli.bench.commentary.games import Game, ScoredWindow
    from svlm_cli.bench.commentary.pieces import Piece
    from svlm_cli.settings import StreamSettings

PREDICTIONS = Path("bench-commentary")
SCORES = "bench-commentary-score"

GENERATE_EXAMPLES = """
# needs: the data set
svlm bench commentary generate eval_all_metadata.jsonl --clips score_all_clips.jsonl --out ours
svlm bench commentary generate eval_all_metadata.jsonl --setting chunked --start 0 --out chunked
svlm bench commentary generate eval_all_metadata.jsonl --grid recipes/bench_commentary_grid.yaml --out grid
svlm bench commentary generate eval_all_metadata.jsonl --api gpt-4o-mini --preset gpt-4o-mini --dry-run"""

SCORE_EXAMPLES = """
# needs: the data set, and an address to judge
svlm bench commentary score ours rival --metadata eval_all_metadata.jsonl --dry-run
svlm bench commentary score ours rival --metadata eval_all_metadata.jsonl --judge gpt-5 --out judged"""

app = typer.Typer(help="Inf-Streams-Eval: commentary on whole games, judged in pairs.")

Metadata = Annotated[
    Path,
    typer.Argument(
        metavar="METADATA", help="The file eval_all_metadata.jsonl: games with their transcripts."
    ),
]
MetadataOption = Annotated[
    Path,
    option(
        judging.DATA_PANEL,
        "--metadata FILE",
        "The file eval_all_metadata.jsonl: games with their transcripts.",
    ),
]
Clips = Annotated[
    Path | None,
    option(
        judging.DATA_PANEL,
        "--clips FILE",
        "The file score_all_clips.jsonl: the windows that are scored.",
        show_default="every 100 s from --start on with 200 words or more",
    ),
]
SettingOption = Annotated[
    Setting,
    option(
        judging.DATA_PANEL,
        f"--setting {choices(Setting)}",
        "infinite: one stream from --start to the end of the last window; chunked: a fresh stream "
        "for every window.",
    ),
]
PreviousOption = Annotated[
    Previous,
    option(
        judging.DATA_PANEL,
        f"--previous {choices(Previous)}",
        "Previous text that a stream is given. reference: the reference commentary up to its start; "
        "none: only the title.",
    ),
]
Start = Annotated[
    float | None,
    option(
        judging.DATA_PANEL,
        "--start SECONDS",
        "First second of a game that is commentated and scored: an infinite stream begins there, windows are "
        "cut from there on, and windows of --clips that begin before are left out.",
        callback=finite,
        show_default="1000; every window of --clips, where each has a fresh stream",
    ),
]
ChunkSeconds = Annotated[
    float | None,
    option(
        judging.DATA_PANEL,
        "--chunk-seconds SECONDS",
        "Length of each stream of --setting chunked.",
        callback=finite,
        show_default="the scored windows themselves",
    ),
]
Ours = Annotated[
    Path,
    typer.Argument(
        metavar="OURS",
        help="Predictions to score: a folder that generate filled, or a file. Every run in it is judged.",
    ),
]
RivalArgument = Annotated[
    Path, typer.Argument(metavar="RIVAL", help="Predictions of one run to compare with: a folder or a file.")
]
JudgeSeed = Annotated[
    int,
    option(
        judging.API_PANEL, "--seed N", "Seed sent to the judge with every question.", min=0, max=LARGEST_SEED
    ),
]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which games and windows, and how they are cut."""

    clips: Clips = None
    videos: judging.Videos = None
    setting: SettingOption = Setting.INFINITE
    previous: PreviousOption = Previous.REFERENCE
    start: Start = None
    chunk_seconds: ChunkSeconds = None
    limit: judging.Limit = None
    grid: Annotated[
        Path | None, own.grid_option(judging.DATA_PANEL, "recipes/bench_commentary_grid.yaml")
    ] = None
    name: judging.RunName = ""


@shown(app, GENERATE_EXAMPLES)
@grouped
def generate(
    context: typer.Context,
    metadata: Metadata,
    *,
    choice: Choice,
    model: ModelChoice,
    sight: Annotated[SightChoice, Without("drop_static")],
    memory: MemoryChoice,
    words: SamplingChoice,
    batch: own.Batch = 1,
    address: judging.EndpointChoice,
    out: judging.Results = PREDICTIONS,
    talk: Talk,
) -> None:
    """Commentate the games with a model of your own or, by --api, any vision model at an address."""
    settings = stream_settings(sight, memory, words)
    from svlm_cli.bench.commentary import infstreams as bench
    from svlm_cli.bench.commentary.speak import commentate
    from svlm_cli.bench.common.grid import load_entries

    refuse_together(grid=choice.grid, api=address.api, name=choice.name)
    _refuse_idle(context, choice, address)
    begin = PAPER_START_SECONDS if choice.start is None else choice.start
    task = bench.Task(choice.setting, choice.previous, begin, choice.chunk_seconds)
    is_one_stream = not (address.api or choice.grid) and choice.setting is Setting.INFINITE
    games, windows = _data(
        metadata, choice.clips, begin if is_one_stream else choice.start, choice.limit, talk
    )
    folder = choice.videos or metadata.parent
    if address.api:
        told = Previous.NONE if address.preset else choice.previous
        task = replace(task, setting=Setting.CHUNKED, previous=told)
        pieces = task.pieces(games, windows, folder)
        work = _rival(pieces, address, task.protocol, settings, choice.name, out)
        ask_rival(work, address, talk, out)
        return
    name = choice.name or memory.policy.value
    runs = (
        load_entries(
            choice.grid,
            settings,
            lambda entry: bench.piece_run(entry, task, games, windows, folder),
            bench.GRID_KEYS,
            "recipes/bench_commentary_grid.yaml",
        )
        if choice.grid
        else (bench.one_run(name, settings, task, games, windows, folder),)
    )
    show_work(commentate(runs, staff(model, address, batch), out, bench.shape), talk)
    asked = f" --clips {choice.clips}" if choice.clips else ""
    asked += "" if choice.start is None else f" --start {choice.start:g}"
    hint = f"svlm bench commentary score {out} RIVAL --metadata {metadata}{asked}"
    show_written(out, json=talk.json, hint=hint)


def _refuse_idle(context: typer.Context, choice: Choice, address: judging.EndpointChoice) -> None:
    if address.api:
        refuse_unused(context, {*ONLY_MODEL, *ONLY_STREAM} - {"query"}, "with --api")
    else:
        refuse_unused(context, ONLY_API, "without --api MODEL")
    if address.preset:
        refuse_unused(context, PRESET_DECIDES, f"with --preset {address.preset.value}")
    if choice.grid is not None:  # its runs may be of either setting
        return
    is_chunked = bool(address.api) or choice.setting is Setting.CHUNKED
    if not is_chunked:
        refuse_unused(context, ("chunk_seconds",), f"with --setting {choice.setting.value}")


def _rival(
    pieces: Sequence[Piece],
    address: judging.EndpointChoice,
    protocol: str,
    settings: StreamSettings,
    name: str,
    out: Path,
) -> VideoCalls[Piece]:
    from svlm_cli.bench.api.options import PRESETS
    from svlm_cli.bench.commentary import infstreams as bench
    from svlm_cli.bench.commentary.rival import rival

    asked = address.options(settings.query, 400, settings.viewing)
    if address.preset is not None:
        own = PRESETS[address.preset]
        asked = replace(asked, fps=own.fps, height=own.height, query=own.query)
        protocol = f"{protocol}, preset {address.preset}"
    return rival(pieces, asked, name or address.api, protocol, out, bench.shape)


@shown(app, SCORE_EXAMPLES)
@grouped
def score(
    ours: Ours,
    rival: RivalArgument,
    metadata: MetadataOption,
    *,
    clips: Clips = None,
    start: Start = None,
    limit: judging.Limit = None,
    judge: judging.JudgeChoice,
    seed: JudgeSeed = 0,
    out: judging.Report = None,
    talk: Talk,
) -> None:
    """Let a judge compare two sets of predictions, window by window, in both orders; votes are stored."""
    from svlm_cli.bench.commentary import infstreams as bench
    from svlm_cli.bench.commentary.games import load_predictions, one_of
    from svlm_cli.bench.common.tables import claim_figures
    from svlm_cli.bench.judge.judge import Judging

    _, windows = _data(metadata, clips, start, limit, talk)
    against = one_of(load_predictions(rival), rival)
    runs = load_predictions(ours)
    rules = bench.rules(judge.template(), seed)
    inputs = [path and path.resolve() for path in (ours, rival, metadata, clips)]
    part = [] if limit is None else [limit]
    out = judging.own_folder(out, SCORES, [*inputs, start, judge.judge, rules.name, *part], talk)
    work = claim_figures(out, "commentary", [*inputs, judge.judge, rules.name])
    notes, judgings = [], []
    for run in runs:
        contests, missing = bench.contests(run, against, windows)
        notes += [f"{missing}."] if missing else []
        names = (run.name, against.name)
        judgings.append(Judging(contests, names, rules, judge.options(), out))
    if judge_all(judgings, judge, talk):
        found = [bench.row(run, against, each) for run, each in zip(runs, judgings, strict=True)]
        notes += [note for _, own_notes in found for note in own_notes]
        finish(bench.report([row for row, _ in found], notes), out, work, json=talk.json)


def _data(
    metadata: Path, clips: Path | None, start: float | None, limit: int | None, talk: Talk
) -> tuple[list[Game], list[ScoredWindow]]:
    """The games and the windows of them that are scored; games that have none are named."""
    from svlm_cli.bench.commentary.games import (
        FEWEST_WORDS,
        WINDOW_SECONDS,
        cut_windows,
        load_games,
        load_windows,
    )

    every = load_games(metadata)
    games = every if limit is None else every[:limit]
    if clips is None:
        begin = PAPER_START_SECONDS if start is None else start
        windows = cut_windows(games, begin)
    else:
        begin = 0.0 if start is None else start
        known = {game.name for game in games}
        windows = [
            window
            for window in load_windows(clips, every)
            if window.game.name in known and window.start_seconds >= begin
        ]
    scored = {window.game.name for window in windows}
    without = [game.name for game in games if game.name not in scored]
    if without and not talk.quiet:
        rule = f", of {WINDOW_SECONDS:g} s and {FEWEST_WORDS} words," if clips is None else ""
        TalkConsole().tell(
            f"warning: {len(without)} of {len(games)} games have no window from --start {begin:g} s on{rule} "
            f"and are left out: {some_of(without)}",
            "yellow",
        )
    return games, windows
