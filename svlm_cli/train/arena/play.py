"""Matches of the arena as training material: what happens, apart from who is called what.

A play holds events by side (0 or 1). Names, score and referee are cast anew each time it is told, so
that a thousand plays make any number of different commentaries over the same frames.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.narrate import NAMELESS, SpokenEvent, line_of
from svlm_cli.arena.setup import NUMBERS, REFEREES, TEAMS, WINNING_SCORE, draw_setup, score_words, team_of
from svlm_cli.arena.truth import truth

FIRST_TRAINING_SEED = 1_000_000
# How often a window is laid around an event of this kind.
_WANTED = (
    *((Kind.GOAL, 0.28), (Kind.SCORE, 0.14), (Kind.FOUL, 0.26), (Kind.CARD, 0.06), (Kind.KICK_OFF, 0.06)),
    *((Kind.SAVE, 0.08), (Kind.STEAL, 0.06), (Kind.PASS, 0.06)),
)

_SCORE_LINES_SHARE = 0.25
CARD_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Beat:
    """One second of a play.

    Args:
        kind: what is spoken in it, None in a silent second.
        side: 0 or 1, the side it names; of a foul the side that will get the free kick.
        holder: the side that has the ball when the second ends, or None.
    """

    kind: Kind | None
    side: int | None
    holder: int | None


_beat = functools.cache(Beat)  # hours of a match hold a few dozen different seconds


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays in one telling.

    Args:
        names: the names of the two sides.
        kits: their colours, which are the play's own: they are seen.
        referee: his name.
    """

    names: tuple[str, str]
    kits: tuple[str, str]
    referee: str

    def opening(self, score: tuple[int, int]) -> str:
        """The opening text of a stream that begins at this score."""
        first, second = (f"{kit} {name}" for kit, name in zip(self.kits, self.names, strict=True))
        words = " ".join(score_words(score))
        return (
            f"{first} against {second} score {words} first to {NUMBERS[WINNING_SCORE]} referee {self.referee}"
        )


def training_seed(number: int) -> int:
    """The seed of a training match; evaluation keeps to seeds below 10,000."""
    return FIRST_TRAINING_SEED + number


@functools.cache
def play(seed: int, minutes: float) -> tuple[Beat, ...]:
    """Every second of a match; drawn once, for all stages of a run."""
    names = draw_setup("soccer", seed).names
    beats = []
    for record in truth(ArenaAddress(seed=seed, minutes=minutes)):
        event = record.spoken
        side = names.index(event.team) if event is not None and event.team is not None else None
        holder = None if record.player is None else team_of(record.player)
        beats.append(_beat(None if event is None else Kind(event.kind), side, holder))
    return tuple(beats)


def draw_cast(kits: tuple[str, str], dice: random.Random) -> Cast:
    """Names and referee at random."""
    first, second = dice.sample(TEAMS, 2)
    return Cast((first, second), kits, dice.choice(REFEREES))


def tell(beats: Sequence[Beat], cast: Cast, score: tuple[int, int]) -> tuple[list[str], tuple[int, int]]:
    """The line of each second (empty when silent) from this score on, and the score at the end."""
    lines = []
    for beat in beats:
        said = None
        if beat.kind is Kind.GOAL:
            score = (score[0] + (beat.side == 0), score[1] + (beat.side == 1))
        if beat.kind is Kind.KICK_OFF and WINNING_SCORE in score:
            said = score = (0, 0)
        if beat.kind in (Kind.GOAL, Kind.SCORE):
            said = score
        lines.append("" if beat.kind is None else line_of(_spoken(beat.kind, beat.side, cast, said)))
    return lines, score


def draw_score(beats: Sequence[Beat], dice: random.Random) -> tuple[int, int]:
    """A score at the start of ``beats`` under which no game runs past its last goal.

    A real match kicks off anew after a side's tenth goal, so any start below ten can be told.
    """
    low = dice.random() < 0.35
    top = 4 if low else WINNING_SCORE
    first = beats[0].kind if beats else None
    score = (dice.randrange(top), dice.randrange(top))
    soon = first is not Kind.KICK_OFF and any(beat.kind is Kind.KICK_OFF for beat in beats[:10])
    if soon and dice.random() < 0.2:  # the goal before that kick-off was the tenth
        score = (WINNING_SCORE - 1, score[1]) if dice.random() < 0.5 else (score[0], WINNING_SCORE - 1)
    return score


