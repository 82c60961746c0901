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
    FRAMES = "frames"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that tells.

    Args:
        place: of what kind it is.
        second: of the frames or the line; -1 for the opening text.
    """

    place: EvidencePlace
    second: int = -1


OPENING = Evidence(EvidencePlace.OPENING)
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
        third: of the picture that the ball is in, 0 to 2 from the left; None where that is not to be asked.
    """

    second: int
    kind: Kind | None
    side: int | None
    score: tuple[int, int]
    holder: int | None = None
    third: int | None = None


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question.

    Args:
        kind: what is asked for.
        is_claim: it is put as a claim, to be answered by yes or no.
        text: the question.
        answer: what is right if it can be known.
        needs: groups of evidence.
        needs_all: the answer is that something has not been, which only the whole commentary tells.
    """

    kind: Ask
    is_claim: bool
    text: str
    answer: str
    needs: Needs
    needs_all: bool = False

    def right(self, is_kept: Callable[[Evidence], bool], *, is_whole: bool) -> str:
        """What is to be said.

        Args:
            is_kept: whether a piece of evidence is still there.
            is_whole: nothing that was said since the opening, which is there, has left.
        """
        known = all(any(is_kept(each) for each in group) for group in self.needs)
        return self.answer if known and (is_whole or not self.needs_all) else NOT_KNOWN
