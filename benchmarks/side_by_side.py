"""Two checkouts of svlm against one another: CPU time of a step, `svlm bench fps` of each in turn.

    python benchmarks/side_by_side.py OLD NEW [--rounds 9] [--model DIR]

Runs old, new, new, old, old, new, ... so that what a shared machine adds falls on both, each in a process of
its own with one thread, CPU time. A round's ratio is new to old; printed are the median of the rounds' ratios
with their quartiles, and the ratio of the medians and of the lowest of all rounds (what others add is
never less than nothing). Without --model: the bundled model, and a random checkpoint of 180 M parameters.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SOURCE = "arena:soccer,seed=7,minutes=10"
BUNDLED = "bundled"
# Seconds of stream and windows: some 10 to 60 s of CPU a run.
LENGTHS = {BUNDLED: ("--seconds", "240")}
SHORT = ("--seconds", "12", "--vision-window", "4", "--rounds", "4")


def measured(checkout: Path, model: str, folder: Path) -> dict[str, float]:
    """One run: CPU seconds of a median step and its stages, user CPU seconds of the process."""
    command = [sys.executable, "-m", "svlm_cli", "bench", "fps", SOURCE, "--policy", "streaming"]
    command += ["--fps", "2", "--threads", "1", "--clock", "cpu", "--floor-steps", "0"]
    command += [*LENGTHS.get(model, SHORT), "--out", str(folder)]
    command += [] if model == BUNDLED else ["--model", model]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    done = subprocess.run(
        command, env=environment, cwd=folder.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr}")
    user = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    (row,) = json.loads((folder / "summary.json").read_text())["runs"]
    return {"step": row["p50_step_seconds"], "decode": row["stages"]["decode"], "process": user}


def compared(old: Path, new: Path, model: str, rounds: int) -> dict[str, dict[str, float]]:
    """By what was measured: ratios of new to old."""
    taken: dict[Path, list[dict[str, float]]] = {old: [], new: []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            for checkout in (old, new) if number % 2 == 0 else (new, old):
                run = Path(name) / f"{len(taken[checkout])}-{'new' if checkout is new else 'old'}"
                taken[checkout].append(measured(checkout, model, run))
    found = {}
    for key in taken[old][0]:
        before, after = (np.array([run[key] for run in taken[checkout]]) for checkout in (old, new))
        low, middle, high = np.percentile(after / before, [25, 50, 75])
        found[key] = {
            "old_seconds": float(np.median(before)),
            "new_seconds": float(np.median(after)),
            "ratio": float(middle),
            "quartiles": [round(float(low), 4), round(float(high), 4)],
            "of_medians": float(np.median(after) / np.median(before)),
            "of_lowest": float(after.min() / before.min()),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, help="folder of a checkout")
    parser.add_argument("new", type=Path, help="folder of another")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", action="append", help=f"checkpoint folder, or {BUNDLED}; repeat")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        models = chosen.model
        if not models:
            random = str(Path(name) / "180m")
            make = [sys.executable, "-m", "svlm_cli.model.random_checkpoint", random, "--size", "180m"]
            environment = {**os.environ, "PYTHONPATH": str(chosen.new.resolve())}
            subprocess.run(make, env=environment, cwd=name, stdout=subprocess.DEVNULL, check=True)
            models = [BUNDLED, random]
        for model in models:
            for key, ratios in compared(chosen.old, chosen.new, model, chosen.rounds).items():
                shown = {name: round(x, 4) if isinstance(x, float) else x for name, x in ratios.items()}
                print(json.dumps({"model": Path(model).name, "measured": key, **shown}), flush=True)


if __name__ == "__main__":
    main()
