"""The two pictures of a benchmark, drawn without a display and without pyplot's global state."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from svlm_cli.bench.report import LABELS
from svlm_cli.bench.summary import RunSummary

# Okabe and Ito's colours, which the colour-blind can tell apart; dashes tell a second round of them.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("solid", "dashed", "dotted")
OVER_TIME_PANELS = ("event_f1", "team", "goal_score")
BAR_PANELS = ("event_f1", "team", "free_kick_team", "goal_score", "line_score", "referee")
PERCENT_RANGE = (-3, 103)
DOTS_PER_INCH = 120


def quality_plot(summaries: Sequence[RunSummary]) -> bytes:
    """Quality against stream time, a line per run and a panel per question, as PNG."""
    figure = Figure(figsize=(9, 2.4 * len(OVER_TIME_PANELS) + 0.35 * len(summaries)), layout="constrained")
    panels = figure.subplots(len(OVER_TIME_PANELS), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, OVER_TIME_PANELS, strict=True):
        for number, summary in enumerate(summaries):
            _line(axes, summary, number, name)
        axes.set_xlim(0, max(len(summary.minutes) for summary in summaries))
        axes.set_ylim(*PERCENT_RANGE)
        axes.set_ylabel(f"{LABELS[name]}, %")
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("minutes of stream")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return _png(figure)


def scores_plot(summaries: Sequence[RunSummary]) -> bytes:
    """Every run's scores as bars with their intervals, as PNG."""
    figure = Figure(figsize=(2.1 * len(BAR_PANELS) + 2, 1.2 + 0.4 * len(summaries)), layout="constrained")
    panels = figure.subplots(1, len(BAR_PANELS), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, BAR_PANELS, strict=True):
        for number, summary in enumerate(summaries):
            _bar(axes, summary, number, name)
        axes.set_xlim(0, 103)
        axes.set_title(f"{LABELS[name]}, %", fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(summaries)), [summary.run.name for summary in summaries])
    panels[0].invert_yaxis()
    return _png(figure)


def _line(axes: Axes, summary: RunSummary, number: int, name: str) -> None:
    """Minutes with nothing to score are passed over, their neighbours joined."""
    minutes, percents = [], []
    for minute, ratios in enumerate(summary.minutes):
        percent = ratios[name].percent
        if percent is not None:
            minutes.append(minute + 0.5)
            percents.append(percent)
    axes.plot(
        minutes,
        percents,
        color=COLOURS[number % len(COLOURS)],
        linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
        marker="o",
        markersize=2.5,
        linewidth=1.6,
        label=summary.run.name,
    )


def _bar(axes: Axes, summary: RunSummary, number: int, name: str) -> None:
    estimate = summary.scores[name]
    if estimate.percent is None:
        axes.text(2, number, "–", va="center")
        return
    axes.barh(number, estimate.percent, color=COLOURS[number % len(COLOURS)], alpha=0.85)
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [number, number], color="#333333", linewidth=1.5)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()
