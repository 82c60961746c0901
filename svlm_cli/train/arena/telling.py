"""What samples of words and of frames share: commentary before a chunk, its clock and its turns."""

from __future__ import annotations

import random
from collections.abc import Sequence

from svlm_cli.arena.moments import Kind
from svlm_cli.arena.setup import KITS
from svlm_cli.data.samples.sample import Turn
from svlm_cli.model.window import WindowLimits
from svlm_cli.train.arena.play import Beat, Cast, draw_score, tell, with_errors
from svlm_cli.train.arena.recall import reaches_score

QUERY = "Commentate on this match"
LATEST_SECOND = 6 * 3600
ASKED_WHOLE_SHARE = 0.5
_VISIBLE = frozenset({Kind.PASS, Kind.STEAL, Kind.SAVE, Kind.KICK_OFF, Kind.SHOT, Kind.FOUL})


def draw_previous(
    history: tuple[Beat, ...], cast: Cast, longest: int, dice: random.Random
) -> tuple[str, WindowLimits, tuple[int, int]]:
    """What a chunk is told, how much of it is kept, and the score after it.

    The stream may have begun at any second of the match; now and then something said earlier was
    wrong, but never the last score, which is always among what is kept where the full window reaches it.
    """
    seconds = min(len(history), dice.randint(longest // 2, longest))
    past = history[len(history) - seconds :]
    score = draw_score(past, dice)
    lines, end = tell(past, cast, score)
    said = [line for line in lines if line]
    if dice.random() < 0.25:
        said = with_errors(said, cast, dice)
    text = " ".join([cast.opening(score), *said])
    limits = WindowLimits(512, 512, 16, 16)
    if dice.random() < 0.3:
        small = WindowLimits(dice.choice((16, 32, 64)), dice.choice((16, 32, 64)), 16, 16)
        limits = small if reaches_score(text.split(), small) else limits
    return text, limits, end


def draw_asked_limits(dice: random.Random) -> WindowLimits:
    """The full window, or mostly smaller ones, so that many an answer has left."""
    if dice.random() < ASKED_WHOLE_SHARE:
        return WindowLimits(512, 512, 16, 16)
    sink, window = dice.choice((0, 32, 64, 256, 512, 512)), dice.choice((32, 64, 128, 256, 512, 512))
    return WindowLimits(sink, window, 16, 16)


def two_kits(dice: random.Random) -> tuple[str, str]:
    """Colours of the two sides."""
    first, second = dice.sample(KITS, 2)
    return first, second


def draw_clock(start: int, dice: random.Random) -> int:
    """What the clock of the stream shows at the chunk's first second."""
    return start if dice.random() < 0.4 else dice.randrange(LATEST_SECOND)


def draw_query(dice: random.Random) -> str:
    """Streaming shows the query in the first turn only, so later turns are trained without it too."""
    return QUERY if dice.random() < 0.4 else ""


def told_turns(
    beats: Sequence[Beat], lines: Sequence[str], cast: Cast, first_second: int | None = None
) -> list[Turn]:
    """Turns with words in place of frames, from a second on or (bare ones, which show no time) in none."""
    starts = (
        [0.0] * len(beats) if first_second is None else [float(first_second + k) for k in range(len(beats))]
    )
    return [
        Turn(start, start + 1.0, line, symbols=symbols_of(beat, cast.kits))
        for start, beat, line in zip(starts, beats, lines, strict=True)
    ]


def symbols_of(beat: Beat, kits: tuple[str, str]) -> tuple[str, str]:
    """Two words that say what the frames of a second show: what happens, and in whose colour."""
    if beat.kind is None:
        return " ...", " ..." if beat.holder is None else f" {kits[beat.holder]}"
    shown = beat.side if beat.kind in _VISIBLE else None
    word = "off" if beat.kind is Kind.KICK_OFF else beat.kind.value.split("_")[0]
    return f" {word}", " ..." if shown is None else f" {kits[shown]}"
