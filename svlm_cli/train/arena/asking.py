"""Questions in training samples of the arena, put and answered as ``svlm bench arena --ask`` does it.

What is right hangs on what the sample shows: an answer that none of its tokens can tell is "not known".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from svlm_cli.arena.asking.asked import AskedQuestion, Evidence, EvidencePlace, HeardSecond
from svlm_cli.arena.asking.listener import Listener
from svlm_cli.arena.asking.match import CLAIM_SHARE, draw_question
from svlm_cli.arena.asking.wording import THIRDS, Ask
from svlm_cli.arena.dice import Dice
from svlm_cli.arena.moments import Kind
from svlm_cli.data.samples.sample import Turn
from svlm_cli.model.window import TokenRange, WindowLimits, middle_cut
from svlm_cli.train.arena.frames import NUM_COLUMNS, FrameSight
from svlm_cli.train.arena.play import Beat, Cast, draw_score, tell

COLUMNS_PER_THIRD = NUM_COLUMNS // len(THIRDS)
ASKED_BEFORE_SHARE = 0.02  # of those before it: one in 50 s
_OPENING, _NONE = -1, -2
_FRESH_TRIES = 12


@dataclass(frozen=True, slots=True)
class AskForm:
    """What is asked in the seconds of a sample.

    Args:
        kinds: to choose from; one that is there twice is drawn twice as often.
        shares: of the seconds that are asked in; one of them is drawn for a sample. Many, so that one sample
            teaches many answers.
        claim_share: of questions that are answered by yes or no.
        is_fresh: what an answer of the sample has told is not asked for again until it changes, except to be
            answered by yes or no: an answer that can be copied from the one before teaches nothing of the
            line that it came from.
    """

    kinds: tuple[Ask, ...] = tuple(Ask)
    shares: tuple[float, ...] = (0.2, 0.6, 1.0)
    claim_share: float = CLAIM_SHARE
    is_fresh: bool = False


# What has to be looked for far back is asked more often than what was said last.
_FAR = (*Ask, *[Ask.SCORER] * 2, *[Ask.FREE_KICK] * 2, Ask.CARD, Ask.LEADER, Ask.SCORE)
TOLD = AskForm(_FAR, claim_share=0.4)
# In every second of rows without times, where nobody can tell what was minutes ago.
TOLD_BARE = AskForm(tuple(kind for kind in _FAR if kind is not Ask.PAST_SCORE), (1.0,), claim_share=0.5)
_BACK = (*[Ask.FREE_KICK] * 4, *[Ask.SCORER] * 3, *[Ask.LEADER] * 2, *[Ask.CARD] * 2)
ROW = AskForm((*_BACK, Ask.SCORE, Ask.GOALS, Ask.PAST_FOUL), (1.0,), claim_share=0.2, is_fresh=True)
DEEP = AskForm((*_FAR, *_BACK), (0.6, 1.0), claim_share=0.2, is_fresh=True)
LONG_ROW = replace(ROW, shares=(0.06, 0.15, 0.3))
# And what frames show, where there are some.
SHOWN = AskForm((*_FAR, *[Ask.THIRD] * 3, *[Ask.BALL] * 2, *[Ask.EVENT] * 2), claim_share=0.4)
LOOKED_AT = AskForm((*[Ask.THIRD] * 8, *[Ask.BALL] * 2, *[Ask.EVENT] * 2), (1.0,))


@dataclass(slots=True)
class AskedPast:
    """Commentary before a chunk, and who has followed it.

    Args:
        text: opening text, lines, and answers to questions that are no longer there.
        kept: ranges of its tokens that the chunk is shown.
        score: at its end.
        seconds: how many there were.
        listener: has heard it.
        left: seconds of which all words are kept, -1 for the opening.
        last_gone: the last second of which words are not kept; -2 where all are.
    """

    text: str
    kept: tuple[TokenRange, ...]
    score: tuple[int, int]
    seconds: int
    listener: Listener
    left: frozenset[int]
    last_gone: int


def draw_asked_past(
    beats: Sequence[Beat], cast: Cast, limits: WindowLimits, dice: random.Random
) -> AskedPast:
    """Tell ``beats`` from a score drawn at random, questions now and then, cut as a stream cuts."""
    score = draw_score(beats, dice)
    chance = Dice("asked before", dice.randrange(1 << 32))
    listener = Listener(cast, score)
    opening = cast.opening(score)
    pieces = [word if k == 0 else f" {word}" for k, word in enumerate(opening.split())]
    owners = [_OPENING] * len(pieces)
    for second, beat in enumerate(beats):
        line, score = _told(beat, cast, score)
        listener.hear(HeardSecond(second, beat.kind, beat.side, score, beat.holder))
        words = [f" {word}" for word in line.split()]
        if dice.random() < ASKED_BEFORE_SHARE:
            asked = draw_question(listener, chance)
            words = [*(f" {word}" for word in asked.answer.split()), "\n", *words] if asked else words
        pieces += words
        owners += [second] * len(words)
    kept = middle_cut(len(pieces), limits)
    places = {place for piece in kept for place in range(piece.start, piece.end)}
    gone = {owner for place, owner in enumerate(owners) if place not in places}
    left = frozenset(owners) - gone
    return AskedPast("".join(pieces), kept, score, len(beats), listener, left, max(gone, default=_NONE))


def no_past(cast: Cast, score: tuple[int, int]) -> AskedPast:
    """Nothing but the opening text, all of it kept."""
    opening = cast.opening(score)
    whole = (TokenRange(0, len(opening.split())),)
    return AskedPast(opening, whole, score, 0, Listener(cast, score), frozenset([_OPENING]), _NONE)


def with_questions(
    turns: Sequence[Turn],
    beats: Sequence[Beat],
    past: AskedPast,
    cast: Cast,
    dice: random.Random,
    asking: AskForm,
    sights: Sequence[FrameSight] | None = None,
    scores: Sequence[tuple[int, int]] = (),
    unseen: Kind | None = None,
    first: int = 0,
) -> list[Turn]:
    """The turns of a chunk with questions in some of them.

    Args:
        turns: the turns of its seconds, in order.
        beats: its seconds.
        past: what went before; its listener goes on.
        cast: who plays.
        dice: chooses.
        asking: what is asked.
        sights: what the last frame of each second shows; None where there are no frames.
        scores: at the end of each second as it is told, none where that follows from ``beats``; where it
            does not, nothing is asked in that second.
        unseen: an event that nothing shows before its line; nothing is asked in its second either.
        first: of the seconds that may be asked in.
    """
    chance = Dice("asked", dice.randrange(1 << 32))
    share = dice.choice(asking.shares)
    chosen = {k for k in range(len(turns)) if dice.random() < share} or {dice.randrange(len(turns))}
    chosen -= {
        k for k, beat in enumerate(beats) if k < first or (beat.kind is not None and beat.kind is unseen)
    }
    score = past.score
    told: set[tuple[Ask, str, frozenset[Evidence]]] = set()
    asked_turns = []
    for k, (turn, beat) in enumerate(zip(turns, beats, strict=True)):
        _, expected = _told(beat, cast, score)
        score = scores[k] if scores else expected
        now = past.seconds + k
        # In words alone a second in which something happens does not say who has the ball then; in frames who
        # has it may change behind the last one.
        shows = beat.kind is None if sights is None else sights[k].holder == beat.holder
        third = None if sights is None else sights[k].column // COLUMNS_PER_THIRD
        past.listener.hear(HeardSecond(now, beat.kind, beat.side, score, beat.holder, third, shows))
        is_asked = k in chosen and score == expected  # what is said of it then tells, and that comes after
        found = _draw(past.listener, chance, asking, told) if is_asked else None
        asked_turns.append(turn if found is None else _with_question(turn, found, past, now))
    return asked_turns


def _draw(
    listener: Listener, chance: Dice, asking: AskForm, told: set[tuple[Ask, str, frozenset[Evidence]]]
) -> AskedQuestion | None:
    """A question, noted in ``told`` where that matters; None where all that was drawn has been answered."""
    for _ in range(_FRESH_TRIES):
        found = draw_question(listener, chance, asking.kinds, asking.claim_share)
        if found is None or found.is_claim or not asking.is_fresh:
            return found
        answered = (
            found.kind,
            found.answer,
            found.needs[0],
        )  # what decides; how sides are called comes behind
        if answered not in told:
            told.add(answered)
            return found
    return None


def _with_question(turn: Turn, asked: AskedQuestion, past: AskedPast, now: int) -> Turn:
    def is_kept(evidence: Evidence) -> bool:
        second = evidence.second
        if evidence.place is EvidencePlace.FRAMES:
            return past.seconds <= second <= now
        if evidence.place is EvidencePlace.SINCE:
            return past.last_gone < second < now
        return second in past.left or past.seconds <= second < now

    return replace(turn, question=asked.text, reply=asked.right(is_kept))


def _told(beat: Beat, cast: Cast, score: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    (line,), score = tell([beat], cast, score)
    return line, score
