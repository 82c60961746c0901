"""Files that would grow for ever, cut into parts: ``words.vtt`` is the newest, ``words.0001.vtt`` the first.

A part is over when it is large enough, or when a period of UTC ends (1d: at midnight); the cue that is open
then is fixed in it. A stream that goes on from a state that was saved in an earlier part finds its way back.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.errors import UsageError

_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_BYTES = {"k": 10**3, "M": 10**6, "G": 10**9}
_WRITTEN = re.compile(r"([0-9]{1,9})([mhdkMG])")


@dataclass(frozen=True, slots=True)
class FileRotation:
    """When a part is over.

    Args:
        period_seconds: a period of UTC, counted from 1970; infinity for none.
        num_bytes: the size of one part, about; infinity for any.
    """

    period_seconds: float = math.inf
    num_bytes: float = math.inf

    @classmethod
    def of(cls, text: str) -> FileRotation:
        """As an option has it: ``1d``, ``6h``, ``30m``, or ``100M``, ``1G``, ``500k``.

        Raises:
            UsageError: it is none of these.
        """
        found = _WRITTEN.fullmatch(text.strip())
        number = int(found[1]) if found else 0
        if found is None or not number:
            told = text if len(text) <= 80 else f"{text[:77]}..."
            raise UsageError(
                f"--rotate {told}: not a whole number with a unit",
                "of time m, h or d, of size k, M or G: try --rotate 1d, or --rotate 100M",
            )
        if found[2] in _SECONDS:
            return cls(period_seconds=float(number * _SECONDS[found[2]]))
        return cls(num_bytes=float(number * _BYTES[found[2]]))

    def is_due(self, num_bytes: int, touched: float, now: float | None = None) -> bool:
        """Whether a part of this size, last written to then (seconds since 1970), is over."""
        now = time.time() if now is None else now
        if num_bytes >= self.num_bytes:
            return True
        return (
            math.isfinite(self.period_seconds)
            and now // self.period_seconds != touched // self.period_seconds
        )


def parts_of(target: Path) -> Iterator[tuple[int, Path]]:
    """The finished parts of a file, with their numbers, in no order."""
    name = re.compile(rf"{re.escape(target.stem)}\.([0-9]{{4,}}){re.escape(target.suffix)}")
    with suppress(OSError):
        for each in os.listdir(target.parent):
            if found := name.fullmatch(each):
                yield int(found[1]), target.with_name(each)


def current_part(target: Path) -> int:
    """The number that the newest part will have, from 1."""
    return 1 + max((number for number, _ in parts_of(target)), default=0)


def part_path(target: Path, number: int) -> Path:
    """Where a part lies once it is over."""
    return target.with_name(f"{target.stem}.{number:04d}{target.suffix}")


def go_back(target: Path, number: int) -> None:
    """Make a part the newest again, as it was when a state was saved; those after it come again.

    Raises:
        OSError: it cannot be.
    """
    later = dict(parts_of(target))
    if number not in later:
        return
    later.pop(number).replace(target)
    for other, path in later.items():
        if other > number:
            path.unlink()
