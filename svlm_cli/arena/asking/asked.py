"""A question about a match, its answer, and the evidence that the answer needs.

A question is put at the end of a second. What is right follows from all that has happened; whether it can be
known follows from what is still there of it: an answer *needs* groups of evidence, of each group one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from svlm_cli.arena.asking.wording import NOT_KNOWN, Ask
from svlm_cli.arena.moments import Kind


class Sides(Protocol):
    """Who plays: ``MatchSetup``, or the cast of a training sample."""

    @property
    def names(self) -> tuple[str, str]:
        """Of the two sides."""

    @property
    def kits(self) -> tuple[str, str]:
        """Their colours."""

    @property
    def referee(self) -> str:
        """His name."""


class EvidencePlace(StrEnum):
    """Where evidence is."""

    OPENING = "opening"
    WORDS = "words"
    SINCE = "since"
    FRAMES = "frames"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that tells.

    Args:
        place: what kind of place it is.
        second: of the frames or the line; -1 for the opening text. ``SINCE`` is all that was said from this
            second on, as only who has missed nothing behind it can tell that something was the last; from -1
            on it is the opening text and all that was said.
    """

    place: EvidencePlace
    second: int = -1


OPENING, ALL = Evidence(EvidencePlace.OPENING), Evidence(EvidencePlace.SINCE)
Needs = tuple[frozenset[Evidence], ...]


@dataclass(frozen=True, slots=True)
class HeardSecond:
    """A second of a match.

    Args:
        second: its number, one higher than that of the second before.
        kind: what is spoken in it, None in a silent one.
        side: 0 or 1, whose that is; of a foul the side that will get the free kick, of a card the booked one.
        score: at its end.
        holder: the side that has the ball then, or None.
        third: where the ball is, 0 to 2 from the left; None where that is not to be asked.
        shows_holder: whether who has the ball can be seen; else that is not to be asked.
    """

    second: int
    kind: Kind | None
    side: int | None
    score: tuple[int, int]
    holder: int | None = None
    third: int | None = None
    shows_holder: bool = True


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question.

    Args:
        kind: what is asked for.
        is_claim: it is put as a claim, to be answered by yes or no.
        text: the question.
        answer: what is right if it can be known.
        needs: groups of evidence.
    """

    kind: Ask
    is_claim: bool
    text: str
    answer: str
    needs: Needs

    def right(self, is_kept: Callable[[Evidence], bool]) -> str:
        """What is to be said, by whether a piece of evidence is still there."""
        known = all(any(is_kept(each) for each in group) for group in self.needs)
        return self.answer if known else NOT_KNOWN
