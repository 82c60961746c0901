"""The pictures of the benchmarks, drawn without a display and without pyplot's global state."""

from __future__ import annotations

import io
import math
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
PERCENT_TICKS = range(0, 101, 25)
DOTS_PER_INCH = 120
PANELS_PER_LINE = 6
LABEL_LETTERS = 48


def bars(
    figures: Sequence[tuple[str, Mapping[str, Estimate | None]]],
    columns: Mapping[str, str],
    line: float | None = None,
    papers: Sequence[float | None] = (),
    title: str = "",
) -> bytes:
    """Percentages as bars with their intervals, a row per run and a panel per score, as PNG.

    Panels stand in lines of ``PANELS_PER_LINE`` at most, each as long as the others where that can be.

    Args:
        figures: for each run its name, which may have several lines, and its scores by name.
        columns: which to show, and their titles.
        line: drawn through every panel: what chance gives.
        papers: for each run the paper's figure for the first score, or None.
        title: over all of it.
    """
    names = ["\n".join(_wrapped(part) for part in name.split("\n")) for name, _ in figures]
    num_lines = math.ceil(len(columns) / PANELS_PER_LINE)
    num_wide = math.ceil(len(columns) / num_lines)
    height = 1.3 + sum(0.25 + 0.17 * (1 + name.count("\n")) for name in names)
    size = 2.1 * num_wide + 3.4, height * num_lines + (0.4 if title else 0)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(_wrapped(title, round(10 * size[0])), fontsize=11)
    grid = figure.subplots(num_lines, num_wide, sharey=True, squeeze=False)
    panels = grid.ravel()
    for place, (axes, (score, heading)) in enumerate(zip(panels, columns.items(), strict=False)):
        for number, (_, scores) in enumerate(figures):
            _bar(axes, scores.get(score), number)
        if place == 0 and any(paper is not None for paper in papers):
            _diamonds(axes, papers)
        if line is not None:
            axes.axvline(line, color="#333333", linestyle="dashed", linewidth=1, label=f"chance: {line:g} %")
        axes.set_xlim(0, 103)
        axes.set_xticks(PERCENT_TICKS)
        axes.tick_params(axis="x", labelsize=8, labelbottom=True)
        axes.set_title(_wrapped(f"{heading}, %", 22), fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    if panels[0].get_legend_handles_labels()[0]:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(names)), names, fontsize=9)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return as_png(figure)


def _diamonds(axes: Axes, papers: Sequence[float | None]) -> None:
    """The paper's figures, under the bars so that they cover no value."""
    known = [(paper, number) for number, paper in enumerate(papers) if paper is not None]
    values, numbers = zip(*known, strict=True)
    axes.scatter(
        values,
        [number + 0.4 for number in numbers],
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
    axes.barh(number, estimate.percent, color=COLOURS[number % len(COLOURS)], alpha=0.85)
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