def draw_window(beats: Sequence[Beat], seconds: int, dice: random.Random, wanted: Kind | None = None) -> int:
    """The first second of a window that holds a ``wanted`` event, or one drawn with rare kinds favoured."""
    if wanted is None:
        kinds, weights = zip(*_WANTED, strict=True)
        wanted = dice.choices(kinds, weights)[0]
    last = len(beats) - seconds
    found = [second for second, beat in enumerate(beats) if beat.kind is wanted]
    if not found:
        return dice.randint(0, last)
    return min(max(dice.choice(found) - dice.randint(0, seconds - math.ceil(seconds / 3)), 0), last)


def with_random_sides(beats: Sequence[Beat], dice: random.Random) -> list[Beat]:
    """The same kinds of events, each by either side, so that only what is seen tells whose it is.

    In a match "the side of the last pass, unless it was a steal" is right four times in five, and a model
    that has found this looks no further. A goal stays that of the last shot and a free kick that of the
    last foul: neither side is seen then.
    """
    shooter, fouled, changed = 0, 0, []
    for beat in beats:
        side = None if beat.side is None else dice.randrange(2)
        if beat.kind is Kind.SHOT and side is not None:
            shooter = side
        if beat.kind is Kind.FOUL and side is not None:
            fouled = side
        side = {Kind.GOAL: shooter, Kind.FREE_KICK: fouled}.get(beat.kind, side) if beat.kind else None
        changed.append(Beat(beat.kind, side, None if beat.holder is None else dice.randrange(2)))
    return changed


def goals_of(beats: Iterable[Beat], dice: random.Random) -> Iterator[Beat]:
    """The goals, each behind its shot, the kick-offs after them, and some of the scores said between."""
    shot = None
    for beat in beats:
        if beat.kind is Kind.SHOT:
            shot = beat
        elif beat.kind is Kind.GOAL and shot is not None:
            yield shot
            yield beat
        elif beat.kind is Kind.KICK_OFF or (beat.kind is Kind.SCORE and dice.random() < _SCORE_LINES_SHARE):
            yield beat


def with_cards(beats: Sequence[Beat], dice: random.Random) -> list[Beat]:
    """Somebody is booked after many a foul, which a match sees once in a quarter of an hour."""
    booked = [[beat, Beat(Kind.CARD, None, None)] if _is_booked(beat, dice) else [beat] for beat in beats]
    return [beat for group in booked for beat in group]


def _is_booked(beat: Beat, dice: random.Random) -> bool:
    return beat.kind is Kind.FOUL and dice.random() < CARD_SHARE


def with_errors(said: list[str], cast: Cast, dice: random.Random) -> list[str]:
    """Wrong names here and there, and wrong scores except for the last one said."""
    scored = [k for k, line in enumerate(said) if line.startswith(("goal", "score")) or "nil nil" in line]
    changed = []
    for k, line in enumerate(said):
        words = line.split()
        if dice.random() < 0.15 and k not in scored[-1:]:
            if words[-1] in cast.names:
                other = 1 - cast.names.index(words[-1])
                words[-2:] = [cast.kits[other], cast.names[other]]
            elif k in scored:
                words[-1] = dice.choice(("nil", "one", "two", "three", "four", "five"))
        changed.append(" ".join(words))
    return changed


def _spoken(kind: Kind, side: int | None, cast: Cast, score: tuple[int, int] | None) -> SpokenEvent:
    named = None if kind in NAMELESS else side
    return SpokenEvent(
        kind=kind,
        team=None if named is None else cast.names[named],
        kit=None if named is None else cast.kits[named],
        score=score,
        referee=cast.referee if kind is Kind.CARD else None,
    )
