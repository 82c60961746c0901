"""Captions as they are shown: rows of text over a span of time, with the times that stand within the rows.

What VTT, SRT, TTML and YouTube's own forms are read into; ``spoken`` says what of it is said, and when.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from svlm_cli import values
from svlm_cli.cue_text import TIME_TAG, plain_text, timestamp
from svlm_cli.documents import MalformedError
from svlm_cli.media.captions import StampMap
from svlm_cli.values import LATEST_SECONDS

# In linear time, also where none ever closes. What is less than something else is no tag.
_TAG = re.compile(r"<(?!\s)[^<>]*>|\{\\[^{}]*\}")
# In SRT they are of HTML and of ASS.
_ROW_BREAK = re.compile(r"<br\s*/?\s*>|\\N", re.IGNORECASE)
_SPAN = re.compile(r"\s*[0-9:]+[.,][0-9]+\s*-->")
_SEGMENT = re.compile(r"^(?=\ufeff?WEBVTT\b)", re.MULTILINE)
_TIME = re.compile(r"(?<![0-9:])(?:([0-9]{1,6}):)?([0-9]{2}):([0-9]{2}\.[0-9]{3})(?![0-9])")
_MARKED = re.compile(r"<(?:u|b|i|font|c)\b[^<>]*>")
_SPEAKER = re.compile(r"^\s*(?:>>+|-)\s*")
# Cues nearer to each other than this follow on each other.
NEAR_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class TimedText:
    """A stretch of a row.

    Args:
        text: the text with the blanks at its ends, which part it from its neighbours.
        start_seconds, end_seconds: when it is said; None where the file does not tell.
    """

    text: str
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class CaptionWord:
    """A word of a row, with the times that the file tells of it."""

    text: str
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown from one second to another.

    Args:
        start_seconds, end_seconds: when it is shown, the end not before the start.
        rows: words of each row, from above, none of them empty.
        is_anew: an empty row stands above them, into which none of the rows before has moved.
        text: the text of the rows with all its blanks.
    """

    start_seconds: float
    end_seconds: float
    rows: tuple[tuple[CaptionWord, ...], ...]
    is_anew: bool = False
    text: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody says when it ends."""
        return self.start_seconds == self.end_seconds

    @property
    def lines(self) -> tuple[tuple[str, ...], ...]:
        """The rows without times."""
        return tuple(tuple(word.text for word in row) for row in self.rows)


def cue_of(start: Any, end: Any, rows: Iterable[Sequence[TimedText]], where: str) -> Cue:
    """A cue from what a file says of it. An end that is missing or absurd is that of its start.

    Args:
        start, end: seconds.
        rows: the rows in which it is shown.
        where: it stands, for people.

    Raises:
        MalformedError: it begins at no time, or holds too much text.
    """
    try:
        begins = values.seconds(start, "start")
    except MalformedError as error:
        raise MalformedError(f"{where}: {values.short(start)} is no span of time") from error
    ends = end if isinstance(end, (int, float)) and begins <= end <= LATEST_SECONDS else begins
    rows = [list(row) for row in rows]
    found = [words_of_row(row) for row in rows]
    text = "\n".join("".join(piece.text for piece in row) for row in rows)
    values.text(" ".join(word.text for row in found for word in row), where)
    return Cue(begins, ends, tuple(row for row in found if row), bool(found) and not found[0], text)


def words_of_row(pieces: Iterable[TimedText]) -> tuple[CaptionWord, ...]:
    """The words of a row; one that goes on in the next piece is one."""
    words: list[CaptionWord] = []
    is_open = False
    for piece in pieces:
        shown = plain_text(piece.text)
        texts = shown.split()
        start = piece.start_seconds
        if texts and is_open and not shown[0].isspace():
            last = words.pop()
            words.append(CaptionWord(last.text + texts.pop(0), last.start_seconds, piece.end_seconds))
            start = None
        for number, text in enumerate(texts):
            is_last = number == len(texts) - 1
            words.append(CaptionWord(text, None if number else start, piece.end_seconds if is_last else None))
        if shown:
            is_open = not shown[-1].isspace() and bool(words)
    return tuple(words)


def read_cues(text: str, suffix: str) -> list[Cue]:
    """The cues of VTT or SRT.

    Args:
        text: the text of the file.
        suffix: ``.vtt`` or ``.srt``.

    Raises:
        MalformedError: a cue begins at no time.
        Exception: whatever webvtt-py raises on a file that is neither.
    """
    import webvtt

    if not text.strip():
        return []
    text = _numbered(text) if suffix == ".srt" else _on_one_clock(text)
    shown = [
        (
            cue.start_in_seconds + _fraction(cue.start),
            cue.end_in_seconds + _fraction(cue.end),
            _ROW_BREAK.sub("\n", cue.raw_text).replace(r"\h", " "),
        )
        for cue in webvtt.from_buffer([text], format=suffix.removeprefix("."))
    ]
    return [
        cue_of(start, end, rows, f"cue {number}")
        for number, (start, end, rows) in enumerate(_with_marked_words(shown))
    ]


def _numbered(text: str) -> str:
    """SRT in which every cue has a number, without which webvtt-py passes it over."""
    found: list[str] = []
    for line in text.lstrip("\ufeff").strip().splitlines():
        if _SPAN.match(line) and not (found and found[-1].strip().isdecimal()):
            found += ["", "0"] if found else ["0"]
        found.append(line)
    return "\n".join(found)


def _on_one_clock(text: str) -> str:
    """Segments of WebVTT behind each other, each with a clock of its own, on that of the first."""
    parts = [each for each in _SEGMENT.split(text) if each.strip("\ufeff \r\n")]
    maps = [each for each in map(StampMap.of, parts) if each is not None]
    if len(maps) < len(parts) or len(set(maps)) < 2:
        return text
    moves = [partial(_moved, each.offset_seconds - maps[0].offset_seconds) for each in maps]
    return "\n\n".join(_TIME.sub(move, part) for move, part in zip(moves, parts, strict=True))


def _moved(by: float, stamp: re.Match[str]) -> str:
    seconds = int(stamp[1] or 0) * 3600 + int(stamp[2]) * 60 + float(stamp[3])
    return timestamp(max(0.0, seconds + by))


def _fraction(stamp: str) -> float:
    """The part of a time that webvtt-py cuts off from whole seconds."""
    return float(f"0.{stamp.replace(',', '.').rpartition('.')[2]}")


def _with_marked_words(
    shown: Sequence[tuple[float, float, str]],
) -> Iterator[tuple[float, float, list[list[TimedText]]]]:
    """Cues; those that differ in the marked word alone (``whisper --highlight_words``) as one."""
    first = 0
    while first < len(shown):
        plain = _plain(shown[first][2])
        last = first
        while (
            last + 1 < len(shown)
            and abs(shown[last + 1][0] - shown[last][1]) < NEAR_SECONDS
            and _plain(shown[last + 1][2]) == plain
            and _differ_in_marks(shown[last][2], shown[last + 1][2])
        ):
            last += 1
        start, end, raw = shown[first]
        if last == first:
            yield start, end, [_pieces(line) for line in raw.splitlines()]
        else:
            texts = plain.split()
            times: dict[int, tuple[float, float]] = {}
            for begins, ends, marked in shown[first : last + 1]:
                found = _MARKED.search(marked)
                if found is not None:
                    times.setdefault(len(_plain(marked[: found.start()]).split()), (begins, ends))
            row = [
                TimedText(f"{each} ", *times.get(number, (None, None))) for number, each in enumerate(texts)
            ]
            yield start, shown[last][1], [row]
        first = last + 1


def _differ_in_marks(raw: str, other: str) -> bool:
    both = f"{raw}\n{other}"
    return raw != other and bool(_MARKED.search(both)) and not TIME_TAG.search(both)


def _plain(raw: str) -> str:
    return " ".join(_SPEAKER.sub("", plain_text(_TAG.sub("", raw))).split())


def _pieces(line: str) -> list[TimedText]:
    """A line of VTT or SRT: pieces as its time tags part it."""
    parts = TIME_TAG.split(line)  # text, then (hours, minutes, seconds, text) for each tag
    texts = [plain_text(_TAG.sub("", part)) for part in parts[::4]]
    texts[0] = _SPEAKER.sub("", texts[0])
    stamps = zip(parts[1::4], parts[2::4], parts[3::4], strict=True)
    starts = [
        float(hours or 0) * 3600 + float(minutes) * 60 + float(seconds) for hours, minutes, seconds in stamps
    ]
    return [TimedText(text, start) for text, start in zip(texts, [None, *starts], strict=True)]
