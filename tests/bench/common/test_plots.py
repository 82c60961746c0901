"""The pictures of reports: a shape that can be read, and what they are of."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from svlm_cli.bench.common.intervals import Estimate
from svlm_cli.bench.common.plots import bars
from svlm_cli.bench.common.tables import Report, Row


def test_many_panels_stand_in_lines() -> None:
    tasks = {f"T{number}": f"T{number}" for number in range(12)}
    figures = [("run\nprotocol", {name: Estimate(50.0, 10.0, 90.0, 4) for name in tasks})]
    with Image.open(io.BytesIO(bars(figures, tasks, title="OVO-Bench"))) as picture:
        assert picture.width < 2000
        assert picture.width < 6 * picture.height


def test_a_title_names_benchmark_rival_and_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []

    def draw(*given: object) -> bytes:
        titles.append(str(given[-1]))
        return b""

    monkeypatch.setattr("svlm_cli.bench.common.plots.bars", draw)
    rows = [Row("ours", "p", {"rival": "theirs", "judge": "gpt-5"}, {"s": Estimate(50.0, None, None, 4)})]
    Report("commentary", "Commentary", rows, {"s": "s"})._bars({"s": "s"})
    assert titles == ["Commentary; against theirs; judge: gpt-5"]
