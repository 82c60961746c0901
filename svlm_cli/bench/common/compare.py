"""``svlm bench report``: the runs of several folders side by side, whatever benchmark made them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli import __version__
from svlm_cli.bench.common.intervals import Estimate
from svlm_cli.bench.common.records import claim_folder, read_json, write_whole
from svlm_cli.bench.common.table import Column, Table, cell, tabled
from svlm_cli.bench.common.tables import (
    NOTHING,
    REPORT_NAME,
    SUMMARY_NAME,
    estimate_of,
    figure_text,
    figures_there,
    plot_names,
)
from svlm_cli.errors import OutputError, SourceError
from svlm_cli.text import as_json
from svlm_cli.values import short

_HINT = "give folders that svlm bench has filled; score makes the summary"
_LONGEST_TITLE = 100
_FIRST_NOT_DRAWN = 0x2E80  # the font of the plots has no ideographs
_FACTS = (
    "model",
    "frames",
    "fps",
    "resolution",
    "memory",
    "policy",
    "decoding",
    "query",
    "rival",
    "rival's setup",
    "judge",
    "votes",
    "queries",
    "questions",
    "source",
    "seed",
    "device",
    "dtype",
)


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A row of somebody's ``summary.json``.

    Args:
        folder: it is from.
        row: as it stands there.
    """

    folder: str
    row: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Of its bar."""
        return f"{self.folder}: {self.row['run']}\n{self.row['protocol']}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs of one benchmark, with their columns and notes, and what others published on it."""

    benchmark: str
    columns: Mapping[str, str]
    runs: Sequence[FoundRun]
    notes: Sequence[str] = ()
    published: Sequence[FoundRun] = ()

    def table(self) -> Table:
        """A row per run, the protocol always among the first."""
        every = [*self.runs, *self.published]
        facts = [name for name in _FACTS if any(_is_plain(run.row.get(name)) for run in every)]
        scores: list[Column[FoundRun]] = [(title, _figure(name)) for name, title in self.columns.items()]
        if any("paper" in run.row for run in every):
            scores.append(("paper", _fact("paper")))
        return tabled(
            [("folder", lambda run: run.folder), ("run", lambda run: str(run.row["run"]))],
            [
                ("protocol", lambda run: str(run.row["protocol"])),
                *((name, _fact(name)) for name in facts),
            ],
            scores,
            every,
        )

    def plot(self) -> bytes | None:
        """Percentages as bars; None where the benchmark has none."""
        from svlm_cli.bench.common.plots import bars

        figures = [
            (run.label, {name: _estimate(run.row["scores"].get(name)) for name in self.columns})
            for run in [*self.runs, *self.published]
        ]
        figures = [
            (label, scores)
            for number, (label, scores) in enumerate(figures)
            if number < len(self.runs) or any(scores.values())
        ]
        shown = {
            name: title
            for name, title in self.columns.items()
            if any(each and each.percent is not None for each in (scores[name] for _, scores in figures))
        }
        letters = (each if ord(each) < _FIRST_NOT_DRAWN else "?" for each in self.benchmark[:_LONGEST_TITLE])
        return bars(figures, shown, title=f"{''.join(letters)}: runs compared") if shown else None


def compare(folders: Sequence[Path]) -> list[Comparison]:
    """Read the summaries of folders and put runs of the same benchmark together.

    Raises:
        SourceError: a folder holds no summary, or one of another form.
    """
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    runs: dict[str, list[FoundRun]] = defaultdict(list)
    notes: dict[str, list[str]] = defaultdict(list)
    published: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for folder in {folder.resolve(): folder for folder in folders}.values():
        document = _summary(folder)
        benchmark = str(document["benchmark"])
        found = [FoundRun(str(folder), row) for row in document["runs"]]
        known = document.get("columns")
        named = (
            known if isinstance(known, dict) else {name: name for run in found for name in run.row["scores"]}
        )
        columns[benchmark] |= {str(name): str(title) for name, title in named.items()}
        runs[benchmark] += found
        for row in _rows(document.get("published")):
            if row not in published[benchmark]:
                published[benchmark].append(row)
        told = document.get("notes")
        notes[benchmark] += [f"{folder}: {note}" for note in told] if isinstance(told, list) else []
    return [
        Comparison(
            benchmark,
            columns[benchmark],
            found,
            notes[benchmark],
            [FoundRun("published", row) for row in published[benchmark]],
        )
        for benchmark, found in runs.items()
    ]


def tables(comparisons: Sequence[Comparison]) -> list[Table | str]:
    """All tables, each under the name of its benchmark and above its notes."""
    parts: list[Table | str] = []
    for each in comparisons:
        parts += [f"## {each.benchmark}", each.table(), *each.notes]
    return parts


def document(comparisons: Sequence[Comparison]) -> str:
    """The comparison as JSON."""
    content = {
        "version": __version__,
        "benchmarks": [
            {
                "benchmark": each.benchmark,
                "columns": dict(each.columns),
                "notes": list(each.notes),
                "runs": [{"folder": run.folder, **run.row} for run in each.runs],
                "published": [run.row for run in each.published],
            }
            for each in comparisons
        ],
    }
    return as_json(content, 2)


def write(comparisons: Sequence[Comparison], out: Path) -> None:
    """Write ``report.md``, ``summary.json`` and a picture for each benchmark, each whole.

    Raises:
        OutputError: one cannot be written, somebody else writes there, or the folder holds the figures of a
            benchmark, which would be lost.
    """
    with claim_folder(out):
        if (there := figures_there(out)) is not None:
            told = f"{out} holds the figures of a benchmark: {short(there['benchmark'])}"
            raise OutputError(told, "choose another --out")
        _write(comparisons, out)


def _write(comparisons: Sequence[Comparison], out: Path) -> None:
    parts = [
        "# Runs compared",
        f"Compare rows of the same protocol only. {NOTHING}: nothing to score, or not measured.",
    ]
    names = plot_names([each.benchmark for each in comparisons])
    for each, name in zip(comparisons, names, strict=True):
        parts += [f"## {cell(each.benchmark)}", each.table().markdown(), *each.notes]
        if (picture := each.plot()) is not None:
            write_whole(out / name, picture)
            parts.append(f"![{cell(each.benchmark)}]({name})")
    write_whole(out / REPORT_NAME, ("\n\n".join(parts) + "\n").encode())
    write_whole(out / SUMMARY_NAME, f"{document(comparisons)}\n".encode())


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY_NAME if folder.is_dir() else folder
    content = read_json(path, _HINT)
    rows = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not isinstance(content.get("benchmark"), str):
        raise SourceError(f"{path} is no summary of a benchmark", _HINT)
    for row in rows:
        if not isinstance(row, dict) or not all(name in row for name in ("run", "protocol", "scores")):
            raise SourceError(f"{path} holds a row without run, protocol or scores", _HINT)
        if not isinstance(row["scores"], dict):
            raise SourceError(f"{path} holds a row whose scores are no object", _HINT)
    return dict(content)


def _rows(rows: object) -> list[Mapping[str, Any]]:
    """Rows that others published; what is of another form is passed over."""
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [row for row in found if isinstance(row.get("scores"), dict) and {"run", "protocol"} <= set(row)]


def _estimate(figure: object) -> Estimate | None:
    return estimate_of(figure) if isinstance(figure, dict) else None


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _fact(name: str) -> Callable[[FoundRun], str]:
    def text(run: FoundRun) -> str:
        value = run.row.get(name)
        return str(value) if _is_plain(value) else NOTHING

    return text


def _figure(name: str) -> Callable[[FoundRun], str]:
    return lambda run: figure_text(run.row["scores"].get(name))
