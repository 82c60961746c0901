"""The pictures of the benchmarks, drawn without a display and without pyplot's global state."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from svlm_cli.bench.common.intervals import Estimate

# Okabe and Ito's colours, which the colour-blind can tell apart; dashes tell a second round of them.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("solid", "dashed", "dotted")
PERCENT_RANGE = (-3, 103)
_LATEST_LABEL = 93  # per cent where a number may begin
PERCENT_TICKS = range(0, 101, 25)
DOTS_PER_INCH = 120
MOST_PANELS = 6
LIST_WIDTH = 9.0
HATCHES = ("", "///", "...", "xxx")
MARKS = ("o", "s", "^", "D")
LABEL_LETTERS = 48


def bars(
    figures: Sequence[tuple[str, Mapping[str, Estimate | None]]],
    columns: Mapping[str, str],
    line: float | None = None,
    papers: Sequence[float | None] = (),
    title: str = "",
) -> bytes:
    """Percentages with their intervals, as PNG: a bar per run in a panel per score, or a list of many scores.

    No two runs look alike. Up to ``MOST_PANELS`` panels stand side by side; more scores are one panel, below
    each other, with a mark per run.

    Args:
        figures: for each run its name, which may have several lines, and its scores by name.
        columns: which to show, and their titles.
        line: drawn through every panel: what chance gives.
        papers: for each run the paper's figure for the first score, or None.
        title: over all of it.
    """
    names = ["\n".join(_wrapped(part) for part in name.split("\n")) for name, _ in figures]
    scores = [scores for _, scores in figures]
    draw = _panels if len(columns) <= MOST_PANELS else _list
    figure = draw(names, scores, columns, papers, line)
    width = figure.get_figwidth()
    figure.suptitle(_wrapped(title, round(10 * width)), fontsize=11)
    return as_png(figure)


def _panels(
    names: Sequence[str],
    scores: Sequence[Mapping[str, Estimate | None]],
    columns: Mapping[str, str],
    papers: Sequence[float | None],
    line: float | None,
) -> Figure:
    """A panel per score, side by side."""
    height = 1.7 + sum(0.25 + 0.17 * (1 + name.count("\n")) for name in names)
    figure = Figure(figsize=(2.1 * len(columns) + 3.4, height), layout="constrained")
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (score, heading) in zip(panels, columns.items(), strict=True):
        for number, own in enumerate(scores):
            _bar(axes, own.get(score), number)
        _percents(axes, line)
        axes.set_title(_wrapped(f"{heading}, %", 22), fontsize=10)
    if any(paper is not None for paper in papers):
        _diamonds(panels[0], papers)
    if panels[0].get_legend_handles_labels()[0]:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    panels[0].set_yticks(range(len(names)), names, fontsize=9)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def _list(
    names: Sequence[str],
    scores: Sequence[Mapping[str, Estimate | None]],
    columns: Mapping[str, str],
    papers: Sequence[float | None],
    line: float | None,
) -> Figure:
    """One panel: a band per score, in it a mark for each run that has it, in the order of the legend."""
    known = {score: [number for number, own in enumerate(scores) if _has(own, score)] for score in columns}
    places = [(score, number) for score in columns for number in (known[score] or [-1])]
    letters = sum(1 + name.count("\n") for name in names)
    height = 1.8 + 0.19 * (len(places) + len(columns)) + 0.09 * letters
    figure = Figure(figsize=(LIST_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    labelled: set[int] = set()
    ticks, top = [], 0.0
    for band, (score, numbers) in enumerate(known.items()):
        bottom = top + max(1, len(numbers)) + 1
        if band % 2 == 0:
            axes.axhspan(top, bottom, color="#f2f2f2", zorder=0)
        ticks.append((top + bottom) / 2)
        for row, number in enumerate(numbers):
            estimate = scores[number][score]
            assert estimate is not None
            _mark(axes, estimate, top + 1 + row, number, "" if number in labelled else names[number])
            labelled.add(number)
            if band == 0 and papers and (paper := papers[number]) is not None:
                _diamond(axes, [paper], [top + 1 + row])
        top = bottom
    _percents(axes, line)
    axes.set_xlabel("%", fontsize=9)
    axes.set_yticks(ticks, [_wrapped(title, 34) for title in columns.values()], fontsize=9)
    axes.set_ylim(top, 0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _has(scores: Mapping[str, Estimate | None], name: str) -> bool:
    estimate = scores.get(name)
    return estimate is not None and estimate.percent is not None


def _mark(axes: Axes, estimate: Estimate, height: float, number: int, label: str) -> None:
    """A mark, its interval, and its number beside it."""
    assert estimate.percent is not None
    colour, _, mark = style_of(number)
    axes.plot(estimate.percent, height, mark, color=colour, markersize=6, label=label or "_")
    begin = end = estimate.percent
    if estimate.low is not None and estimate.high is not None:
        begin, end = estimate.low, estimate.high
        axes.plot([begin, end], [height, height], color=colour, linewidth=1.2)
    is_late = end > _LATEST_LABEL and begin > 100 - _LATEST_LABEL  # no room behind it
    place, side = (begin - 1.6, "right") if is_late else (min(end, _LATEST_LABEL) + 1.2, "left")
    axes.text(place, height, f"{estimate.percent:.1f}", va="center", ha=side, fontsize=7)


def style_of(number: int) -> tuple[str, str, str]:
    """Colour, hatch and mark of a row; no two of the first 28 are alike."""
    turn = number // len(COLOURS)
    return COLOURS[number % len(COLOURS)], HATCHES[turn % len(HATCHES)], MARKS[turn % len(MARKS)]


def _percents(axes: Axes, line: float | None) -> None:
    if line is not None:
        axes.axvline(line, color="#333333", linestyle="dashed", linewidth=1, label=f"chance: {line:g} %")
    axes.set_xlim(0, 103)
    axes.set_xticks(PERCENT_TICKS)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)


def _diamonds(axes: Axes, papers: Sequence[float | None]) -> None:
    """The paper's figures, under the bars so that they cover no value."""
    known = [(paper, number) for number, paper in enumerate(papers) if paper is not None]
    values, numbers = zip(*known, strict=True)
    _diamond(axes, values, [number + 0.4 for number in numbers])


def _diamond(axes: Axes, values: Sequence[float], heights: Sequence[float]) -> None:
    axes.scatter(
        values,
        heights,
        marker="D",
        s=28,
        color="white",
        edgecolors="black",
        zorder=3,
        label="paper",
    )


def _bar(axes: Axes, estimate: Estimate | None, number: int) -> None:
    if estimate is None or estimate.percent is None:
        axes.text(2, number, "–", va="center")
        return
    colour, hatch, _ = style_of(number)
    axes.barh(number, estimate.percent, color=colour, hatch=hatch, edgecolor="white", linewidth=0, alpha=0.85)
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [number, number], color="#333333", linewidth=1.5)
    axes.text(
        1.5,
        number,
        f"{estimate.percent:.1f}",
        va="center",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        zorder=4,
    )


def readable_log(axes: Axes) -> None:
    """A logarithmic axis of values above 0 whose ticks are 1, 2 and 5 times powers of ten, two at least."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = [step * 10.0**power for power in range(-12, 13) for step in (1, 2, 5)]
    axes.set_ylim(
        max((step for step in steps if step <= low), default=low),
        min((step for step in steps if step >= high), default=high),
    )
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _wrapped(name: str, most_letters: int = LABEL_LETTERS) -> str:
    return "\n".join(textwrap.wrap(name, most_letters))


def as_png(figure: Figure) -> bytes:
    """A drawn figure."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()
