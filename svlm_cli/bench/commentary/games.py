"""Inf-Streams-Eval: games and their transcripts, the windows that are scored, and what was said in them.

Metadata hold a game a line, ``{"video", "title", "content": [[start, end, text], ...]}``; the file of clips
holds a scored window a line in the same form. A prediction is ``{"video" (base name), "chunk_start",
"chunk_end", "items": [{"response", "start_time", "end_time"}]}`` (StreamingVLM, arXiv 2510.09608, and its
public repository).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from svlm_cli.bench.common.records import Record, read_lines
from svlm_cli.bench.common.results import LineForm, RunFacts, StoredRun, read_runs
from svlm_cli.errors import SourceError, UsageError
from svlm_cli.values import LATEST_SECONDS, mappings, numeral, path_text, seconds, text

WINDOW_SECONDS = 100.0
PAPER_START_SECONDS = 1000.0
FEWEST_WORDS = 200
NUM_PARTS = 5
WHOLE_SHARE = 0.99  # of a window that must have been commentated
UNKNOWN_SPORT = "unknown"
_SPORTS: Mapping[str, tuple[str, ...]] = {
    UNKNOWN_SPORT: ("australian football", "aussie rules", "afl", "gaelic football"),
    "basketball": ("basketball", "nba", "wnba", "ncaab", "fiba"),
    "american football": (
        "american football",
        "college football",
        "ncaa football",
        "nfl",
        "super bowl",
        "superbowl",
    ),
    "baseball": ("baseball", "mlb", "world series"),
    "ice hockey": ("ice hockey", "hockey", "nhl", "stanley cup"),
    "soccer": (
        "soccer",
        "football",
        "fifa",
        "uefa",
        "premier league",
        "la liga",
        "world cup",
        "champions league",
    ),
}
_HINT = "give eval_all_metadata.jsonl or score_all_clips.jsonl of Inf-Streams-Eval, or files of their form"

Line = tuple[float, float, str]


class Setting(StrEnum):
    """One stream from the start second to the end of the game, or a fresh one for every window."""

    INFINITE = "infinite"
    CHUNKED = "chunked"


class Previous(StrEnum):
    """What a stream is told as previous text: the reference up to its start, or nothing."""

    REFERENCE = "reference"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Game:
    """A game with what its commentators said.

    Args:
        video: as the file names it.
        title: the title of the game.
        sport: its sport, ``unknown`` where nothing tells.
        lines: start, end and text, in order of time.
    """

    video: str
    title: str
    sport: str
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        """Base name of the video: what predictions call it."""
        return Path(self.video).name

    @property
    def end_seconds(self) -> float:
        """Where its transcript ends."""
        return max(end for _, end, _ in self.lines)

    def said_before(self, seconds: float) -> str:
        """The transcript up to a time."""
        return " ".join(text for _, end, text in self.lines if end <= seconds)


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """A stretch of a game that is scored.

    Args:
        game: it is of.
        start_seconds, end_seconds: the start and end of the stretch.
        reference: what the commentators said in it.
        part: 1 to 5: in which fifth of the game its middle lies.
    """

    game: Game
    start_seconds: float
    end_seconds: float
    reference: str
    part: int

    @property
    def id(self) -> str:
        """Of the window."""
        return f"{self.game.name} {self.start_seconds:g}-{self.end_seconds:g}"


@dataclass(frozen=True, slots=True)
class GamePredictions:
    """What one run said.

    Args:
        name: the name of the run.
        items: start, end and text by video.
        chunks: start and end of the stretches that were commentated, by video.
        facts: the facts of the run, for tables.
    """

    name: str
    items: dict[str, list[Line]]
    chunks: dict[str, list[tuple[float, float]]]
    facts: RunFacts

    def text_of(self, window: ScoredWindow) -> str | None:
        """What was said in a window (start < end of the words <= end); None where it was not commentated."""
        start, end = window.start_seconds, window.end_seconds
        covered, reached = 0.0, start
        for first, last in sorted(self.chunks.get(window.game.name, [])):
            covered += max(0.0, min(end, last) - max(reached, first))
            reached = max(reached, last)
        if covered < WHOLE_SHARE * (end - start):
            return None
        lines = sorted(self.items[window.game.name], key=lambda line: line[1])
        return " ".join(text for _, last, text in lines if start < last <= end).strip()


@dataclass(frozen=True, slots=True)
class _SaidPiece:
    """A line of predictions: what was said in a stretch of a video."""

    video: str
    stretch: tuple[float, float]
    said: Sequence[Line]


def _piece(record: Record) -> tuple[str, _SaidPiece]:
    video = Path(path_text(record.get("video"), "video")).name
    said = [
        (
            seconds(numeral(each.get("start_time")), "start_time", -LATEST_SECONDS),
            seconds(numeral(each.get("end_time")), "end_time", -LATEST_SECONDS),
            text(each.get("response"), "response"),
        )
        for each in mappings(record.get("items"), "items")
    ]
    start = seconds(numeral(record.get("chunk_start", 0)), "chunk_start")
    ends = record.get("chunk_end")
    end = math.inf if ends is None else seconds(numeral(ends), "chunk_end")
    return f"{video} {start}-{end}", _SaidPiece(video, (start, end), said)


_PREDICTIONS = LineForm(
    "prediction", "predictions", _piece, "docs/bench.md shows the form", "svlm bench commentary generate"
)


def load_games(path: Path) -> list[Game]:
    """Read games.

    Raises:
        SourceError: the file cannot be read or a line is of another form; says which.
    """
    games = [
        _game(record, f"line {number} of {path}")
        for number, record in enumerate(read_lines(path, "games"), 1)
    ]
    if not games:
        raise SourceError(f"{path} holds no games", _HINT)
    names = [game.name for game in games]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(
            f"{path} holds {', '.join(twice[:3])} more than once", "videos need names of their own"
        )
    return games


def load_windows(path: Path, games: Sequence[Game]) -> list[ScoredWindow]:
    """Read the windows that are scored.

    Args:
        games: they are of; they tell how long a game is.

    Raises:
        SourceError: see ``load_games``; a window of none of the games.
    """
    known = {game.name: game for game in games}
    windows: dict[str, ScoredWindow] = {}
    for number, record in enumerate(read_lines(path, "scored windows"), start=1):
        where = f"line {number} of {path}"
        clip = _game(record, where)
        if clip.name not in known:
            raise SourceError(f"{where} is of {clip.name}, which the metadata do not hold", _HINT)
        start, end = min(line[0] for line in clip.lines), clip.end_seconds
        text = " ".join(line[2] for line in clip.lines)
        window = _window(known[clip.name], start, end, text)
        windows.setdefault(window.id, window)
    return list(windows.values())


def cut_windows(games: Sequence[Game], from_seconds: float = 0.0) -> list[ScoredWindow]:
    """The windows of games by the paper's rule: stretches of 100 s in which at least 200 words were said."""
    windows = []
    for game in games:
        start = from_seconds
        while start + WINDOW_SECONDS <= game.end_seconds:
            end = start + WINDOW_SECONDS
            text = " ".join(line[2] for line in game.lines if start < line[1] <= end)
            if len(text.split()) >= FEWEST_WORDS:
                windows.append(_window(game, start, end, text))
            start = end
    return windows


