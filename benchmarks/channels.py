"""How many channels one process keeps in real time: matches at real-time pace through `svlm stream @FILE`.

    python benchmarks/channels.py 64 128 --seconds 60 --threads 1

Each number is run twice, in processes of their own: until the window is full, and so many seconds
longer. Told are the CPU seconds of a streamed second between the two, lag and seconds skipped behind the
filling, memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FULL_SECONDS = 16  # a window


def run(count: int, seconds: int, threads: int, fps: float, folder: Path) -> tuple[float, int, list[dict]]:
    """CPU seconds of a run, its peak memory in KiB, and its events."""
    book, told = folder / f"{count}-{seconds}.yaml", folder / f"{count}-{seconds}.jsonl"
    shared = {"fps": fps, "pace": "realtime", "threads": threads, "duration": seconds, "device": "cpu"}
    shared |= {"out": str(folder / f"{count}-{seconds}-{{name}}.vtt")}
    channels = [{"name": f"c{n}", "source": f"arena:soccer,seed={n},minutes=60"} for n in range(count)]
    book.write_text(json.dumps({"defaults": shared, "channels": channels}))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "svlm_cli", "stream", f"@{book}", "--json", "--quiet"]
    with told.open("w") as out:
        subprocess.run(command, stdout=out, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, after.ru_maxrss, [json.loads(line) for line in told.read_text().splitlines()]


def measured(count: int, seconds: int, threads: int, fps: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="svlm-channels-") as name:
        short = run(count, FULL_SECONDS + 2, threads, fps, Path(name))
        cpu, peak, events = run(count, FULL_SECONDS + 2 + seconds, threads, fps, Path(name))
    steps = [event for event in events if event["type"] == "step"]
    late = [step["lag_seconds"] for step in steps if step["start_seconds"] >= FULL_SECONDS]
    more = len(steps) - sum(event["type"] == "step" for event in short[2])
    return {
        "channels": count,
        "cpu_seconds_per_stream_second": round((cpu - short[0]) / more, 5) if more > 0 else None,
        "lag_p50_p95_p99_max": [round(float(np.percentile(late, part)), 2) for part in (50, 95, 99, 100)],
        "skipped_seconds": sum(step["skipped_seconds"] for step in steps),
        "peak_mib": peak // 1024,
        "warnings": [event["message"] for event in events if event["type"] == "warning"][:2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--seconds", type=int, default=60, help="measured, behind the filling of the window")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fps", type=float, default=2.0)
    chosen = parser.parse_args()
    for count in chosen.counts:
        print(json.dumps(measured(count, chosen.seconds, chosen.threads, chosen.fps)), flush=True)


if __name__ == "__main__":
    main()
