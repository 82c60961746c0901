"""How sure a score is: the bootstrap over matches.

A match is drawn whole, because the seconds of one match hang together: a wrong score stays wrong. The
interval is the 2.5th to 97.5th percentile of the score over ``NUM_RESAMPLES`` draws of as many matches
as there are, with replacement, counts added up before dividing.

Shape legend: b = resamples, n = matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its 95 % interval.

    Args:
        percent: 0 to 100 (-100 to 100 of a difference); None where there was nothing to score.
        low, high: None with fewer than two matches to draw from.
        num: what it is a share of: events, seconds. For an F1 events true plus events said.
    """

    percent: float | None
    low: float | None
    high: float | None
    num: int

    def to_json(self) -> dict[str, object]:
        """Plain values, percentages rounded to two decimals."""
        return {
            "percent": rounded(self.percent),
            "low": rounded(self.low),
            "high": rounded(self.high),
            "num": self.num,
        }


class Bootstrap:
    """The draws for a number of matches; the same draws for every score, so that differences are paired.

    Args:
        num_matches: 1 or more.
        seed: the seed of the draws.
    """

    def __init__(self, num_matches: int, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        shares = np.full(num_matches, 1 / num_matches)
        self._weights = generator.multinomial(num_matches, shares, size=NUM_RESAMPLES)  # (b, n)

    def estimate(self, ratios: Sequence[Ratio]) -> Estimate:
        """The score over all matches, from one ratio per match."""
        total = sum(ratios, Ratio())
        low, high = self._interval(self._draw(ratios))
        return Estimate(total.percent, low, high, total.whole)

    def change(self, before: Sequence[Ratio], after: Sequence[Ratio]) -> Estimate:
        """How much the score of ``after`` is above that of ``before``, in percentage points."""
        first, last = sum(before, Ratio()), sum(after, Ratio())
        low, high = self._interval(self._draw(after) - self._draw(before))
        if first.percent is None or last.percent is None:
            return Estimate(None, None, None, first.whole + last.whole)
        return Estimate(last.percent - first.percent, low, high, first.whole + last.whole)

    def _draw(self, ratios: Sequence[Ratio]) -> np.ndarray:
        """Percentages of the resamples, shape (b,), nan where a draw holds nothing to score."""
        counts = np.array([(ratio.part, ratio.whole) for ratio in ratios])  # (n, 2)
        parts, wholes = (self._weights @ counts).T
        return np.where(wholes > 0, 100 * parts / np.maximum(wholes, 1), np.nan)

    def _interval(self, percents: np.ndarray) -> tuple[float | None, float | None]:
        known = percents[~np.isnan(percents)]
        if self._weights.shape[1] < 2 or not len(known):
            return None, None
        low, high = np.percentile(known, PERCENTILES)
        return float(low), float(high)


def rounded(percent: float | None) -> float | None:
    """To two decimals, without a negative zero."""
    return None if percent is None else round(percent, 2) + 0.0


@dataclass(frozen=True, slots=True)
class Ratio:
    """``part`` of ``whole``, as counts that can be added up."""

    part: int = 0
    whole: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.part <= self.whole:
            raise ValueError(f"{self.part} of {self.whole}")

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio(self.part + other.part, self.whole + other.whole)

    @property
    def percent(self) -> float | None:
        """0 to 100, None of nothing."""
        return 100 * self.part / self.whole if self.whole else None
