"""How questions about a match are put, and how they are answered: words of the arena, in several wordings.

``{team}`` is a side as the narrator says it ("red Lions"), ``{kit}`` its colour alone, ``{name}`` a name
alone, ``{score}`` two numbers, ``{count}`` a number, ``{ago}`` a time that
has gone by, ``{event}`` what happened, ``{place}`` a third of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

NOBODY, LEVEL, NOT_KNOWN, YES, NO = "nobody", "level", "not known", "yes", "no"
THIRDS = ("left", "middle", "right")


class Ask(StrEnum):
    """What is asked for; the values are the short names of ``svlm bench arena --ask``."""

    SCORE = "score"
    LEADER = "leader"
    GOALS = "goals"
    BALL = "ball"
    EVENT = "event"
    THIRD = "third"
    SCORER = "scorer"
    FREE_KICK = "free_kick"
    CARD = "card"
    REFEREE = "referee"
    SIDE = "side"
    PAST_SCORE = "past_score"
    PAST_FOUL = "past_foul"


QUESTIONS: Mapping[Ask, tuple[str, ...]] = {
    Ask.SCORE: ("what is the score", "what score is it", "how does it stand"),
    Ask.LEADER: ("who leads", "who is ahead", "which side leads"),
    Ask.GOALS: ("how many goals for {team}", "how many goals have {team}", "how many have {team} scored"),
    Ask.BALL: ("who has the ball", "which side has the ball", "whose ball is it"),
    Ask.EVENT: ("what just happened", "what was that", "what happened last"),
    Ask.THIRD: ("where is the ball", "which third is the ball in", "where on the pitch is the ball"),
    Ask.SCORER: ("who scored last", "who scored the last goal", "whose was the last goal"),
    Ask.FREE_KICK: (
        "who had the last free kick",
        "whose was the last free kick",
        "which side had a free kick last",
    ),
    Ask.CARD: ("who had the last card", "whose was the last card", "which side had a card last"),
    Ask.REFEREE: ("who is the referee", "what is the name of the referee", "whose name is on the cards"),
    Ask.SIDE: ("which side is {kit}", "who plays in {kit}", "what is the name of the {kit} side"),
    Ask.PAST_SCORE: ("what was the score {ago}", "how did it stand {ago}"),
    Ask.PAST_FOUL: ("who made the foul before the last", "whose was the foul before the last"),
}
CLAIMS: Mapping[Ask, tuple[str, ...]] = {
    Ask.SCORE: ("is the score {score}", "is it {score}"),
    Ask.LEADER: ("do {team} lead", "are {team} ahead"),
    Ask.GOALS: ("have {team} scored {count}",),
    Ask.BALL: ("do {team} have the ball", "have {team} the ball"),
    Ask.EVENT: ("was that a {event}", "did a {event} just happen"),
    Ask.THIRD: ("is the ball in the {place} third", "is the ball on the {place}"),
    Ask.SCORER: ("did {team} score last", "was the last goal for {team}"),
    Ask.FREE_KICK: ("was the last free kick for {team}", "did {team} have the last free kick"),
    Ask.CARD: ("did {team} have the last card", "was the last card for {team}"),
    Ask.REFEREE: ("is {name} the referee",),
    Ask.SIDE: ("are {name} in {kit}", "do {name} play in {kit}"),
    Ask.PAST_SCORE: ("was the score {score} {ago}", "was it {score} {ago}"),
    Ask.PAST_FOUL: ("was the foul before the last by {team}",),
}
NOBODY_CLAIMS: Mapping[Ask, str] = {
    Ask.BALL: "has nobody the ball",
    Ask.SCORER: "did nobody score",
    Ask.FREE_KICK: "did nobody have a free kick",
    Ask.CARD: "did nobody have a card",
    Ask.PAST_FOUL: "was there no foul before the last",
}
LEVEL_CLAIM = "is it level"
# What a listener may be shown to ask of a model that has learnt to answer.
SUGGESTED = tuple(
    QUESTIONS[kind][0] for kind in (Ask.SCORE, Ask.BALL, Ask.EVENT, Ask.SCORER, Ask.FREE_KICK, Ask.REFEREE)
)
AGO = ("minute ago", "minutes ago")


def asking_words() -> tuple[str, ...]:
    """Every word of questions and answers that is no name, number or colour, sorted, each once."""
    texts = [text for table in (QUESTIONS, CLAIMS) for wordings in table.values() for text in wordings]
    texts += [*NOBODY_CLAIMS.values(), LEVEL_CLAIM, *AGO]
    words = {word for text in texts for word in text.split() if not word.startswith("{")}
    answers = (NOBODY, LEVEL, NOT_KNOWN, YES, NO, *THIRDS)
    return tuple(sorted(words | {word for answer in answers for word in answer.split()}))
