"""Rows of events with a question in nearly every second: what is asked, and of which rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svlm_cli.arena.asking.match import CLAIM_SHARE
from svlm_cli.arena.asking.wording import Ask

QUIZ_SHARES = (0.6, 1.0)
"""Of the seconds that are asked in, one of them drawn for a row."""


@dataclass(frozen=True, slots=True)
class QuizForm:
    """A kind of quiz.

    Args:
        turns: how many seconds, one of them drawn.
        goals_share: of rows of goals; the others are of all events.
        slip_shares: of scores that jump in a row of goals, one of them drawn: who leads cannot be copied
            from the last answer there.
        goal_kinds: what is asked of a row of goals; one that is there twice is drawn twice as often.
        kinds: what is asked of other rows.
        claim_share: of questions that are answered by yes or no.
        bare_share: of rows without headers and times of turns: half as long, and what is learnt from them
            holds in whole turns.
    """

    turns: tuple[int, ...]
    goals_share: float
    slip_shares: tuple[float, ...]
    goal_kinds: tuple[Ask, ...]
    kinds: tuple[Ask, ...] = tuple(Ask)
    claim_share: float = CLAIM_SHARE
    bare_share: float = 0.75


# What is learnt last is asked most often: it takes two numbers, two sides or the last of several lines.
QUIZ_FORMS: Mapping[str, QuizForm] = {
    "quiz": QuizForm(
        turns=(8, 16, 24),
        goals_share=0.45,
        slip_shares=(0.3, 1.0),
        goal_kinds=(*[Ask.LEADER] * 6, *[Ask.SCORER] * 2, Ask.GOALS, Ask.SCORE),
        kinds=(*Ask, *[Ask.SCORER] * 2, *[Ask.FREE_KICK] * 2, *[Ask.EVENT] * 2, *[Ask.CARD] * 2),
    ),
    "tallies": QuizForm(
        turns=(4, 8, 16),
        goals_share=1.0,
        slip_shares=(0.0, 0.5, 1.0),
        goal_kinds=(*[Ask.LEADER] * 4, *[Ask.GOALS] * 4, Ask.SCORE, Ask.SCORER),
    ),
    "leads": QuizForm(
        turns=(4, 8, 16), goals_share=1.0, slip_shares=(1.0,), goal_kinds=(Ask.LEADER,), claim_share=0.0
    ),
    "claims": QuizForm(
        turns=(8, 16, 24),
        goals_share=0.4,
        slip_shares=(0.0, 0.3, 1.0),
        goal_kinds=(*[Ask.LEADER] * 3, *[Ask.SCORE] * 3, *[Ask.GOALS] * 3, Ask.SCORER),
        kinds=(*Ask, *[Ask.EVENT] * 5, *[Ask.SIDE] * 2, *[Ask.REFEREE] * 2, *[Ask.SCORE] * 2),
        claim_share=1.0,
    ),
}
