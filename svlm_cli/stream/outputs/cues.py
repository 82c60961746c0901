"""When words become captions: cues that can be read, made from words that come second by second.

Pure arithmetic over steps. At any moment there is at most one open cue: its words may still become more, and
its end comes earlier where other words follow. It has an end at every moment, so it can be written at once.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from svlm_cli.cue_text import clean_text
from svlm_cli.types import StepEvent

SHORTEST_SECONDS, LONGEST_SECONDS = 1.2, 7.0
MOST_COLUMNS_A_SECOND, EASY_COLUMNS_A_SECOND = 20.0, 15.0
LINE_COLUMNS = 42
LATE_SECONDS, MOST_LATE_SECONDS = 1.0, 3.0
_TOLERANCE_SECONDS = 1e-3
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*$")


class CueStyle(StrEnum):
    """When words become captions: cues that can be read, or one for each step."""

    READING = "reading"
    SECOND = "second"


@dataclass(frozen=True, slots=True)
class Caption:
    """Words on a screen.

    Args:
        start_seconds, end_seconds: when it begins and ends in the stream.
        text: clean, without line breaks.
        is_wrapped: whether it stands on two lines where it is wide.
    """

    start_seconds: float
    end_seconds: float
    text: str
    is_wrapped: bool = True

    @property
    def lines(self) -> list[str]:
        """One line, or two of about the same width."""
        return _broken(self.text) if self.is_wrapped else [self.text]


@dataclass(frozen=True, slots=True)
class _OpenCaption:
    """A cue that may change.

    Args:
        start_seconds: where it begins.
        spoken_seconds: where its last words end.
        text: so far.
        may_grow: whether what follows may be of the same sentence.
    """

    start_seconds: float
    spoken_seconds: float
    text: str
    may_grow: bool = True

    @property
    def least_end_seconds(self) -> float:
        """Before that it cannot be read."""
        return self.start_seconds + max(SHORTEST_SECONDS, columns(self.text) / MOST_COLUMNS_A_SECOND)

    @property
    def end_seconds(self) -> float:
        """Where it ends if no words follow."""
        read = self.start_seconds + max(SHORTEST_SECONDS, columns(self.text) / EASY_COLUMNS_A_SECOND)
        return min(self.start_seconds + LONGEST_SECONDS, max(self.spoken_seconds, read))

    def closed(self, end_seconds: float) -> Caption:
        return Caption(self.start_seconds, end_seconds, self.text)


class SecondCues:
    """A cue for each spoken step, as long as the step; nothing is held back."""

    open: Caption | None = None
    held = ""

    def add(self, step: StepEvent) -> list[Caption]:
        """The cue of a step; none of a silent one."""
        text, end = clean_text(step.text), max(step.end_seconds, step.start_seconds + 0.001)
        return [Caption(step.start_seconds, end, text, is_wrapped=False)] if text else []

    def close(self) -> list[Caption]:
        """Nothing is open."""
        return []

    def restore(self, held: str) -> None:
        """Nothing is held."""

    def go_on(self, text: str, free_seconds: float) -> None:
        """A step knows its own times."""


class ReadingCues:
    """Cues that stay until the next words, or as long as they take to read.

    They last 1.2 to 7 seconds, at most 20 columns a second (a letter is one column, a CJK character two), on
    at most two lines of 42. Words of one sentence that come second by second are one cue, as far as they fit;
    a model that has never ended a sentence speaks in statements, which stay apart. Words that come faster
    than they can be read are shown later, up to 3 s; beyond that the reading speed gives way, never a word.
    """

    def __init__(self) -> None:
        self._open: _OpenCaption | None = None
        self._free_seconds = 0.0
        self._has_sentences = False

    @property
    def open(self) -> Caption | None:
        """The cue that may still change, as it would be if nothing followed."""
        return None if self._open is None else self._open.closed(self._open.end_seconds)

    def add(self, step: StepEvent) -> list[Caption]:
        """Count a step; the cues that are fixed now, in order."""
        done: list[Caption] = []
        text = clean_text(step.text)
        if not text and self._open is not None:
            self._open = replace(self._open, may_grow=False)
            if step.end_seconds >= self._open.end_seconds:
                done += self._close(self._open.end_seconds)
        parts = list(_parts(text))
        length, place = (step.end_seconds - step.start_seconds) / max(1, columns(text)), step.start_seconds
        for part in parts:
            end = step.end_seconds if part is parts[-1] else place + columns(part) * length
            done += self._say(place, end, part)
            place = end
        self._has_sentences = self._has_sentences or _SENTENCE_END.search(text) is not None
        return done

    def close(self, by_seconds: float | None = None) -> list[Caption]:
        """Fix the open cue, so that it ends by ``by_seconds`` if it can be read by then."""
        if self._open is None:
            return []
        end = self._open.end_seconds
        if by_seconds is not None:
            end = max(self._open.least_end_seconds, min(end, by_seconds))
        return self._close(end)

    @property
    def held(self) -> str:
        """All that decides how it goes on, as JSON."""
        opened = None if self._open is None else asdict(self._open)
        return json.dumps({"open": opened, "free": self._free_seconds, "sentences": self._has_sentences})

    def restore(self, held: str) -> None:
        """Go on from what ``held`` was.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        content = json.loads(held)
        self._open = None if content["open"] is None else _OpenCaption(**content["open"])
        self._free_seconds, self._has_sentences = float(content["free"]), bool(content["sentences"])

    def go_on(self, text: str, free_seconds: float) -> None:
        """Go on behind a file of cues: what it says, and where its last one ends."""
        self._free_seconds = free_seconds
        self._has_sentences = any(_SENTENCE_END.search(line) for line in text.splitlines())

    def _say(self, start: float, end: float, text: str) -> list[Caption]:
        done: list[Caption] = []
        if (opened := self._open) is not None:
            late = opened.least_end_seconds - start
            joined = f"{opened.text} {text}"
            fits = fits_cue(joined) and end - opened.start_seconds <= LONGEST_SECONDS + _TOLERANCE_SECONDS
            if fits and (self._is_same_sentence(opened, start) or late > LATE_SECONDS):
                self._open = replace(opened, spoken_seconds=end, text=joined)
                return []
            least = min(opened.least_end_seconds, start + MOST_LATE_SECONDS)
            done = self._close(min(opened.end_seconds, max(start, least)))
        self._open = _OpenCaption(max(start, min(self._free_seconds, start + MOST_LATE_SECONDS)), end, text)
        return done

    def _is_same_sentence(self, opened: _OpenCaption, start: float) -> bool:
        is_next = opened.may_grow and start - opened.spoken_seconds <= _TOLERANCE_SECONDS
        return is_next and self._has_sentences and _SENTENCE_END.search(opened.text) is None

    def _close(self, end_seconds: float) -> list[Caption]:
        assert self._open is not None
        cue, self._open, self._free_seconds = self._open.closed(end_seconds), None, end_seconds
        return [cue]


