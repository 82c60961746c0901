"""The questions of a match: at random seconds, by its seed, answered by its truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.asking.asked import AskedQuestion, HeardSecond
from svlm_cli.arena.asking.listener import Listener
from svlm_cli.arena.asking.wording import THIRDS, Ask
from svlm_cli.arena.dice import Dice
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.plane import WORLD_WIDTH
from svlm_cli.arena.setup import draw_setup, team_of
from svlm_cli.arena.timeline import Scene, Timeline
from svlm_cli.arena.truth import TruthSecond, truth

QUESTIONS_DRAWN = 2
"""Goes up when a match is asked other questions than before: answers to others are no results of these."""
FIRST_SECOND = 20
# Seconds to the next question, unless it is in the next second: 40 on average over both. More than half of a
# match is further than 10 s from any.
GAP_SECONDS = (31, 62)
MEAN_GAP_SECONDS = 40
CLAIM_SHARE, TWICE_SHARE, EVENT_SHARE = 0.25, 0.15, 0.25
# Parts of a second in which the last frame of any rate lies: the ball is asked about where these agree.
_LAST_FRAMES = (0.5, 0.75, 0.875, 0.99)


@dataclass(frozen=True, slots=True)
class MatchQuestion:
    """A question of a match.

    Args:
        second: the second in whose turn it is asked.
        asked: what, and what is right.
    """

    second: int
    asked: AskedQuestion


def heard_seconds(address: ArenaAddress) -> Iterator[HeardSecond]:
    """Every second of a match as whoever follows it knows it."""
    setup = draw_setup(address.sport, address.seed)
    timeline = Timeline(setup)
    for record in truth(address):
        yield heard(record, setup.names, [timeline.scene(record.second + part) for part in _LAST_FRAMES])


def heard(record: TruthSecond, names: tuple[str, str], last: Sequence[Scene]) -> HeardSecond:
    """One second of the truth, of which ``last`` are the last frames at several rates."""
    event = record.spoken
    return HeardSecond(
        second=record.second,
        kind=None if event is None else Kind(event.kind),
        side=None if event is None or event.team is None else names.index(event.team),
        score=record.score,
        holder=None if record.player is None else team_of(record.player),
        third=thirds.pop() if len(thirds := {_third(scene) for scene in last}) == 1 else None,
        shows_holder=len({None if scene.holder is None else team_of(scene.holder) for scene in last}) == 1,
    )


def _third(scene: Scene) -> int:
    """Of the picture in which the ball is."""
    x = scene.ball[0] / WORLD_WIDTH + 0.5
    return min(max(int(x * len(THIRDS)), 0), len(THIRDS) - 1)


def match_questions(address: ArenaAddress) -> Iterator[MatchQuestion]:
    """The questions of a match, the same for everybody; at most one a second."""
    setup = draw_setup(address.sport, address.seed)
    dice = Dice(address.sport, address.seed, "questions")
    listener = Listener(setup, setup.opening_score)
    due, at_event = FIRST_SECOND, False
    for now in heard_seconds(address):
        listener.hear(now)
        if now.second < due or (at_event and now.kind is None):
            continue
        asked = draw_question(listener, dice)
        if asked is not None:
            yield MatchQuestion(now.second, asked)
        due = now.second + (1 if dice.chance(TWICE_SHARE) else dice.within(*GAP_SECONDS))
        at_event = dice.chance(EVENT_SHARE)


def draw_question(
    listener: Listener, dice: Dice, kinds: Sequence[Ask] = tuple(Ask), claim_share: float = CLAIM_SHARE
) -> AskedQuestion | None:
    """A question of a kind drawn at random, of those that have a clear answer now.

    Args:
        listener: knows what has happened.
        dice: chooses.
        kinds: to choose from; one that is there twice is drawn twice as often.
        claim_share: how often it is one that is answered by yes or no.
    """
    left = [*kinds]
    is_claim = dice.chance(claim_share)
    while left:
        kind = left.pop(dice.below(len(left)))
        asked = listener.ask(kind, dice, is_claim=is_claim)
        if asked is not None:
            return asked
    return None
