"""The figures of ``svlm bench fps``: rows, tables and the picture of latency against stream time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from svlm_cli import __version__
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.table import Table, table, tabled
from svlm_cli.bench.common.tables import NOTHING
from svlm_cli.bench.speed.measure import STAGES, WORK, SpeedRun, Trial
from svlm_cli.bench.speed.plan import NamedSettings, SpeedPlan
from svlm_cli.model.kernels.native import kernels_in_words
from svlm_cli.settings import Policy

LATENCY_PLOT = "latency.png"
NUM_BLOCKS = 20
T_VALUE = 2.10  # two-sided 95 % of Student's t with NUM_BLOCKS - 2 degrees of freedom
MIB = 2**20
FULL = 0.98
COLUMNS: Mapping[str, str] = {
    "p50_step_seconds": "step p50",
    "seconds_per_token": "s/token",
    "seconds_per_token_end_to_end": "s/token end to end",
    "realtime_factor": "x real time",
}
_UNITS = {"p50_step_seconds": "s", "realtime_factor": "x"}
_SETUP = ("model", "device", "dtype", "quantize", "packed", "compiled", "graphs", "threads", "kernels")
_TRIAL_COLUMNS: Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]] = (
    ("FPS", lambda trial: f"{trial['fps']:g}"),
    ("step p95, s", lambda trial: f"{trial['p95_step_seconds']:.4f}"),
    ("real time", lambda trial: "yes" if trial["is_real_time"] else "no"),
)


_HOW: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "protocol": lambda run: str(run["protocol"]),
    "policy": lambda run: str(run["policy"]),
    "FPS": lambda run: f"{run['fps']:g}",
    "steps": lambda run: str(run["steps"]),
}
_FIRST = ("step p50, s", "x real time", "p95", "p99", "s/token", "s/token end to end")


@dataclass(frozen=True, slots=True)
class Slope:
    """How a step's time changes along the stream: percent of its median per 1,000 steps, with 95 % limits."""

    percent: float
    low: float
    high: float

    @property
    def is_flat(self) -> bool:
        """Whether it cannot be told from 0."""
        return self.low <= 0 <= self.high


def step_totals(run: SpeedRun, stages: Sequence[str] = STAGES) -> np.ndarray:
    """Seconds of every step over some stages: float64, shape (steps,)."""
    return np.asarray(np.sum([run.seconds[stage] for stage in stages], axis=0))


