from __future__ import annotations

import itertools

import numpy as np
import pytest

from svlm_cli.bench.common.intervals import Bootstrap, Ratio

RATIOS = [Ratio(9, 10), Ratio(10, 20), Ratio(1, 2), Ratio(30, 30), Ratio(0, 0)]


def test_counts_are_added_before_dividing() -> None:
    estimate = Bootstrap(5).estimate(RATIOS)
    assert estimate.percent == pytest.approx(100 * 50 / 62)
    assert estimate.num == 62


def test_the_interval_is_that_of_all_possible_draws() -> None:
    draws = [sum(chosen, Ratio()) for chosen in itertools.product(RATIOS, repeat=5)]
    exact = np.percentile([draw.percent for draw in draws if draw.whole], [2.5, 97.5])
    estimate = Bootstrap(5).estimate(RATIOS)
    assert (estimate.low, estimate.high) == pytest.approx(exact, abs=4)


def test_the_same_seed_gives_the_same_interval() -> None:
    assert Bootstrap(5).estimate(RATIOS) == Bootstrap(5).estimate(RATIOS)
    many = [Ratio(part, 97) for part in range(0, 97, 5)]
    assert Bootstrap(len(many)).estimate(many) != Bootstrap(len(many), seed=1).estimate(many)


def test_a_change_is_paired() -> None:
    before = [Ratio(1, 10), Ratio(5, 10), Ratio(9, 10)]
    after = [Ratio(2, 10), Ratio(6, 10), Ratio(10, 10)]
    change = Bootstrap(3).change(before, after)
    assert (change.percent, change.low, change.high) == pytest.approx((10, 10, 10))


def test_nothing_to_score_and_nothing_to_draw_from() -> None:
    assert Bootstrap(2).estimate([Ratio(), Ratio()]).to_json() == {
        "percent": None,
        "low": None,
        "high": None,
        "num": 0,
    }
    single = Bootstrap(1).estimate([Ratio(2, 3)])
    assert single.to_json() == {"percent": 66.67, "low": None, "high": None, "num": 3}
    assert Bootstrap(2).change([Ratio(), Ratio()], [Ratio(1, 1), Ratio(1, 1)]).percent is None
