"""What was replied to the questions of a match, against what could be known."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.asking.match import MatchQuestion, match_questions
from svlm_cli.arena.asking.wording import NOT_KNOWN, Ask
from svlm_cli.arena.setup import KITS
from svlm_cli.bench.common.intervals import Ratio


class Where(StrEnum):
    """Where the evidence of an answer lies.

    ``sink``: in the opening text. ``echo``: its tokens have left, but states that were computed beside them
    are there. ``gone``: neither is.
    """

    FRAMES = "frames"
    TEXT = "text"
    SINK = "sink"
    ECHO = "echo"
    GONE = "gone"


YES_NO = "yes_no"
PLAIN = tuple(kind.value for kind in Ask)
PRECISION, RECALL, ALL_ANSWERS = "not_known_precision", "not_known_recall", "answers"
ASKED = (ALL_ANSWERS, *PLAIN, YES_NO, PRECISION, RECALL)
LOST = (Where.ECHO, Where.GONE)
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class AnswerOutcome:
    """What became of one question.

    Args:
        second: in whose turn it was asked.
        name: the short name of what was asked; claims are apart, under ``yes_no``.
        question: as it was put.
        truth: what is right if it can be known.
        right: what was to be said: the truth, or that it is not known.
        where: the evidence was when it was asked.
        reply: what was said to it.
    """

    second: int
    name: str
    question: str
    truth: str
    right: str
    where: Where
    reply: str

    @property
    def is_right(self) -> bool:
        """Word for word, but that a side's colour may be left out."""
        return says(self.reply, self.right)


def says(reply: str, answer: str) -> bool:
    """Whether a reply is this answer: its words; a side's colour may be left out beside its name."""
    said, wanted = (tuple(word.lower() for word in _WORD.findall(text)) for text in (reply, answer))
    return said == wanted or (len(wanted) == 2 and wanted[0] in KITS and said == wanted[1:])


@functools.lru_cache(maxsize=64)
def questions_of(seed: int, num_seconds: int) -> tuple[MatchQuestion, ...]:
    """The questions of the first seconds of a match, in order; every run of a grid asks the same."""
    return tuple(match_questions(ArenaAddress(seed=seed, minutes=num_seconds / 60)))


def answer_tally(outcomes: Iterable[AnswerOutcome], seconds: range | None = None) -> Mapping[str, Ratio]:
    """Shares of right replies.

    Args:
        outcomes: of a match.
        seconds: the part of it, None for all.

    Returns:
        Of all questions (``answers``); by the name of the question where the answer can be known; precision
        and recall of "not known"; by where the evidence lies, of all questions (``frames``, ...) and of each
        kind (``score in frames``, ...); and how often the truth was told though no token is left that tells
        it (``told_though_echo``, ``told_though_gone``; without claims, which can be guessed).
    """
    inside = [each for each in outcomes if seconds is None or each.second in seconds]
    known = [each for each in inside if each.right != NOT_KNOWN]
    tally = {name: _right(each for each in known if each.name == name) for name in (*PLAIN, YES_NO)}
    tally[ALL_ANSWERS] = _right(inside)
    tally[PRECISION] = _right(each for each in inside if says(each.reply, NOT_KNOWN))
    tally[RECALL] = _right(each for each in inside if each.right == NOT_KNOWN)
    for where in Where:
        here = [each for each in inside if each.where is where]
        tally[where.value] = _right(here)
        for name in (*PLAIN, YES_NO):
            tally[cell_name(name, where)] = _right(each for each in here if each.name == name)
    for where in LOST:
        lost = [each for each in inside if each.where is where and each.name != YES_NO]
        tally[told_name(where)] = _share(lost, lambda each: says(each.reply, each.truth))
    return tally


def cell_name(name: str, where: Where) -> str:
    """The tally of one kind of question whose evidence lies in one place."""
    return f"{name} in {where.value}"


def told_name(where: Where) -> str:
    """The tally of truths told though their evidence has left."""
    return f"told_though_{where.value}"


def _right(outcomes: Iterable[AnswerOutcome]) -> Ratio:
    return _share(outcomes, lambda each: each.is_right)


def _share(outcomes: Iterable[AnswerOutcome], applies: Callable[[AnswerOutcome], bool]) -> Ratio:
    found = [applies(each) for each in outcomes]
    return Ratio(sum(found), len(found))
