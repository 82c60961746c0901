"""Earlier commentary to learn recall from: the last score said is the one to build on, however long ago.

Its own scores are trained on besides the answers: a dozen in a quarter of an hour, where the chunk behind
it holds one or two.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from svlm_cli.arena.moments import Kind
from svlm_cli.arena.setup import NUMBERS, WINNING_SCORE, score_words
from svlm_cli.model.window import TokenRange, WindowLimits, middle_cut
from svlm_cli.train.arena.play import Beat, Cast, draw_score, tell

SLIP_SHARE = 0.1
# Shares of the scores that are left where they are to be far apart.
_FAR: Mapping[Kind | None, float] = {Kind.SCORE: 0.25, Kind.GOAL: 0.6}
_HOLE_SECONDS = (30, 360)


@dataclass(frozen=True, slots=True)
class Past:
    """Commentary before a chunk; every word is one token.

    Args:
        text: opening text and lines.
        kept: ranges of its words that the chunk is shown.
        trained: whether each word that is kept is trained on.
        score: at its end, as it was said.
        reaches_back: whether the last score said is among the words kept.
    """

    text: str
    kept: tuple[TokenRange, ...]
    trained: tuple[bool, ...]
    score: tuple[int, int]
    reaches_back: bool


def draw_past(beats: Sequence[Beat], cast: Cast, limits: WindowLimits, dice: random.Random) -> Past:
    """Tell ``beats`` from a score drawn at random, and cut what is told as a stream does."""
    score = draw_score(beats, dice)
    opening = cast.opening(score)
    lines, score = tell_with_slips(beats, cast, score, dice)
    words = [word for line in (opening, *(line for line, _ in lines)) for word in line.split()]
    trained = [False] * len(opening.split())
    trained += [known and word in NUMBERS for line, known in lines for word in line.split()]
    kept = middle_cut(len(words), limits)
    reaches_back = reaches_score(words, limits)
    return Past(" ".join(words), kept, tuple(_after_cut(trained, kept)), score, reaches_back)


def reaches_score(words: Sequence[str], limits: WindowLimits) -> bool:
    """Whether the last score said is among the words that the window keeps."""
    kept = middle_cut(len(words), limits)
    return len(kept) == 1 or any(word in NUMBERS for word in words[kept[-1].start :])


def with_far_scores(beats: Sequence[Beat], dice: random.Random) -> list[Beat]:
    """The same play with most scores unsaid and many goals not scored, so that scores lie far apart."""
    return _without(beats, lambda _, beat: dice.random() >= _FAR.get(beat.kind, 1.0))


def with_hole(beats: Sequence[Beat], end: int, dice: random.Random) -> list[Beat]:
    """The same play without scores and goals for up to some minutes before second ``end``.

    Before the hole they are as close together as in a match, so that far back the last one has to be told
    from the one before it.
    """
    hole = range(max(0, end - dice.randint(*_HOLE_SECONDS)), end)
    return _without(beats, lambda second, beat: second in hole and beat.kind in (Kind.GOAL, Kind.SCORE))


def _without(beats: Sequence[Beat], is_dropped: Callable[[int, Beat], bool]) -> list[Beat]:
    """The same play with what is dropped silent, and with a goal the kick-off behind it."""
    left, disallowed = [], False
    for second, beat in enumerate(beats):
        dropped = is_dropped(second, beat) or (beat.kind is Kind.KICK_OFF and disallowed)
        if beat.kind in (Kind.GOAL, Kind.KICK_OFF):
            disallowed = dropped and beat.kind is Kind.GOAL
        left.append(Beat(None, None, beat.holder) if dropped else beat)
    return left


def tell_with_slips(
    beats: Sequence[Beat], cast: Cast, score: tuple[int, int], dice: random.Random
) -> tuple[list[tuple[str, bool]], tuple[int, int]]:
    """Like ``tell``, but now and then a wrong score is said, which counts from then on.

    Returns:
        The lines, without the silent seconds, each with whether what it says follows from those before
        it; and the score at the end.
    """
    told = [*each_with_slips(beats, cast, score, dice, SLIP_SHARE)]
    lines = [(line, not slips) for line, _, slips in told if line]
    return lines, told[-1][1] if told else score


def each_with_slips(
    beats: Iterable[Beat], cast: Cast, score: tuple[int, int], dice: random.Random, share: float
) -> Iterator[tuple[str, tuple[int, int], bool]]:
    """The line of each second, the score at its end, and whether that is wrong; it counts from then on."""
    for beat in beats:
        (line,), score = tell([beat], cast, score)
        slips = beat.kind in (Kind.GOAL, Kind.SCORE) and dice.random() < share
        if slips:
            score = (dice.randrange(WINNING_SCORE), dice.randrange(WINNING_SCORE))
            line = " ".join([*line.split()[:-2], *score_words(score)])
        yield line, score, slips


def _after_cut(trained: Sequence[bool], kept: Sequence[TokenRange]) -> list[bool]:
    """Of what is kept, without the first score behind the cut: the one before it is gone."""
    pieces = [list(trained[piece.start : piece.end]) for piece in kept]
    if len(pieces) > 1 and True in pieces[1]:
        first = pieces[1].index(True)
        pieces[1][first : first + 2] = [False] * len(pieces[1][first : first + 2])
    return [number for piece in pieces for number in piece]
