"""The one form of every benchmark's figures: rows that carry their protocol, as JSON, tables and bars.

``summary.json`` is ``{"benchmark", "version", "columns": {score: label}, "runs": [row, ...]}`` and more keys
of the benchmark's own. A row is ``{"run", "protocol", ...facts, "scores": {score: figure}}``; a figure is
``{"percent", "low", "high", "num"}`` or ``{"value", "unit"}``. ``paper`` in a row is what the paper has for
it. docs/bench.md tells it to those who add a benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from svlm_cli import __version__
from svlm_cli.bench.common.intervals import Estimate, rounded
from svlm_cli.bench.common.records import claim_folder, read_json, write_whole
from svlm_cli.bench.common.table import Column, Table, tabled
from svlm_cli.digest import digest
from svlm_cli.errors import OutputError, SourceError
from svlm_cli.text import as_json
from svlm_cli.values import short

SUMMARY_NAME = "summary.json"
REPORT_NAME = "report.md"
SCORES_PLOT = "scores.png"
NOTHING = "–"
_MOST_FIGURE = 1e15
_LONGEST_NAME = 100
_OTHER = "choose another --out"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Args:
        run: its name.
        protocol: all that must be known to compare it with another: rules, wording, how the video was shown.
        facts: model, frames, resolution, judge, seed and the like, by the title of their column.
        scores: estimates by name.
        paper: the paper's figure for this row, with its unit where it is no percentage.
        more: further fields of the row in ``summary.json``.
    """

    run: str
    protocol: str
    facts: Mapping[str, str]
    scores: Mapping[str, Estimate]
    paper: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "run": self.run,
            "protocol": self.protocol,
            **self.facts,
            **({} if self.paper is None else {"paper": self.paper}),
            "scores": {name: estimate.to_json() for name, estimate in self.scores.items()},
            **self.more,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All that a benchmark has to say.

    Args:
        benchmark: its name.
        title: the title of the page.
        rows: the figures.
        columns: scores of the main table, name to title; others stand in tables of their own.
        sections: further tables: a title, and columns as above.
        notes: paragraphs under the main table: warnings first.
        line: percentage that chance gives, drawn in the plots.
        more: further keys of ``summary.json``.
        published: rows of others, read off papers: beside ours on the page and wherever they have a figure.
        drawn: columns of the first picture, where these are not all of ``columns``.
    """

    benchmark: str
    title: str
    rows: Sequence[Row]
    columns: Mapping[str, str]
    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    line: float | None = None
    more: Mapping[str, object] = field(default_factory=dict)
    published: Sequence[Row] = ()
    drawn: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """``summary.json``."""
        return {
            "benchmark": self.benchmark,
            "version": __version__,
            "columns": dict(self.columns),
            **self.more,
            "notes": list(self.notes),
            "runs": [row.to_json() for row in self.rows],
            **({"published": [row.to_json() for row in self.published]} if self.published else {}),
        }

    def to_json(self) -> str:
        """The summary document as text."""
        return as_json(self.document(), 2)

    def main_table(self) -> Table:
        """A row per run: everything needed to repeat it, then the scores, then the paper's figure."""
        return self._table(self.columns, self.rows)

    def markdown(self) -> str:
        """The whole page."""
        parts = [
            f"# {self.title}",
            f"Percentages, 95 % intervals in brackets; {NOTHING}: nothing to score. docs/bench.md says how.",
            f"## Result\n\n{self._table(self.columns, [*self.rows, *self.published]).markdown()}",
            *self.notes,
            f"![scores]({SCORES_PLOT})",
            *(
                f"## {title}\n\n"
                f"{self._table(columns, self._with_others(columns), is_main=False).markdown()}\n\n"
                f"![{title}]({picture})"
                for title, columns, picture in self._parts()
            ),
        ]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Write ``summary.json``, ``report.md`` and the plots, each whole.

        Raises:
            OutputError: one cannot be written, somebody else writes there, or the folder holds figures of
                something else by now.
        """
        with claim_folder(folder):
            if "work" in self.more:
                _require_same(folder, self.benchmark, self.more["work"])
            write_whole(folder / SCORES_PLOT, self._bars(self.drawn or self.columns, is_main=True))
            for title, columns, picture in self._parts():
                write_whole(folder / picture, self._bars(columns, title))
            write_whole(folder / REPORT_NAME, self.markdown().encode())
            write_whole(folder / SUMMARY_NAME, f"{self.to_json()}\n".encode())

    def _parts(self) -> list[tuple[str, Mapping[str, str], str]]:
        """The sections that have something to show: their title, columns and picture."""
        shown = [(title, columns) for title, columns in self.sections.items() if columns]
        pictures = plot_names([title for title, _ in shown], {SCORES_PLOT})
        return [(*each, picture) for each, picture in zip(shown, pictures, strict=True)]

    def _bars(self, columns: Mapping[str, str], section: str = "", *, is_main: bool = False) -> bytes:
        from svlm_cli.bench.common.plots import bars

        rows = self._with_others(columns)
        figures = [
            (f"{row.run}\n{row.protocol}", {name: row.scores.get(name) for name in columns}) for row in rows
        ]
        return bars(
            figures,
            columns,
            self.line,
            [_leading(row.paper) for row in rows] if is_main else (),
            self._plot_title(section),
        )

    def _with_others(self, columns: Mapping[str, str]) -> list[Row]:
        """Our rows, and those of others that have one of these figures."""
        return [*self.rows, *(row for row in self.published if any(name in row.scores for name in columns))]

    def _plot_title(self, section: str) -> str:
        """The benchmark, the section, and of judged rows the rivals and judges."""
        parts = [self.title, *([section] if section else [])]
        for fact, told in (("rival", "against"), ("judge", "judge:")):
            names = list(dict.fromkeys(row.facts[fact] for row in self.rows if fact in row.facts))
            parts += [f"{told} {' / '.join(names)}"] if names else []
        return "; ".join(parts)

    def _table(self, columns: Mapping[str, str], rows: Sequence[Row], *, is_main: bool = True) -> Table:
        facts = list(dict.fromkeys(name for row in rows for name in row.facts))
        scores: list[Column[Row]] = [(title, _score(name)) for name, title in columns.items()]
        if is_main and any(row.paper for row in rows):
            scores.append(("paper", lambda row: row.paper or NOTHING))
        setup: list[Column[Row]] = [
            ("protocol", lambda row: row.protocol),
            *((name, _fact(name)) for name in facts),
        ]
        return tabled([("run", lambda row: row.run)], setup, scores, rows)


def claim_figures(folder: Path, benchmark: str, work: Sequence[object]) -> str:
    """A digest of what is scored, for ``Report.more``; a folder keeps the figures of one such work.

    Args:
        folder: the report will be written to.
        benchmark: it is of.
        work: all that tells it from another: paths as absolute ones, the judge, its rules.

    Raises:
        OutputError: the folder holds figures of something else, which would be lost.
    """
    own = digest([benchmark, *map(str, work)])
    _require_same(folder, benchmark, own)
    return own


def figures_there(folder: Path) -> Mapping[str, Any] | None:
    """The summary of the benchmark whose figures a folder holds; None where it holds none."""
    try:
        there = read_json(folder / SUMMARY_NAME, _OTHER)
    except SourceError:
        return None
    return there if isinstance(there, dict) and "benchmark" in there else None


def require_benchmark(folder: Path, benchmark: str) -> Mapping[str, Any]:
    """The figures that a folder holds of a benchmark, which may be written over; empty where there are none.

    Raises:
        OutputError: it holds those of another one, which would be lost.
    """
    there = figures_there(folder) or {}
    if there.get("benchmark", benchmark) != benchmark:
        told = f"{folder} holds the figures of another benchmark: {short(there['benchmark'])}"
        raise OutputError(told, _OTHER)
    return there


def _require_same(folder: Path, benchmark: str, work: object) -> None:
    if require_benchmark(folder, benchmark).get("work", work) != work:
        raise OutputError(f"{folder} holds the figures of other inputs or of another judge", _OTHER)


def percent_text(estimate: Estimate | None) -> str:
    """``97.31 [96.80, 97.75]``."""
    if estimate is None or estimate.percent is None:
        return NOTHING
    text = f"{rounded(estimate.percent):.2f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{rounded(estimate.low):.2f}, {rounded(estimate.high):.2f}]"


def figure_text(figure: object) -> str:
    """A figure of ``summary.json`` in a cell."""
    if not isinstance(figure, dict):
        return NOTHING
    if "value" in figure:
        value = figure["value"]
        return f"{value:g} {figure.get('unit', '')}".strip() if _is_number(value) else NOTHING
    return percent_text(estimate_of(figure))


def estimate_of(figure: Mapping[str, Any]) -> Estimate | None:
    """The estimate behind a percentage of ``summary.json``; None where it is none."""
    numbers = [figure.get(name) for name in ("percent", "low", "high")]
    num = figure.get("num") or 0
    if not all(number is None or _is_number(number) for number in (*numbers, num)):
        return None
    return Estimate(numbers[0], numbers[1], numbers[2], int(num))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= _MOST_FIGURE


def plot_names(titles: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """Of the pictures of sections or benchmarks: ``By task, strict`` is ``by_task_strict.png``.

    Args:
        titles: the titles in their order; one that would have the picture of another gets a number.
        taken: names of other pictures of the folder.
    """
    names: list[str] = []
    for title in titles:
        stem = re.sub(r"[^a-z0-9]+", "_", title.lower())[:_LONGEST_NAME]
        tried = (f"{stem}{more}.png" for more in chain([""], (f"_{number}" for number in count(2))))
        names.append(next(name for name in tried if name not in {*names, *taken}))
    return names


def _leading(paper: str | None) -> float | None:
    """The number a figure of the paper begins with, where it is all of it: others are of another kind."""
    return float(paper) if paper is not None and re.fullmatch(r"[0-9]+(\.[0-9]+)?", paper) else None


def _fact(name: str) -> Callable[[Row], str]:
    return lambda row: row.facts.get(name, NOTHING)


def _score(name: str) -> Callable[[Row], str]:
    return lambda row: percent_text(row.scores.get(name))