def steady_start(run: SpeedRun) -> int:
    """First step of the steady state: behind the warm-up and, where a window bounds the cache, full.

    "Previous text" fills up long after the frames have: full is 98 % of the tokens of the last quarter.
    """
    start = min(run.warm_up_steps, len(run.num_cached) - 1)
    if not Policy(run.policy).keeping.evicts:
        return start
    cached = np.array(run.num_cached)
    full = FULL * np.median(cached[-max(1, len(cached) // 4) :])
    return max(start, int(np.argmax(cached >= full)))


def slope(run: SpeedRun) -> Slope | None:
    """A line through the medians of 20 blocks of the steady steps; None for fewer than 5 steps a block.

    Medians, as single steps of a shared machine say little; least squares, with Student's t for the limits.
    """
    totals = step_totals(run)[steady_start(run) :]
    if len(totals) < 5 * NUM_BLOCKS:
        return None
    blocks = np.array_split(totals, NUM_BLOCKS)
    medians = np.array([np.median(block) for block in blocks])
    middles = (
        np.cumsum([len(block) for block in blocks]) - np.array([len(block) for block in blocks]) / 2
    ) / 1e3
    spread = middles - middles.mean()
    rise = float((spread * medians).sum() / (spread**2).sum())
    rest = medians - medians.mean() - rise * spread
    error = math.sqrt(float((rest**2).sum()) / (NUM_BLOCKS - 2) / float((spread**2).sum()))
    unit = 100 / float(np.median(totals))
    return Slope(rise * unit, (rise - T_VALUE * error) * unit, (rise + T_VALUE * error) * unit)


def row(run: SpeedRun) -> dict[str, Any]:
    """One run for ``summary.json``: seconds are per step, of the steady state."""
    steady = slice(steady_start(run), None)
    totals = step_totals(run)[steady]
    words = max(1, int(np.sum(run.num_words[steady])))
    p50, p95, p99 = np.percentile(totals, [50, 95, 99])
    line = slope(run)
    return {
        "run": run.name,
        "policy": run.policy,
        "fps": run.fps,
        "steps": len(run.num_words),
        "warm_up_steps": steady.start,
        "stages": {stage: _median(run.seconds[stage][steady]) for stage in STAGES},
        "upkeep_percent": 100 * float(np.sum(run.seconds["cache"][steady]) / totals.sum()),
        "words_per_step": words / len(totals),
        "seconds_per_token": float(step_totals(run, WORK)[steady].sum()) / words,
        "seconds_per_token_end_to_end": float(totals.sum()) / words,
        "seconds_per_stream_second": float(totals.mean()) / run.step_seconds,
        "realtime_factor": run.step_seconds / float(totals.mean()),
        "p50_step_seconds": float(p50),
        "p95_step_seconds": float(p95),
        "p99_step_seconds": float(p99),
        "slope_percent_per_1000_steps": None if line is None else [line.percent, line.low, line.high],
        "is_flat": None if line is None else line.is_flat,
        "cached_tokens": run.num_cached[-1],
        "cache_bytes": run.cache_bytes,
        "resident_bytes": run.resident_bytes,
        "peak_device_bytes": run.peak_device_bytes,
        "wall_seconds": run.wall_seconds,
        "floor": _floor(run),
    }


def _floor(run: SpeedRun) -> dict[str, Any] | None:
    """Engine against its floor; ratios are medians over steps, each against its own floor."""
    if not run.floor["vision"]:
        return None
    engine = np.sum([run.engine[stage] for stage in WORK], axis=0)
    floor = np.sum([run.floor[stage] for stage in WORK], axis=0)
    return {
        "steps": len(floor),
        "engine_seconds": {stage: _median(run.engine[stage]) for stage in WORK} | {"all": _median(engine)},
        "floor_seconds": {stage: _median(run.floor[stage]) for stage in WORK} | {"all": _median(floor)},
        "ratio": {stage: _ratio(np.array(run.engine[stage]), np.array(run.floor[stage])) for stage in WORK}
        | {"all": _ratio(engine, floor)},
    }


def _ratio(engine: np.ndarray, floor: np.ndarray) -> float | None:
    """None where a stage has nothing to do, as decoding where every step is silent."""
    some = floor > 0
    return float(np.median(engine[some] / floor[some])) if some.any() else None


def _median(values: Any) -> float:
    return float(np.median(values))


def document(
    plan: SpeedPlan,
    facts: ModelFacts,
    options: dict[str, object],
    runs: Sequence[SpeedRun],
    trials: Sequence[Trial],
) -> dict[str, Any]:
    """``summary.json``."""
    good = [trial.fps for trial in trials if trial.is_real_time]
    return {
        "benchmark": "fps",
        "version": __version__,
        "source": plan.source,
        "model": facts.name,
        "model_fingerprint": facts.fingerprint,
        "device": facts.device,
        "dtype": facts.dtype,
        **options,
        "kernels": kernels_in_words() if facts.device == "cpu" else "of the device",
        "clock": plan.clock.value,
        "columns": COLUMNS,
        "runs": [
            _rounded(_named(row(run), each, plan, facts)) for run, each in zip(runs, plan.runs, strict=True)
        ],
        "max_fps": max(good) if good else (0.0 if trials else None),
        "trials": [
            {
                "fps": trial.fps,
                "p95_step_seconds": round(trial.p95_step_seconds, 4),
                "is_real_time": trial.is_real_time,
            }
            for trial in trials
        ],
    }


def _named(
    values: dict[str, Any], named: NamedSettings, plan: SpeedPlan, facts: ModelFacts
) -> dict[str, Any]:
    """A row in the form of every benchmark (``bench.tables``)."""
    scores = {name: {"value": values[name], "unit": _UNITS.get(name, "s/token")} for name in COLUMNS}
    own = {"protocol": plan.protocol, "model": facts.name, "device": facts.device, "dtype": facts.dtype}
    paper = {} if named.paper is None else {"paper": named.paper}
    return {"run": named.name, **own, **values, **paper, "scores": scores}


def _rounded(value: Any) -> Any:
    """Six significant digits everywhere."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main_table(summary: Mapping[str, Any]) -> Table:
    """One line per run."""
    rows = [_cells(each) for each in summary["runs"]]
    if any("paper" in each for each in summary["runs"]):
        rows = [
            cells | {"paper": each.get("paper", NOTHING)}
            for cells, each in zip(rows, summary["runs"], strict=True)
        ]
    columns = [(title, itemgetter(title)) for title in rows[0]]
    behind = 1 + len(_HOW)
    return tabled(columns[:1], columns[1:behind], columns[behind:], rows, _FIRST)


def _cells(each: dict[str, Any]) -> dict[str, str]:
    """By the titles of their columns."""
    drift, floor = each["slope_percent_per_1000_steps"], each["floor"]
    return {
        "run": each["run"],
        **{title: text(each) for title, text in _HOW.items()},
        "cached tokens": str(each["cached_tokens"]),
        **{f"{stage}, s": f"{each['stages'][stage]:.4f}" for stage in STAGES},
        "step p50, s": f"{each['p50_step_seconds']:.4f}",
        "p95": f"{each['p95_step_seconds']:.4f}",
        "p99": f"{each['p99_step_seconds']:.4f}",
        "s/token": f"{each['seconds_per_token']:.4f}",
        "s/token end to end": f"{each['seconds_per_token_end_to_end']:.4f}",
        "s per streamed s": f"{each['seconds_per_stream_second']:.4f}",
        "x real time": f"{each['realtime_factor']:.2f}",
        "upkeep, %": f"{each['upkeep_percent']:.2f}",
        "drift, % per 1,000 steps": NOTHING
        if drift is None
        else f"{drift[0]:+.2f} [{drift[1]:+.2f}, {drift[2]:+.2f}]",
        "to the floor": NOTHING if floor is None else f"{floor['ratio']['all']:.3f}",
        "cache, MiB": f"{each['cache_bytes'] / MIB:.0f}",
        "memory, MiB": f"{each['resident_bytes'] / MIB:.0f}",
        "device, MiB": f"{each['peak_device_bytes'] / MIB:.0f}",
    }


def report(summary: Mapping[str, Any]) -> str:
    """``report.md``."""
    setup = ", ".join(f"{key} {summary[key]}" for key in _SETUP)
    parts = [
        "# Speed of a stream",
        f"{summary['source']}: {setup}, svlm {summary['version']}; {summary['clock']} time, one stage after "
        "another, medians per step behind the warm-up. s/token: vision, prefill and decode over the words, "
        "as the paper counts; end to end: reading and upkeep too. Drift: a line through the medians of 20 "
        "blocks, with 95 % limits.",
        main_table(summary).markdown(),
    ]
    if floors := [each for each in summary["runs"] if each["floor"]]:
        parts.append(f"## Against the floor\n\n{_floor_table(floors)}")
    if summary["trials"]:
        shown = table(_TRIAL_COLUMNS, summary["trials"])
        parts.append(f"## Highest FPS in real time: {summary['max_fps']:g}\n\n{shown}")
    return "\n\n".join([*parts, f"![latency against stream time]({LATENCY_PLOT})"]) + "\n"


def _floor_table(runs: Sequence[dict[str, Any]]) -> str:
    def figure(name: str, digits: int) -> Callable[[tuple[dict[str, Any], str]], str]:
        def text(row: tuple[dict[str, Any], str]) -> str:
            value = row[0]["floor"][name][row[1]]
            return NOTHING if value is None else f"{value:.{digits}f}"

        return text

    columns: list[tuple[str, Callable[[tuple[dict[str, Any], str]], str]]] = [
        ("run", lambda row: str(row[0]["run"])),
        ("FPS", lambda row: f"{row[0]['fps']:g}"),
        ("stage", itemgetter(1)),
        ("engine, s", figure("engine_seconds", 4)),
        ("floor, s", figure("floor_seconds", 4)),
        ("ratio", figure("ratio", 3)),
    ]
    return table(columns, [(each, stage) for each in runs for stage in (*WORK, "all")])


def latency_plot(runs: Sequence[SpeedRun]) -> bytes:
    """Latency per token and per step against stream time, a line per policy (the paper's figure 7): PNG."""
    from matplotlib.figure import Figure

    from svlm_cli.bench.common.plots import COLOURS, as_png, readable_log

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    figure.suptitle("Latency over the stream", fontsize=11)
    panels = figure.subplots(2, 1, sharex=True)
    for number, run in enumerate(runs):
        words = np.array(run.num_words, dtype=float)
        width = max(1, len(words) // 200)
        per_token = _blocks(step_totals(run, WORK), width) / np.maximum(_blocks(words, width), 1)
        per_step = _blocks(step_totals(run), width) / _blocks(np.ones(len(words)), width)
        times = (np.arange(len(per_step)) * width + width / 2) * run.step_seconds
        for axes, values in zip(panels, (per_token, per_step), strict=True):
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(times, values, color=colour, linewidth=1.6, label=f"{run.name}, {run.fps:g} FPS")
    panels[0].set_ylabel("s per token (vision, prefill, decode)")
    panels[1].set_ylabel("s per step, reading included")
    panels[1].axhline(runs[0].step_seconds, color="#888888", linestyle="dotted", linewidth=1)
    panels[1].set_xlabel("seconds of stream")
    for axes in panels:
        readable_log(axes)
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return as_png(figure)


def _blocks(values: np.ndarray, width: int) -> np.ndarray:
    """Sums over neighbouring steps."""
    return np.add.reduceat(values, np.arange(0, len(values), width))
