"""Chance that falls alike on every machine and in every version of Python and numpy."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A stream of chance named by its key; the same key gives the same throws for ever.

    Everything is made from ``random.Random.random()``, the one method whose sequence Python promises
    never to change, by additions, multiplications and comparisons, which IEEE 754 fixes exactly.

    Args:
        key: what the stream is for, e.g. ``("soccer", 7, "plays")``; streams of different keys are
            independent.
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def below(self, count: int) -> int:
        """An integer in [0, count)."""
        return int(self._random.random() * count)

    def within(self, low: int, high: int) -> int:
        """An integer in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random.random()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``, each alike."""
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of ``options`` by its weight; the weights need not add up to one."""
        total = 0.0
        for _, weight in options:  # not sum(), which rounds otherwise from Python 3.12 on
            total += weight
        left = self.between(0.0, total)
        for option, weight in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][0]
