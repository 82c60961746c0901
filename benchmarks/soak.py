"""Eight hours of a match that never ends through the whole of ``stream_video``, at full speed.

    python benchmarks/soak.py --steps 28800

Streams with the bundled model and writes words and events to files, as ``svlm stream`` does, and prints per
hour of the stream: median CPU time of a step (all threads of the process), resident memory, open files,
threads. Says at the end how the last hour compares to the first, and memory to that behind ten minutes.

    python benchmarks/soak.py --cuts 50 --minutes 22 --viewers 5

Another one: `svlm stream` at full speed, with the page, viewers and a state, of a broadcast that is cut so
many times (``live_soak.py``). Prints what was seen; exit code 1 and why, where anything grew or was not told.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from array import array
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
from live_soak import faults, live_soak

from svlm_cli import Sampling, StepEvent, StreamSettings, load_model, open_source, stream_video
from svlm_cli.stream.outputs.writers import Writers

WARM_UP_STEPS = 600
HOUR_STEPS = 3600


def soak(num_steps: int, fps: float, threads: int) -> list[dict[str, float]]:
    """One row per hour of the stream."""
    process = psutil.Process()
    model = load_model(threads=threads)
    settings = StreamSettings(fps=fps, sampling=Sampling(greedy=True))
    rows: list[dict[str, float]] = []
    costs = array("d")
    warm_rss = 0
    with tempfile.TemporaryDirectory() as folder, open_source("arena:soccer,seed=7,minutes=inf") as source:
        outputs = [Path(folder) / "words.vtt", Path(folder) / "events.jsonl"]
        with Writers(outputs) as writers, closing(stream_video(model, source, settings)) as events:
            began = time.process_time()
            for event in events:
                writers.write(event)
                if not isinstance(event, StepEvent):
                    continue
                now = time.process_time()
                costs.append(now - began)
                began = now
                if event.index + 1 == WARM_UP_STEPS:
                    warm_rss = process.memory_info().rss
                if (event.index + 1) % min(HOUR_STEPS, num_steps) == 0:
                    rows.append(
                        {
                            "hour": len(rows) + 1,
                            "cpu_ms": 1000 * float(np.median(costs)),
                            "rss_mib": process.memory_info().rss / 2**20,
                            "warm_rss_mib": warm_rss / 2**20,
                            "files": process.num_fds(),
                            "threads": process.num_threads(),
                            "cached": event.num_cached_tokens,
                        }
                    )
                    print(json.dumps(rows[-1]), flush=True)
                    costs = array("d")
                if event.index + 1 >= num_steps:
                    break
    return rows


def cut_again_and_again(minutes: float, num_cuts: int, num_viewers: int, fps: float, threads: int) -> int:
    """The exit code."""
    found = live_soak(minutes, num_cuts, num_viewers, fps, threads)
    print(json.dumps(found), flush=True)
    wrong = faults(found, num_cuts)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8 * HOUR_STEPS)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cuts", type=int, default=0, help="of a broadcast; 0: a match, --steps long")
    parser.add_argument("--minutes", type=float, default=22.0, help="of wall time, with --cuts")
    parser.add_argument("--viewers", type=int, default=5, help="of the page, with --cuts")
    options = parser.parse_args()
    if options.cuts:
        return cut_again_and_again(
            options.minutes, options.cuts, options.viewers, options.fps, options.threads
        )
    rows = soak(options.steps, options.fps, options.threads)
    first, last = rows[0], rows[-1]
    print(f"CPU time of a step, last hour to first: {last['cpu_ms'] / first['cpu_ms']:.3f}")
    if first["warm_rss_mib"]:
        print(f"resident memory, end to warm: {last['rss_mib'] / first['warm_rss_mib']:.3f}")
    print(f"files {first['files']} -> {last['files']}, threads {first['threads']} -> {last['threads']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
