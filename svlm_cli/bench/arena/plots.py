"""The pictures of the arena: quality against stream time, and the scores."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from svlm_cli.bench.arena.asked import ASKED_LABELS, PLACE_LABELS
from svlm_cli.bench.arena.scored import LABELS
from svlm_cli.bench.arena.summary import RunSummary, asked_of
from svlm_cli.bench.common.plots import COLOURS, DASHES, PERCENT_RANGE, as_png, bars

OVER_TIME_PANELS = ("event_f1", "team", "goal_score")


BAR_PANELS = ("event_f1", "team", "free_kick_team", "goal_score", "line_score", "referee")


def quality_plot(summaries: Sequence[RunSummary]) -> bytes:
    """Quality against stream time, a line per run and a panel per question, as PNG.

    Each line is thinner than the one it is drawn over, so that equal ones show.
    """
    figure = Figure(figsize=(9, 2.4 * len(OVER_TIME_PANELS) + 0.35 * len(summaries)), layout="constrained")
    figure.suptitle("Arena: scores by minute of the stream", fontsize=11)
    panels = figure.subplots(len(OVER_TIME_PANELS), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, OVER_TIME_PANELS, strict=True):
        for number, summary in enumerate(summaries):
            _line(axes, summary, number, name, linewidth=1.4 + 0.35 * (len(summaries) - 1 - number))
        axes.set_xlim(0, max(len(summary.minutes) for summary in summaries))
        axes.set_ylim(*PERCENT_RANGE)
        axes.set_ylabel(f"{LABELS[name]}, %")
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("minutes of stream")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return as_png(figure)


def scores_plot(summaries: Sequence[RunSummary]) -> bytes:
    """Every run's scores as bars with their intervals, as PNG."""
    figures = [(summary.run.name, summary.scores) for summary in summaries]
    return bars(figures, {name: LABELS[name] for name in BAR_PANELS}, title="Arena: scores of all matches")


def answers_plot(summaries: Sequence[RunSummary]) -> bytes:
    """Right answers of every run by what was asked, as PNG."""
    figures = [(each.run, each.scores) for each in asked_of(summaries)]
    return bars(figures, ASKED_LABELS, title="Arena: right answers where they can be known")


def places_plot(summaries: Sequence[RunSummary]) -> bytes:
    """The same by where the evidence lay when it was asked."""
    figures = [(each.run, each.places) for each in asked_of(summaries)]
    return bars(figures, PLACE_LABELS, title="Arena: right answers by where the evidence lies")


def _line(axes: Axes, summary: RunSummary, number: int, name: str, linewidth: float) -> None:
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
        linewidth=linewidth,
        label=summary.run.name,
    )
