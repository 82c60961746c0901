"""What a rule of the clock is told, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

ItemT = TypeVar("ItemT")

RESET_SECONDS = 1.0
"""A track whose clock goes back by more has started again."""
JUMP_SECONDS = 10.0
"""Where no track has anything for longer, the clock has leapt: ffmpeg's bound, dts_delta_threshold."""


class Timed(NamedTuple, Generic[ItemT]):
    """Something of a track, in the order of the file; times are by the file's clock, in seconds.

    Args:
        item: a packet, say.
        track: the track of the file.
        stamp: its place in the order of time, of sound and of packets as they come when it is decoded; None
            where the file does not say.
        start: when it is presented; None likewise.
        length: how long it is; 0 likewise.
        is_key: whether decoding can begin with it.
        part: of joined recordings, which of them it is of, where the file tells; else 0.
    """

    item: ItemT
    track: int
    stamp: float | None
    start: float | None
    length: float
    is_key: bool = True
    part: int = 0


@dataclass(frozen=True, slots=True)
class Join:
    """A place where the file's clock does not go on.

    Args:
        seconds: where, on the common clock, which is that of the file's first stretch.
        by_seconds: the leap of the file's clock, beyond what would have come next; negative where it starts
            again.
    """

    seconds: float
    by_seconds: float
