"""Rows of events with a question in nearly every second: what is asked, and of which rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svlm_cli.arena.asking.wording import Ask
from svlm_cli.train.arena.asking import AskForm

_OFTEN = (0.6, 1.0)  # shares of seconds that are asked in


@dataclass(frozen=True, slots=True)
class QuizForm:
    """A kind of quiz.

    Args:
        turns: how many seconds, one of them drawn.
        slip_shares: of scores that jump in a row of goals, one of them drawn: who leads cannot be copied
            from the last answer there.
        of_goals: what is asked of a row of goals.
        of_all: what is asked of a row of events of all kinds; None where all rows are of goals.
        goals_share: of rows of goals, where there are others.
        bare_share: of rows without headers and times of turns: half as long, and what is learnt from them
            holds in whole turns.
    """

    turns: tuple[int, ...]
    slip_shares: tuple[float, ...]
    of_goals: AskForm
    of_all: AskForm | None = None
    goals_share: float = 1.0
    bare_share: float = 0.75


# What is learnt last is asked most often: it takes two numbers, two sides or the last of several lines.
QUIZ_FORMS: Mapping[str, QuizForm] = {
    "quiz": QuizForm(
        turns=(8, 16, 24),
        slip_shares=(0.3, 1.0),
        of_goals=AskForm((*[Ask.LEADER] * 6, *[Ask.SCORER] * 2, Ask.GOALS, Ask.SCORE), _OFTEN),
        of_all=AskForm(
            (*Ask, *[Ask.SCORER] * 2, *[Ask.FREE_KICK] * 2, *[Ask.EVENT] * 2, *[Ask.CARD] * 2), _OFTEN
        ),
        goals_share=0.45,
    ),
    "tallies": QuizForm(
        turns=(4, 8, 16),
        slip_shares=(0.0, 0.5, 1.0),
        of_goals=AskForm((*[Ask.LEADER] * 4, *[Ask.GOALS] * 4, Ask.SCORE, Ask.SCORER), _OFTEN),
    ),
    "leads": QuizForm(
        turns=(4, 8, 16), slip_shares=(1.0,), of_goals=AskForm((Ask.LEADER,), _OFTEN, claim_share=0.0)
    ),
    "claims": QuizForm(
        turns=(8, 16, 24),
        slip_shares=(0.0, 0.3, 1.0),
        of_goals=AskForm(
            (*[Ask.LEADER] * 3, *[Ask.SCORE] * 3, *[Ask.GOALS] * 3, Ask.SCORER), _OFTEN, claim_share=1.0
        ),
        of_all=AskForm(
            (*Ask, *[Ask.EVENT] * 5, *[Ask.SIDE] * 2, *[Ask.REFEREE] * 2, *[Ask.SCORE] * 2),
            _OFTEN,
            claim_share=1.0,
        ),
        goals_share=0.4,
    ),
}
