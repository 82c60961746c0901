"""Clocks of so many bits, which begin again at 0, and how far one has leapt whatever libav makes of it."""

from __future__ import annotations

import math

NEAR_WRAP_SECONDS = 600.0
"""Further from its end a clock does not go over it: it was started again."""
FRESH_SECONDS = 60.0
"""So near to 0 a clock was started again, unless it has come there within as much."""
_MPEG_SECONDS, _MILLISECONDS = 2**33 / 90_000, 2**32 / 1000
_WRAPS = {
    "mpegts": _MPEG_SECONDS,
    "mpeg": _MPEG_SECONDS,
    "hls": _MPEG_SECONDS,
    "flv": _MILLISECONDS,
    "live_flv": _MILLISECONDS,
    "asf": _MILLISECONDS,
}


def wrap_seconds(format_name: str) -> float:
    """After how many seconds the clock of a format begins again; infinity for those that do not."""
    return _WRAPS.get(format_name, math.inf)


def leap_seconds(by_seconds: float, before: float, behind: float, wrap: float) -> float:
    """How far a clock has leapt, negative where it was started again.

    libav adds a whole period to stamps that lie a minute or more below the first one, so that a recording
    behind another whose clock began later seems to lie far ahead of it.

    Args:
        by_seconds: the leap as libav has it.
        before: the last stamp before it, in libav's seconds.
        behind: the first one behind it, likewise.
        wrap: the period in seconds.
    """
    if math.isinf(wrap):
        return by_seconds
    if by_seconds < 0 and behind // wrap < before // wrap:  # it had added the period before, and does no more
        return min(by_seconds, by_seconds + wrap, key=abs)
    if by_seconds <= FRESH_SECONDS or behind // wrap <= before // wrap:
        return by_seconds
    fallen = by_seconds - wrap
    is_near = wrap - before % wrap <= NEAR_WRAP_SECONDS and behind % wrap > FRESH_SECONDS
    return by_seconds if is_near and by_seconds < -fallen else fallen
