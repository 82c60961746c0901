"""Packets in decoding order, told to the rule of ``joins.py`` in the order of presentation; without libav.

When a picture is decoded says little: Matroska does not store it and libav makes it up, in MP4 it may begin
minutes before the first picture is shown, and over a leap it lags. When a picture is shown is always stored.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from svlm_cli.media.clock.joins import Joins
from svlm_cli.media.clock.timed import JUMP_SECONDS, RESET_SECONDS, Timed

MOST_REORDERED = 32
"""So many pictures at most are decoded behind one before which they are shown."""
_USUALLY_REORDERED, _LAST = 3, 16


@dataclass(slots=True, eq=False)
class _Unplaced:
    """A packet not yet placed; of pictures decoded behind it, some are shown before it."""

    timed: Timed[Any]
    at: float = 0.0
    num_behind: int = 0
    num_before: int = 0
    is_known: bool = False
    is_wrong: bool = False
    shift: float | None = None


class Reordered:
    """Puts the pictures' packets into the order of presentation, as far as a leap of the clock depends on it.

    One that is shown long after all before it waits until it is known to be the next that is shown: other
    tracks have come near, or enough pictures were decoded behind it. Those that fill the hole go first.
    The clock has started again at a keyframe that would be shown before an earlier picture, which no encoder
    writes, and at any picture that would be shown before all of ``MOST_REORDERED``.

    Args:
        joins: the rule.
        picture: the track that may be reordered; None for none.
    """

    def __init__(self, joins: Joins, picture: int | None) -> None:
        self._joins = joins
        self._picture = picture
        self.decoded = deque[float](maxlen=MOST_REORDERED)
        """When the last pictures are shown, in decoding order; whoever places some elsewhere adds them."""
        self._orders: dict[int, deque[_Unplaced]] = {}
        self._given = deque[_Unplaced]()
        self._waiting: list[_Unplaced] = []
        self._shifts: dict[int, float | None] = {}
        self._stated: dict[float, float] = {}
        self._part = 0

    @property
    def is_waiting(self) -> bool:
        """Whether packets are held back."""
        return any(self._orders.values())

    def put(self, item: Timed[Any] | None) -> Iterator[tuple[Timed[Any], float | None, float | None]]:
        """What can be said after one more item; None is the end.

        Returns:
            Items in the order of their track, each with the seconds to add to its decoding and to its
            presentation time; None where its times are damage.
        """
        if item is None:
            self._release()
            self._give(None, None)
        else:
            each = _Unplaced(item)
            self._orders.setdefault(item.track, deque()).append(each)
            start = item.stamp if item.start is None else item.start
            if start is None or item.track != self._picture:
                self._settle(start)
                length = item.length if item.length <= JUMP_SECONDS else 0.0
                self._give(each, item._replace(stamp=start, length=length))
            else:
                self._put_picture(each, start)
            self._settle()
        for order in self._orders.values():
            while order and order[0].is_known:
                each = order.popleft()
                yield each.timed, self._of_decoding(each), each.shift

    def _of_decoding(self, each: _Unplaced) -> float | None:
        """What moves its decoding time; where a leap is between the two, that goes on from those before."""
        timed, shift = each.timed, each.shift
        if shift is None or timed.stamp is None or timed.start is None:
            return shift
        if timed.start - timed.stamp <= JUMP_SECONDS:
            self._shifts[timed.track] = shift
        return self._shifts.get(timed.track, shift)

    def _put_picture(self, each: _Unplaced, start: float) -> None:
        each.at = start
        if self._starts_again(each.timed, start):
            self._release()
            self.decoded.clear()
        for one in self._waiting:
            one.num_behind += 1
            one.num_before += start < one.at
        if self.decoded and start > max(self.decoded) + JUMP_SECONDS:
            self._waiting.append(each)
        else:
            self._place(each)

    def _starts_again(self, item: Timed[Any], start: float) -> bool:
        before, self._part = self._part, item.part
        if item.part != before:
            return True
        shown = sorted([*self.decoded, *(each.at for each in self._waiting)])
        if not shown or start >= shown[-1] - RESET_SECONDS:
            return False
        if item.is_key:  # behind two, as one may be wrong
            return start < shown[-2 if len(shown) > 2 else -1] - RESET_SECONDS
        return len(self.decoded) == MOST_REORDERED and start < shown[0]

    def _settle(self, following_at: float | None = None) -> None:
        """Place those that need to wait no longer, where another track goes on at ``following_at``."""
        while self._waiting:
            following, oldest = min(self._waiting, key=_at), self._waiting[0]
            is_reached = self._joins.is_reached(following.at, following_at)
            if is_reached or following.at <= max(self.decoded) + JUMP_SECONDS:
                self._place_first(following)
            elif oldest.num_behind < MOST_REORDERED:
                return
            else:
                self._place_next(MOST_REORDERED)

    def _release(self) -> None:
        """Place all, as no more are decoded; one alone, before which too many were shown, is wrong."""
        decoded = [*self.decoded]
        reordered = (sum(b < a for b in decoded[number:]) for number, a in enumerate(decoded))
        most_before = max(_USUALLY_REORDERED, *reordered) if len(self._waiting) == 1 else MOST_REORDERED
        while self._waiting:
            self._place_next(most_before + 1)

    def _place_next(self, most_before: int) -> None:
        """Place the one that is shown next; so many are not shown before one whose time is right."""
        if self._waiting[0].num_before >= most_before:
            wrong = self._waiting.pop(0)
            self._give(wrong, wrong.timed._replace(stamp=None, start=None), is_wrong=True)
            return
        self._place_first(min(self._waiting, key=_at))

    def _place_first(self, following: _Unplaced) -> None:
        self._end_shown(following.at)
        self._waiting.remove(following)
        self._place(following)

    def _place(self, each: _Unplaced) -> None:
        """Tell the rule of a picture; one that comes late belongs to those before which it is shown."""
        timed = each.timed
        length = _believed(timed.length, _usual(self.decoded), JUMP_SECONDS)
        if self.decoded and each.at < max(self.decoded):
            self._end_shown(math.inf)
        stamp = max(each.at, *self.decoded) if self.decoded else each.at
        if stamp == each.at:
            self._stated = {stamp: timed.length}
        self.decoded.append(each.at)
        self._give(each, timed._replace(stamp=stamp, start=each.at, length=length))

    def _end_shown(self, following: float) -> None:
        """Say when the last picture before a hole ends: it is shown for no longer than those before it.

        In MP4 it lasts until behind a leap, and in a copy of such a file all are stated to be longer.
        """
        last = max(self.decoded)
        usual = _usual(self.decoded) or _usual(each.at for each in self._waiting)
        if usual and following - last > 2 * usual and self._picture is not None:
            self._joins.end_shown(
                self._picture, last, lambda length: self._shown_for(last, length, usual, following)
            )

    def _shown_for(self, last: float, length: float, usual: float, following: float) -> float:
        length = _believed(self._stated.get(last, length), usual)
        return length if last + length < following - usual / 4 else usual

    def _give(self, each: _Unplaced | None, as_if: Timed[Any] | None, *, is_wrong: bool = False) -> None:
        if each is not None:
            each.is_wrong = is_wrong
            self._given.append(each)
        for _, shift in self._joins.put(as_if):
            placed = self._given.popleft()
            placed.is_known, placed.shift = True, None if placed.is_wrong else shift


def _at(each: _Unplaced) -> float:
    return each.at


def _usual(starts: Iterable[float]) -> float:
    """The usual distance of the last of these; 0 where there is none."""
    gaps = [b - a for a, b in pairwise(sorted(starts)[-_LAST:]) if b > a]
    return median(gaps) if gaps else 0.0


def _believed(stated: float, usual: float, most: float = 0.0) -> float:
    """How long a picture is shown, of which the container states a length, or 0."""
    return stated if 0 < stated <= max(most, 2 * usual) else usual