def load_predictions(path: Path) -> list[GamePredictions]:
    """Read predictions: a file, or a folder that ``svlm bench commentary generate`` has filled.

    Returns:
        One for each run that the lines name; a file that names none is one, called by its own name.

    Raises:
        SourceError: see ``read_runs``.
    """
    runs = read_runs(path, _PREDICTIONS, path.resolve().name if path.is_dir() else path.stem)
    return [_predictions(run) for run in runs]


def _predictions(run: StoredRun[_SaidPiece]) -> GamePredictions:
    found = GamePredictions(run.name, {}, {}, run.facts)
    for piece in run.lines.values():
        found.items.setdefault(piece.video, []).extend(piece.said)
        found.chunks.setdefault(piece.video, []).append(piece.stretch)
    return found


def one_of(predictions: Sequence[GamePredictions], path: Path) -> GamePredictions:
    """The only run of a file.

    Raises:
        UsageError: there are several.
    """
    if len(predictions) > 1:
        raise UsageError(
            f"{path} holds {len(predictions)} runs: {', '.join(each.name for each in predictions)}",
            "the rival must be one",
        )
    return predictions[0]


def sport_of(record: Mapping[str, Any]) -> str:
    """The sport a line names, else the one its video or title speaks of, else ``unknown``."""
    if isinstance(record.get("sport"), str) and record["sport"].strip():
        return str(record["sport"]).strip().lower().replace("_", " ")
    words = re.sub(r"[\W_]+", " ", f"{record.get('video', '')} {record.get('title', '')}").lower()
    for sport, names in _SPORTS.items():
        if any(re.search(rf"\b{name}\b", words) for name in names):
            return sport
    return UNKNOWN_SPORT


def _window(game: Game, start: float, end: float, text: str) -> ScoredWindow:
    share = (start + end) / 2 / max(game.end_seconds, end)
    return ScoredWindow(game, start, end, text, min(NUM_PARTS, int(share * NUM_PARTS) + 1))


def _game(record: Mapping[str, Any], where: str) -> Game:
    try:
        lines = [
            (
                seconds(numeral(start), "start"),
                seconds(numeral(end), "end"),
                " ".join(text(said, "text").split()),
            )
            for start, end, said in record["content"]
        ]
        video = path_text(record["video"], "video")
        if not lines or not video:
            raise ValueError("it is empty")
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{where} is no game with a transcript: {error!r}", _HINT) from error
    return Game(video, str(record.get("title") or ""), sport_of(record), tuple(sorted(lines)))
