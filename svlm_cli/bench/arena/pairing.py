"""Which line tells which event: the best one-to-one pairing of two lists of seconds.

Two seconds may pair when they are at most ``TOLERANCE_SECONDS`` apart, each in one pair at most. Of all
pairings the one is taken that

1. has most pairs,
2. then the least sum of time differences,
3. then the earliest lines,

and whose pairs never cross: of two events, the one that is true first has the line that is said first.
Uncrossing two pairs keeps the same lines and lengthens nothing, so no crossing pairing is better.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class _Pairing:
    """A way to pair the events seen so far; the larger, the better. ``pairs`` is a chain, last one first."""

    num_pairs: int = 0
    minus_distance: int = 0
    minus_places: int = 0
    pairs: tuple[object, ...] = ()

    def with_pair(self, i: int, j: int, distance: int) -> _Pairing:
        return _Pairing(
            self.num_pairs + 1, self.minus_distance - distance, self.minus_places - j, (self.pairs, i, j)
        )

    @property
    def value(self) -> tuple[int, int, int]:
        return self.num_pairs, self.minus_distance, self.minus_places


def pair_up(true: Sequence[int], said: Sequence[int]) -> list[tuple[int, int]]:
    """The best pairing of two ascending lists of seconds, as this module defines it.

    A dynamic programme over the true events, whose state is the last line used. Only the lines within
    the tolerance of an event matter to it, so the work grows with the length of the match and no more.

    Returns:
        Places ``(in true, in said)``, ascending in both.
    """
    best: dict[int, _Pairing] = {-1: _Pairing()}
    for i, second in enumerate(true):
        first = bisect_left(said, second - TOLERANCE_SECONDS)
        end = bisect_right(said, second + TOLERANCE_SECONDS)
        settled = max((best[last] for last in best if last < first), key=lambda each: each.value)
        skipped = {first - 1: settled} | {last: each for last, each in best.items() if last >= first}
        best = dict(skipped)
        for j in range(first, end):
            before = max((skipped[last] for last in skipped if last < j), key=lambda each: each.value)
            paired = before.with_pair(i, j, abs(second - said[j]))
            if j not in best or paired.value > best[j].value:
                best[j] = paired
    chain = max(best.values(), key=lambda each: each.value).pairs
    pairs: list[tuple[int, int]] = []
    while chain:
        chain, i, j = chain  # type: ignore[assignment]
        pairs.append((i, j))
    return pairs[::-1]
