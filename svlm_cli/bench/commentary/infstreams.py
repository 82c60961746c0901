"""``svlm bench commentary``: which pieces a run commentates, and what a judge makes of the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.bench.commentary.games import (
    PAPER_START_SECONDS,
    Game,
    GamePredictions,
    Previous,
    ScoredWindow,
    Setting,
)
from svlm_cli.bench.commentary.pieces import Piece, PieceRun, Said
from svlm_cli.bench.common.events import capped
from svlm_cli.bench.common.grid import Entry
from svlm_cli.bench.common.published import COMMENTARY
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.bench.common.work import find_video
from svlm_cli.bench.judge.contests import Contest, Rules
from svlm_cli.bench.judge.judge import Judging
from svlm_cli.bench.judge.reading import read_letter
from svlm_cli.bench.judge.votes import judged
from svlm_cli.digest import digest
from svlm_cli.errors import SourceError, UsageError
from svlm_cli.settings import StreamSettings

COLUMNS: Mapping[str, str] = {"win_rate": "win rate"}
EVEN = 50.0
EARLIER = "begin earlier with --start (0: at the first second), or give other --clips"
OWN_TEMPLATE = """You are a strict judge of sports commentary. Two candidates, A and B, commentated the same \
stretch of a broadcast. You also have what the broadcast's own commentators said.

Judge first how it sounds on air: live play-by-play that is paced with the action, in the voice of a \
broadcast. A description of pictures, a summary or a report is not that. Then judge whether it holds \
together and agrees with what happened, by the reference.

There is no tie. Answer with one letter alone: A or B.

Title: {title}

Reference:
{reference}

Candidate A:
{a}

Candidate B:
{b}
"""


@dataclass(frozen=True, slots=True)
class Task:
    """What a run commentates.

    Args:
        setting: one stream or many.
        previous: what it is told.
        start_seconds: where one stream begins.
        chunk_seconds: length of the fresh streams; None: each is a scored window.
    """

    setting: Setting = Setting.INFINITE
    previous: Previous = Previous.REFERENCE
    start_seconds: float = PAPER_START_SECONDS
    chunk_seconds: float | None = None

    @property
    def protocol(self) -> str:
        """As tables show it."""
        told = "told the reference so far" if self.previous is Previous.REFERENCE else "told nothing before"
        if self.setting is Setting.INFINITE:
            return f"Inf-Streams-Eval, infinite from {self.start_seconds:g} s, {told}"
        length = "the scored windows" if self.chunk_seconds is None else f"{self.chunk_seconds:g} s"
        return f"Inf-Streams-Eval, pieces of {length}, {told}"

    def pieces(self, games: Sequence[Game], windows: Sequence[ScoredWindow], videos: Path) -> list[Piece]:
        """What to commentate, so that every window is covered.

        Args:
            games: games with windows or without.
            windows: the windows that are scored.
            videos: folder of the videos.

        Raises:
            UsageError: a game's windows all end before the start.
        """
        pieces = []
        for game in games:
            own = [window for window in windows if window.game.name == game.name]
            for start, end in self._stretches(own):
                pieces.append(self._piece(game, start, end, videos))
        if not pieces:
            raise UsageError(f"no window ends after --start {self.start_seconds:g} s", EARLIER)
        return pieces

    def _stretches(self, windows: Sequence[ScoredWindow]) -> list[tuple[float, float]]:
        if not windows:
            return []
        end = max(window.end_seconds for window in windows)
        if self.setting is Setting.INFINITE:
            return [(self.start_seconds, end)] if end > self.start_seconds else []
        if self.chunk_seconds is None:
            return sorted({(window.start_seconds, window.end_seconds) for window in windows})
        first = min(window.start_seconds for window in windows)
        num = 0
        stretches = []
        while (start := first + num * self.chunk_seconds) < end:
            last = min(start + self.chunk_seconds, end)
            if any(window.start_seconds < last and start < window.end_seconds for window in windows):
                stretches.append((start, last))
            num += 1
        return stretches

    def _piece(self, game: Game, start: float, end: float, videos: Path) -> Piece:
        previous = game.said_before(start) if self.previous is Previous.REFERENCE else ""
        labels = {"video": game.name, "chunk_start": start, "chunk_end": end}
        return Piece(find_video(videos, game.video), start, end, game.title, previous, labels)


GRID_KEYS: Mapping[str, type | tuple[str, ...]] = {
    "setting": tuple(Setting),
    "previous": tuple(Previous),
    "chunk_seconds": float,
}


def piece_run(
    entry: Entry, task: Task, games: Sequence[Game], windows: Sequence[ScoredWindow], videos: Path
) -> PieceRun:
    """A run of a grid.

    Raises:
        UsageError: ``sink: opening``, which belongs to the arena.
    """
    if entry.sink_is_opening:
        raise UsageError(f"run {entry.name!r}: sink: opening is for the arena; give a number of tokens")
    chunk = entry.own.get("chunk_seconds", task.chunk_seconds)
    if chunk is not None and chunk <= 0:
        raise UsageError(f"run {entry.name!r}: chunk_seconds must be above 0, not {chunk}")
    own = Task(
        Setting(entry.own.get("setting", task.setting)),
        Previous(entry.own.get("previous", task.previous)),
        task.start_seconds,
        chunk,
    )
    pieces = tuple(own.pieces(games, windows, videos))
    return PieceRun(entry.name, entry.settings, own.protocol, pieces, entry.paper)


def one_run(
    name: str,
    settings: StreamSettings,
    task: Task,
    games: Sequence[Game],
    windows: Sequence[ScoredWindow],
    videos: Path,
) -> PieceRun:
    """The run of the command line's options."""
    return PieceRun(name, settings, task.protocol, tuple(task.pieces(games, windows, videos)))


