"""Two checkouts of svlm against one another: CPU time of a step, `svlm bench fps` of each in turn.

    python benchmarks/side_by_side.py OLD NEW [--rounds 10] [--model DIR]

Both run at the same moment, each in a process of its own with one thread on one core, and change cores from
round to round: what a shared machine adds, and how fast it is by the minute, falls on both. A round's ratio
is new to old; printed are the median of the rounds' ratios with their quartiles, and the ratio of the medians
and of the lowest of all rounds (what others add is never less than nothing). An even number of rounds has
both on both cores alike. Without --model: the bundled model, and a random checkpoint of 180 M parameters.
Linux, two cores, and nothing else at work.
"""

from __future__ import annotations

import argparse
import json
import os
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


def begun(checkout: Path, model: str, folder: Path, core: int) -> subprocess.Popen[bytes]:
    """``svlm bench fps`` of a checkout on one core."""
    command = [sys.executable, "-m", "svlm_cli", "bench", "fps", SOURCE, "--policy", "streaming"]
    command += ["--fps", "2", "--threads", "1", "--clock", "cpu", "--floor-steps", "0"]
    command += [*LENGTHS.get(model, SHORT), "--out", str(folder)]
    command += [] if model == BUNDLED else ["--model", model]
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    with folder.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder.parent, stdout=log, stderr=log)
    os.sched_setaffinity(process.pid, {core})  # before it starts a thread
    return process


def ended(process: subprocess.Popen[bytes], folder: Path) -> dict[str, float]:
    """CPU seconds of a median step and its decoding, user CPU seconds of the process."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(folder.with_suffix(".log").read_text())
    (row,) = json.loads((folder / "summary.json").read_text())["runs"]
    return {"step": row["p50_step_seconds"], "decode": row["stages"]["decode"], "process": used.ru_utime}


def compared(old: Path, new: Path, model: str, rounds: int) -> dict[str, dict[str, float]]:
    """By what was measured: ratios of new to old."""
    taken: dict[Path, list[dict[str, float]]] = {old: [], new: []}
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("this needs two cores")
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            folders = {each: Path(name) / f"{number}-{k}" for k, each in enumerate((old, new))}
            runs = {
                each: begun(each, model, folder, cores[(number + k) % 2])
                for k, (each, folder) in enumerate(folders.items())
            }
            for each, process in runs.items():
                taken[each].append(ended(process, folders[each]))
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
    parser.add_argument("--rounds", type=int, default=10)
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
