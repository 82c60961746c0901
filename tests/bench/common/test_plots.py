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


def test_many_scores_are_a_page() -> None:
    tasks = {f"T{number}": f"T{number}" for number in range(12)}
    figures = [("run\nprotocol", {name: Estimate(50.0, 10.0, 90.0, 4) for name in tasks})]
    with Image.open(io.BytesIO(bars(figures, tasks, title="OVO-Bench"))) as picture:
        assert picture.width < 2000
        assert picture.width < 6 * picture.height


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []

    def look(figure: Figure) -> bytes:
        figure.draw_without_rendering()
        figures.append(figure)
        return b""

    monkeypatch.setattr("svlm_cli.bench.common.plots.as_png", look)
    return figures


@pytest.mark.parametrize("num", range(1, 15))
def test_panels_stand_in_one_line_or_scores_in_one_list(num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    columns = {f"c{n}": f"score {n}" for n in range(num)}
    bars([("run", {name: Estimate(50.0, None, None, 4) for name in columns})], columns, title="T")
    (figure,) = figures
    assert len(figure.axes) == (num if num <= 6 else 1)
    assert {axes.get_subplotspec().rowspan.start for axes in figure.axes} == {0}
    if num > 6:
        told = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert told == list(columns.values())
    for axes in figure.axes:
        assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "25", "50", "75", "100"]


@pytest.mark.parametrize("num_columns", [1, 8])
def test_no_two_rows_look_alike(num_columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    columns = {f"c{n}": f"c{n}" for n in range(num_columns)}
    runs = [(f"run {n}", {name: Estimate(float(n), None, None, 4) for name in columns}) for n in range(28)]
    bars(runs, columns)
    (axes,) = figures[0].axes
    if num_columns == 1:
        looks = {(patch.get_facecolor(), patch.get_hatch()) for patch in axes.patches}
    else:
        looks = {(mark.get_color(), mark.get_marker()) for mark in axes.lines if mark.get_marker() != "None"}
        assert len(figures[0].legends[0].get_texts()) == 28
    assert len(looks) == 28


def test_what_others_published_is_in_every_table_and_picture_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = drawn(monkeypatch)
    own = Row("ours", "p", {}, {name: Estimate(50.0, None, None, 4) for name in ("s", "t", "u")})
    others = [
        Row("theirs", "published: q", {}, {"s": Estimate(40.0, None, None, 0)}),
        Row("others", "published: r", {}, {"t": Estimate(30.0, None, None, 0)}),
    ]
    report = Report("b", "B", [own], {"s": "s"}, {"More": {"t": "t"}, "Rest": {"u": "u"}}, published=others)
    for columns in ({"s": "s"}, {"t": "t"}, {"u": "u"}):
        report._bars(columns)
    told = [[text.get_text().split("\n")[0] for text in each.axes[0].get_yticklabels()] for each in figures]
    assert told == [["ours", "theirs"], ["ours", "others"], ["ours"]]
    first, more, rest = report.markdown().split("\n## ")[1:]
    assert "theirs" in first
    assert "others" in more
    assert "theirs" not in more
    assert "published" not in rest


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