def shape(piece: Piece, said: Sequence[Said]) -> dict[str, object]:  # noqa: ARG001 - one of two shapes
    """The fields of a prediction line."""
    return {
        "items": [
            {"response": each.text, "start_time": each.start_seconds, "end_time": each.end_seconds}
            for each in said
        ]
    }


def rules(template: str | None = None, seed: int = 0) -> Rules:
    """The judge's rules: a letter, no ties.

    Args:
        template: a prompt of the user's own; None for svlm's.
        seed: sent with every question.
    """
    wording = "own wording" if template is None else f"wording {digest(template, 8)}"
    return Rules(
        f"both orders, no ties, {wording}, seed {seed}",
        template or OWN_TEMPLATE,
        read_letter,
        {"seed": seed},
        300,
    )


def contests(
    ours: GamePredictions, rival: GamePredictions, windows: Sequence[ScoredWindow]
) -> tuple[list[Contest], str]:
    """The windows both have commentated, and a sentence about the others.

    Raises:
        SourceError: there is none.
    """
    if not windows:
        raise SourceError("no window of these games is scored", EARLIER)
    found, missing = [], []
    for window in windows:
        a, b = ours.text_of(window), rival.text_of(window)
        if a is None or b is None:
            missing.append(window.id)
            continue
        labels = {"sport": window.game.sport, "fifth": str(window.part)}
        found.append(Contest(window.id, a, b, window.reference, window.game.title, window.game.name, labels))
    if not found:
        raise SourceError(
            f"{ours.name} and {rival.name} have no window in common",
            "are these predictions of the videos in the metadata?",
        )
    if not missing:
        return found, ""
    return found, (
        f"{len(missing)} of {len(windows)} windows are left out, because {ours.name} or {rival.name} has not "
        f"commentated them: {capped(missing)}"
    )


def row(ours: GamePredictions, rival: GamePredictions, judging: Judging) -> tuple[Row, Sequence[str]]:
    """The row of a run, from the stored votes, and what is to be said about them."""
    found = judged(judging, rival.facts)
    own = ours.facts
    protocol = own.protocol or "Inf-Streams-Eval, predictions of a file"
    facts = {**own.columns, **found.facts}
    return Row(ours.name, protocol, facts, found.scores, own.paper, found.more), found.notes


def report(rows: Sequence[Row], notes: Sequence[str]) -> Report:
    """The whole report."""
    names = dict.fromkeys(name for each in rows for name in each.scores)
    sports = {name: name.removeprefix("win_rate_sport_") for name in names if "_sport_" in name}
    fifths = {name: f"fifth {name[-1]}" for name in names if "_fifth_" in name}
    return Report(
        "commentary",
        "Inf-Streams-Eval: commentary, judged in pairs",
        rows,
        COLUMNS,
        {"Win rate by sport": sports, "Win rate by fifth of the game": fifths},
        notes,
        EVEN,
        published=COMMENTARY,
    )
