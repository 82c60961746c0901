"""What the rule of ``joins.py`` notes of a file's stretches and tracks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple


@dataclass(slots=True, eq=False)
class Passage:
    """A part of a file whose clock goes on; ``starts`` and ``ends`` of each track are by the file's clock."""

    shift: float = 0.0
    newest: float = float("-inf")
    starts: dict[int, float] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class TrackState:
    """Where a track is: the stamp of its newest item, the step from the one before it, and the usual one."""

    stretch: Passage
    stamp: float
    usual: float = 0.0
    step: float = 0.0


class Break(Enum):
    """What an item is that does not go on."""

    LEAP = auto()
    SPARSE = auto()
    CATCH_UP = auto()
    DAMAGE = auto()


class Verdict(NamedTuple):
    """What an item that does not go on stands for, and how many items, from it on, that settles.

    A leap of the clock, a track with little to show, one that was left behind, or a stamp that is wrong.
    """

    number: int
    kind: Break
