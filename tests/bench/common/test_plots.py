"""The pictures of reports: a shape that can be read, and what they are of."""

from __future__ import annotations

import io

import pytest
from matplotlib.figure import Figure
from PIL import Image

from svlm_cli.bench.common.intervals import Estimate
from svlm_cli.bench.common.plots import bars, readable_log
from svlm_cli.bench.common.tables import Report, Row

pytestmark = pytest.mark.usefixtures("drawn")


def test_many_panels_stand_in_lines() -> None:
    tasks = {f"T{number}": f"T{number}" for number in range(12)}
    figures = [("run\nprotocol", {name: Estimate(50.0, 10.0, 90.0, 4) for name in tasks})]
    with Image.open(io.BytesIO(bars(figures, tasks, title="OVO-Bench"))) as picture:
        assert picture.width < 2000
        assert picture.width < 6 * picture.height


@pytest.mark.parametrize("num", range(1, 15))
def test_no_line_of_panels_is_much_shorter_than_another(num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, int, list[str]]] = []

    def look(figure: Figure) -> bytes:
        figure.draw_without_rendering()
        shown = [axes for axes in figure.axes if axes.get_visible()]
        (lines, wide) = shown[0].get_gridspec().get_geometry()
        shapes.append((lines, wide, [text.get_text() for text in shown[0].get_xticklabels()]))
        return b""

    monkeypatch.setattr("svlm_cli.bench.common.plots.as_png", look)
    columns = {f"c{n}": f"c{n}" for n in range(num)}
    bars([("run", {name: Estimate(50.0, None, None, 4) for name in columns})], columns, title="T")
    ((lines, wide, ticks),) = shapes
    assert wide <= 6
    assert 0 <= lines * wide - num < lines, "8 panels are 4 over 4, not 6 over 2"
    assert ticks == ["0", "25", "50", "75", "100"]


@pytest.mark.parametrize(("low", "high"), [(0.03, 0.045), (0.004, 2.0), (0.5, 0.5), (12, 70)])
def test_logarithmic_ticks_are_read_by_people(low: float, high: float) -> None:
    axes = Figure().subplots()
    axes.plot([0, 1], [low, high])
    readable_log(axes)
    axes.figure.draw_without_rendering()
    bottom, top = axes.get_ylim()
    assert bottom <= low <= high <= top
    told = [text.get_text() for text in axes.get_yticklabels()]
    values = [float(text) for text in told if text and bottom <= float(text) <= top]
    assert len(values) >= 2
    assert all(f"{value:g}" in told for value in values)
    assert not [text.get_text() for text in axes.get_yticklabels(minor=True) if text.get_text()]


def test_a_title_names_benchmark_rival_and_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []

    def draw(*given: object) -> bytes:
        titles.append(str(given[-1]))
        return b""

    monkeypatch.setattr("svlm_cli.bench.common.plots.bars", draw)
    rows = [Row("ours", "p", {"rival": "theirs", "judge": "gpt-5"}, {"s": Estimate(50.0, None, None, 4)})]
    Report("commentary", "Commentary", rows, {"s": "s"})._bars({"s": "s"})
    assert titles == ["Commentary; against theirs; judge: gpt-5"]
