"""``summary.json`` and ``report.md``: the figures of all runs, as tables that can be read on their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from svlm_cli import __version__
from svlm_cli.bench.arena.asked import asked_sections, asked_table
from svlm_cli.bench.arena.pairing import TOLERANCE_SECONDS
from svlm_cli.bench.arena.score import KINDS
from svlm_cli.bench.arena.scored import LABELS, OVER_TIME
from svlm_cli.bench.arena.summary import PROTOCOL, RunSummary, asked_of
from svlm_cli.bench.arena.targets import targets_json, targets_table
from svlm_cli.bench.common.intervals import NUM_RESAMPLES
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.settings import windows_text
from svlm_cli.bench.common.table import Column, Table, table, tabled
from svlm_cli.bench.common.tables import NOTHING, SCORES_PLOT, percent_text

QUALITY_PLOT, ANSWERS_PLOT, PLACES_PLOT = "quality.png", "answers.png", "answers_by_place.png"
PAPER_TITLE = "the paper's figure for this row"

ReportColumn = Column[RunSummary]


def report(summaries: Sequence[RunSummary]) -> str:
    """The whole page, as Markdown."""
    sections = [
        "# Arena: commentary against the truth",
        "Percentages with 95 % intervals (bootstrap over matches); docs/bench.md defines every column. "
        f"Windows: sink S / text T tokens, frames V s, turns R. {NOTHING}: nothing to score.",
        "## Result\n\n" + "\n\n".join(found.markdown() for found in result_tables(summaries)),
        f"## First → last quarter of the stream: change in points\n\n{_decay_table(summaries)}",
        f"## By kind of event: F1 (precision / recall)\n\n{_kinds_table(summaries)}",
        f"## Speed\n\n{_speed_table(summaries)}",
        f"![quality against stream time]({QUALITY_PLOT})",
        f"![scores of all runs]({SCORES_PLOT})",
    ]
    if asked := asked_of(summaries):
        pictures = [
            f"![right answers]({ANSWERS_PLOT})",
            f"![right answers by where the evidence lies]({PLACES_PLOT})",
        ]
        sections += [*asked_sections(asked), *pictures]
    return "\n\n".join(sections) + "\n"


def result_tables(summaries: Sequence[RunSummary]) -> list[Table]:
    """The figures, and the bars that the first run, in a grid the one that is not ablated, is held to."""
    asked = asked_of(summaries)
    answers = [asked_table(asked)] if asked else []
    return [main_table(summaries), targets_table(summaries[0]), *answers]


def main_table(summaries: Sequence[RunSummary]) -> Table:
    """One row per run, with everything needed to repeat it."""
    scores: list[ReportColumn] = [(label, _score(name)) for name, label in LABELS.items()]
    scores.append(("x real time", lambda each: f"{each.realtime_factor:.1f}"))
    if any(each.run.paper for each in summaries):
        scores.append((PAPER_TITLE, lambda each: each.run.paper or NOTHING))
    return tabled(_SETUP[:1], _SETUP[1:], scores, summaries)


def _score(name: str) -> Callable[[RunSummary], str]:
    return lambda each: percent_text(each.scores[name])


def _kind(kind: str) -> Callable[[RunSummary], str]:
    def cell(each: RunSummary) -> str:
        f1, precision, recall = (each.scores[f"{kind}_{part}"] for part in ("f1", "precision", "recall"))
        sides = " / ".join(
            NOTHING if side.percent is None else f"{side.percent:.2f}" for side in (precision, recall)
        )
        return f"{percent_text(f1)} ({sides})"

    return cell


def _decay(name: str) -> Callable[[RunSummary], str]:
    def cell(each: RunSummary) -> str:
        decay = each.decay[name]
        if decay.change.percent is None:
            return NOTHING
        return f"{decay.first.percent:.2f} → {decay.last.percent:.2f}: {percent_text(decay.change)}"

    return cell


def _decay_table(summaries: Sequence[RunSummary]) -> str:
    return table([*_SETUP, *((LABELS[name], _decay(name)) for name in OVER_TIME)], summaries)


def _kinds_table(summaries: Sequence[RunSummary]) -> str:
    return table([*_SETUP, *((kind.value.replace("_", " "), _kind(kind.value)) for kind in KINDS)], summaries)


def _speed_table(summaries: Sequence[RunSummary]) -> str:
    columns: list[ReportColumn] = [
        *_SETUP,
        ("device", lambda each: f"{each.model.device}, {each.model.dtype}"),
        ("x real time", lambda each: f"{each.realtime_factor:.2f}"),
        ("slowest match", lambda each: f"{each.slowest_realtime_factor:.2f}"),
        ("step p50, s", lambda each: f"{each.p50_step_seconds:.4f}"),
        ("worst p95, s", lambda each: f"{each.p95_step_seconds:.4f}"),
    ]
    return table(columns, summaries)


def _model_text(model: ModelFacts) -> str:
    return f"{model.name} ({model.fingerprint[:8]})"


_SETUP: tuple[ReportColumn, ...] = (
    ("run", lambda each: each.run.name),
    ("protocol", lambda _: PROTOCOL),
    ("model", lambda each: _model_text(each.model)),
    ("FPS", lambda each: f"{each.run.settings.fps:g}"),
    ("policy", lambda each: each.model.shown(each.run.settings).policy.value),
    ("windows", lambda each: windows_text(each.model.shown(each.run.settings), each.run.sink_text)),
    ("frames", lambda each: each.run.frames.value),
    ("seeds", lambda each: f"{each.seeds[0]}-{each.seeds[-1]}, {each.num_seconds / 60:g} min each"),
)


def document(summaries: Sequence[RunSummary]) -> dict[str, object]:
    """``summary.json``."""
    return {
        "benchmark": "arena",
        "version": __version__,
        "columns": LABELS,
        "tolerance_seconds": TOLERANCE_SECONDS,
        "decoding": "greedy",
        "interval": f"95 %, bootstrap over matches, {NUM_RESAMPLES} resamples",
        "runs": [summary.to_json() | {"targets": targets_json(summary)} for summary in summaries],
    }
