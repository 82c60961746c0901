"""What a benchmark tells while it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

from collections import Counter
from collections.abc import Sequence

from svlm_cli.types import WarningEvent


@dataclass(frozen=True, slots=True)
class WorkStart:
    """First event of a piece of work.

    Args:
        title: who does it, or where.
        unit: what is counted, as a plural: ``votes``.
        num_done: there already, of ``num_total``.
    """

    title: str
    unit: str
    num_done: int
    num_total: int


@dataclass(frozen=True, slots=True)
class WorkDone:
    """One more unit is on disk; ``note`` says something about it, or nothing."""

    note: str = ""


WorkEvent = WorkStart | WorkDone | WarningEvent


def capped(names: list[str], most: int = 5) -> str:
    """The first of many names, for a sentence."""
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"


def numbered(names: Sequence[str]) -> list[str]:
    """The same names, those that were there before with a number behind them."""
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return found


def told_apart(names: Sequence[str], marks: Sequence[str]) -> list[str]:
    """The names, no two alike: those that differ by their mark have it behind them, the rest a number.

    Args:
        marks: for each name what tells it from others of it, e.g. its protocol; empty for nothing.
    """
    known: dict[str, set[str]] = {}
    for name, mark in zip(names, marks, strict=True):
        known.setdefault(name, set()).add(mark)
    return numbered(
        [
            f"{name} ({mark})" if mark and len(known[name]) > 1 else name
            for name, mark in zip(names, marks, strict=True)
        ]
    )


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """Seconds of a match streamed since the last one."""

    num_seconds: int
