"""The figures of ``svlm bench fps --streams``: one run for each number of streams, as JSON and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from svlm_cli import __version__
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.table import Table, tabled
from svlm_cli.bench.common.tables import NOTHING
from svlm_cli.bench.speed.plan import SpeedPlan
from svlm_cli.settings import StreamSettings

MIB = 2**20


@dataclass(frozen=True, slots=True)
class StreamsRun:
    """So many streams at once, behind the warm-up.

    Args:
        streams: how many.
        steps: the number of steps of each that were measured.
        step_seconds: the seconds of stream in one step.
        cpu_seconds_per_stream_second: the CPU time of this process, shared evenly.
        alone_cpu_seconds_per_stream_second: the same of streams alone, in the same minutes.
        alone_streams: how many those were.
        words_per_step, alone_words_per_step: tokens drawn in a step of a stream.
        step_p50_seconds, step_p95_seconds, step_p99_seconds: wall time from the moment that all are due
            until all have spoken.
        bytes_per_channel: memory of the device, or on a CPU of the process, beyond that before, over all
            streams, those alone too.
        cache_bytes_per_channel: the bytes of its KV cache.
        read_cpu_seconds_per_stream_second: what reading the source takes.
        ratio_to_floor: time of the last steps to the floor of all their streams at once, None where it was
            not measured.
    """

    streams: int
    steps: int
    step_seconds: float
    cpu_seconds_per_stream_second: float
    alone_cpu_seconds_per_stream_second: float
    alone_streams: int
    words_per_step: float
    alone_words_per_step: float
    step_p50_seconds: float
    step_p95_seconds: float
    step_p99_seconds: float
    bytes_per_channel: int
    cache_bytes_per_channel: int
    read_cpu_seconds_per_stream_second: float
    ratio_to_floor: float | None = None

    @property
    def ratio_to_one(self) -> float:
        """CPU time of a stream among these to that of one alone."""
        return self.cpu_seconds_per_stream_second / self.alone_cpu_seconds_per_stream_second

    @property
    def realtime_channels(self) -> int:
        """How many of them 95 % of the steps would leave in real time."""
        return int(self.streams * min(1.0, self.step_seconds / self.step_p95_seconds))


def document(
    plan: SpeedPlan,
    settings: StreamSettings,
    facts: ModelFacts,
    options: dict[str, object],
    runs: Sequence[StreamsRun],
) -> dict[str, Any]:
    """``summary.json``."""
    rows = [
        asdict(run) | {"ratio_to_one": run.ratio_to_one, "realtime_channels": run.realtime_channels}
        for run in runs
    ]
    return {
        "benchmark": "streams",
        "version": __version__,
        "source": plan.source,
        "model": facts.name,
        "device": facts.device,
        "dtype": facts.dtype,
        **options,
        "policy": settings.policy.value,
        "fps": settings.fps,
        "seconds": plan.num_seconds,
        "columns": {"ratio_to_one": "CPU time to alone", "realtime_channels": "in real time"},
        "runs": [
            {"run": f"{row['streams']} streams", "protocol": "side by side with streams alone"}
            | {
                key: float(f"{value:.6g}") if isinstance(value, float) else value
                for key, value in row.items()
            }
            | {
                "scores": {
                    "ratio_to_one": {"value": row["ratio_to_one"], "unit": "x"},
                    "realtime_channels": {"value": row["realtime_channels"], "unit": "channels"},
                }
            }
            for row in rows
        ],
    }


def _rounded(value: Any) -> Any:
    """Six significant digits."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


_COLUMNS: Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]] = (
    ("streams", lambda run: str(run["streams"])),
    ("in real time", lambda run: str(run["realtime_channels"])),
    ("CPU s per streamed s", lambda run: f"{run['cpu_seconds_per_stream_second']:.4f}"),
    ("alone", lambda run: f"{run['alone_cpu_seconds_per_stream_second']:.4f}"),
    ("ratio", lambda run: f"{run['ratio_to_one']:.3f}"),
    (
        "to the floor",
        lambda run: NOTHING if run["ratio_to_floor"] is None else f"{run['ratio_to_floor']:.3f}",
    ),
    ("words per step", lambda run: f"{run['words_per_step']:.2f}"),
    ("alone", lambda run: f"{run['alone_words_per_step']:.2f}"),
    ("step p50, s", lambda run: f"{run['step_p50_seconds']:.4f}"),
    ("p95", lambda run: f"{run['step_p95_seconds']:.4f}"),
    ("p99", lambda run: f"{run['step_p99_seconds']:.4f}"),
    ("MiB per stream", lambda run: f"{run['bytes_per_channel'] / MIB:.1f}"),
    ("cache, MiB", lambda run: f"{run['cache_bytes_per_channel'] / MIB:.1f}"),
    ("reading, CPU s", lambda run: f"{run['read_cpu_seconds_per_stream_second']:.4f}"),
)


def main_table(summary: Mapping[str, Any]) -> Table:
    """One line per number of streams."""
    return tabled(_COLUMNS[:1], [], _COLUMNS[1:], list(summary["runs"]))


def report(summary: Mapping[str, Any]) -> str:
    """``report.md``."""
    told = ", ".join(f"{key} {summary[key]}" for key in ("model", "device", "dtype", "quantize", "threads"))
    return (
        f"# Several streams, one model\n\n{summary['source']} at {summary['fps']:g} FPS: {told}, svlm "
        f"{summary['version']}. Resizing, vision and language of every stream, behind the warm-up, beside "
        "the same streams alone in the same minutes; reading is apart. Step: wall time from when all are "
        f"due until all have spoken.\n\n{main_table(summary).markdown()}\n"
    )
