"""CPU time, memory and cached tokens per step of a long stream, by stage.

    python benchmarks/steady_state.py --size 100m --fps 8 --steps 40
    python benchmarks/steady_state.py --size tiny --steps 1000 --vision-window 2 --rounds 2 \
        --sink 32 --text-window 32 --frame 112x112

Runs the engine on random pictures and a random checkpoint (words are noise, work is real) with
the clock of this process's CPU time, so that other load on the machine counts little, and prints
medians. "Flat" compares the last quarter of the steps with the quarter behind the warm-up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from svlm_cli import Clip, Sampling, StepEvent, StreamSession, StreamSettings, load_model
from svlm_cli.model.family.random_config import SIZES
from svlm_cli.model.random_checkpoint import build_random_checkpoint

STAGES = ("read", "vision", "prefill", "decode", "cache", "total")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a checkpoint folder instead of a random one")
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--frame", default="640x360", help="width x height of the pictures")
    parser.add_argument("--vision-window", type=float, default=16.0)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--sink", type=int, default=512)
    parser.add_argument("--text-window", type=int, default=512)
    parser.add_argument("--policy", default="streaming")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="auto")
    return parser.parse_args()


def run(chosen: argparse.Namespace, folder: str) -> tuple[list[StepEvent], list[int]]:
    """Stream; the events and the resident bytes after each step."""
    model = load_model(folder, device="cpu", dtype=chosen.dtype, threads=chosen.threads)
    settings = StreamSettings(
        fps=chosen.fps,
        policy=chosen.policy,
        vision_window=chosen.vision_window,
        rounds=chosen.rounds,
        sink=chosen.sink,
        text_window=chosen.text_window,
        sampling=Sampling(seed=1),
    )
    session = StreamSession(model, settings, clock=time.process_time)
    width, height = (int(side) for side in chosen.frame.split("x"))
    generator, process = np.random.default_rng(0), psutil.Process()
    events, resident = [], []
    for index in range(chosen.steps):
        frames = generator.integers(0, 256, (settings.frames_per_step, height, width, 3), dtype=np.uint8)
        events.append(session.step(Clip(index, float(index), index + 1.0, frames)))
        resident.append(process.memory_info().rss)
    return events, resident


def medians(events: Sequence[StepEvent]) -> dict[str, float]:
    """Median CPU seconds per step, by stage."""
    return {stage: statistics.median(getattr(event.timings, stage) for event in events) for stage in STAGES}


def report(
    chosen: argparse.Namespace, events: Sequence[StepEvent], resident: Sequence[int]
) -> dict[str, object]:
    """Steady state: steps behind the warm-up, which ends when the window has been full for a while."""
    warm_up = min(len(events) // 2, 2 * max(round(chosen.vision_window), chosen.rounds))
    steady = events[warm_up:]
    quarter = max(1, len(steady) // 4)
    stages = medians(steady)
    return {
        "settings": vars(chosen),
        "warm_up_steps": warm_up,
        "cached_tokens": steady[-1].num_cached_tokens,
        "median_cpu_seconds": stages,
        "upkeep_percent": 100 * stages["cache"] / stages["total"],
        "last_to_first_quarter_cpu": medians(steady[-quarter:])["total"] / medians(steady[:quarter])["total"],
        "last_to_first_quarter_tokens": steady[-1].num_cached_tokens / steady[quarter - 1].num_cached_tokens,
        "resident_mib": [round(resident[i] / 2**20, 1) for i in (warm_up, len(resident) - 1)],
    }


def main() -> None:
    chosen = arguments()
    if chosen.model:
        events, resident = run(chosen, chosen.model)
    else:
        with tempfile.TemporaryDirectory() as folder:
            build_random_checkpoint(Path(folder), size=chosen.size)
            events, resident = run(chosen, folder)
    print(json.dumps(report(chosen, events, resident), indent=2))


if __name__ == "__main__":
    main()