def columns(text: str) -> int:
    """How wide a text is: wide letters (CJK) count twice, marks on letters nothing."""
    if text.isascii():  # most texts; several times a step
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def fits_cue(text: str) -> bool:
    """Whether it stands on two lines."""
    return all(columns(line) <= LINE_COLUMNS for line in _broken(text))


def _broken(text: str) -> list[str]:
    """On one line, or on two at the blank that makes the wider one narrowest."""
    if columns(text) <= LINE_COLUMNS:
        return [text]
    blanks = [found.start() for found in re.finditer(" ", text)]
    if not blanks:
        half = _cut(text, LINE_COLUMNS)
        return [text[:half], text[half:]]
    best = min(blanks, key=lambda at: max(columns(text[:at]), columns(text[at + 1 :])))
    return [text[:best], text[best + 1 :]]


def _parts(text: str) -> Iterator[str]:
    """A text in pieces that each fit a cue; words are kept whole unless one is wider than a line."""
    words = [piece for word in text.split() for piece in _pieces(word)]
    part = ""
    for word in words:
        longer = f"{part} {word}" if part else word
        if part and not fits_cue(longer):
            yield part
            longer = word
        part = longer
    if part:
        yield part


def _pieces(word: str) -> Iterator[str]:
    while (at := _cut(word, LINE_COLUMNS)) < len(word):
        yield word[:at]
        word = word[at:]
    yield word


def _cut(text: str, most_columns: int) -> int:
    """How many letters fit."""
    width = 0
    for number, letter in enumerate(text):
        width += columns(letter)
        if width > most_columns:
            return max(1, number)
    return len(text)
