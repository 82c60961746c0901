"""What ``arena:soccer?seed=7&minutes=10`` means."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches

from svlm_cli.errors import UsageError
from svlm_cli.values import decimal

SCHEME = "arena:"
SPORTS = ("soccer",)
DEFAULT_FPS = 24.0
DEFAULT_WIDTH, DEFAULT_HEIGHT = 504, 336
MIN_SIDE_PIXELS, MAX_SIDE_PIXELS = 56, 4096
MAX_FPS = 240.0
EXAMPLE = "arena:soccer?seed=7&minutes=10"
_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class ArenaAddress:
    """One match: which, how long, and how it is drawn.

    Args:
        sport: one of ``SPORTS``.
        seed: 0 or more; the same sport and seed are the same match, whatever the rest.
        minutes: length of the video; ``math.inf`` never ends.
        fps: frame rate of the video; a frame stays on screen until the next one. At the default of 24
            the frames that 2, 4, 6, 8 or 12 FPS ask for fall exactly on frames of the video.
        width, height: a frame in pixels. The default is three times 168x112, so that a model of
            6x4 blocks of 28 pixels gets it by a clean division.

    Raises:
        UsageError: a value outside its limits.
    """

    sport: str = "soccer"
    seed: int = 0
    minutes: float = 10.0
    fps: float = DEFAULT_FPS
    width: int = DEFAULT_WIDTH
    height: int = DEFAULT_HEIGHT

    def __post_init__(self) -> None:
        if self.sport not in SPORTS:
            raise UsageError(f"the arena has no sport {self.sport!r}", _nearest(self.sport, SPORTS))
        if self.seed < 0:
            raise UsageError(f"arena: seed must be 0 or more, not {self.seed}", f"e.g. {EXAMPLE}")
        if not self.duration_seconds >= 1:
            raise UsageError(
                f"arena: minutes must be a second (0.017) or more, or inf, not {self.minutes:g}",
                f"e.g. {EXAMPLE}",
            )
        if not 1 <= self.fps <= MAX_FPS:
            raise UsageError(f"arena: fps must be 1 to {MAX_FPS:g}, not {self.fps:g}", "leave it out for 24")
        if not all(MIN_SIDE_PIXELS <= side <= MAX_SIDE_PIXELS for side in (self.width, self.height)):
            raise UsageError(
                f"arena: size must be {MIN_SIDE_PIXELS} to {MAX_SIDE_PIXELS} pixels a side, "
                f"not {self.width}x{self.height}",
                "e.g. size=504x336",
            )

    @property
    def duration_seconds(self) -> float:
        """Length of the video in seconds; ``math.inf`` for one that never ends."""
        return self.minutes * 60.0

    def __str__(self) -> str:
        parts = [f"seed={self.seed}", f"minutes={shortest(self.minutes)}"]
        if self.fps != DEFAULT_FPS:
            parts.append(f"fps={shortest(self.fps)}")
        if (self.width, self.height) != (DEFAULT_WIDTH, DEFAULT_HEIGHT):
            parts.append(f"size={self.width}x{self.height}")
        return f"{SCHEME}{self.sport}?{'&'.join(parts)}"


def shortest(number: float) -> str:
    """As few digits as tell it from every other number."""
    return repr(float(number)).removesuffix(".0")


def is_arena_address(source: str) -> bool:
    """True for a SOURCE that names a match of the arena."""
    return source.startswith(SCHEME)


def parse_address(source: str) -> ArenaAddress:
    """Read ``arena:SPORT?key=value&key=value``, or the same with commas for a shell.

    Args:
        source: keys are ``seed``, ``minutes`` (a number or ``inf``), ``fps`` and ``size``
            (``WIDTHxHEIGHT``); each may be left out.

    Raises:
        UsageError: another scheme, an unknown sport or key, a key given twice, or a bad value; the
            hint names the nearest valid one.
    """
    if not is_arena_address(source):
        raise UsageError(f"not an arena address: {source!r}", f"e.g. {EXAMPLE}")
    sport, *items = re.split(r"[?&,]", source[len(SCHEME) :])
    values: dict[str, float | int | str] = {}
    for item in filter(None, items):
        key, equals, text = item.partition("=")
        if not equals:
            raise UsageError(f"arena: expected key=value, not {item!r}", f"e.g. {EXAMPLE}")
        for name, value in _value(key, text).items():
            if name in values:
                raise UsageError(f"arena: {key} is given twice in {source!r}")
            values[name] = value
    return ArenaAddress(sport=sport, **values)  # type: ignore[arg-type]


def _value(key: str, text: str) -> dict[str, float | int | str]:
    if key == "seed":
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise UsageError(
                f"arena: seed must be a whole number of up to 18 digits, not {text[:40]!r}", f"e.g. {EXAMPLE}"
            )
        return {"seed": int(text)}
    if key in ("minutes", "fps"):
        return {key: _number(key, text)}
    if key == "size":
        match = _SIZE.fullmatch(text)
        if match is None:
            raise UsageError(
                f"arena: size must be WIDTHxHEIGHT in pixels, not {text[:40]!r}", "e.g. size=504x336"
            )
        return {"width": int(match[1]), "height": int(match[2])}
    raise UsageError(f"arena: unknown key {key!r}", _nearest(key, ("seed", "minutes", "fps", "size")))


def _number(key: str, text: str) -> float:
    number = math.inf if text == "inf" else decimal(text)
    if number is None:
        raise UsageError(f"arena: {key} must be a number, not {text!r}", f"e.g. {EXAMPLE}")
    return number


def _nearest(word: str, valid: tuple[str, ...]) -> str:
    close = get_close_matches(word, valid, n=1, cutoff=0.4)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(valid)}"
