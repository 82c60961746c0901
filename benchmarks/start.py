"""What `svlm stream` spends until its first words: CPU seconds and peak memory of a fresh process.

    python benchmarks/start.py --repeats 5
    python benchmarks/start.py --against OTHER_CHECKOUT

Runs README's line and looks at the process (Linux) when it prints its first ``step``; then ends it.
``--against`` runs another checkout's code in turn with this one's, by the same interpreter, and gives the
ratio of the two. The first run of each is to fill caches and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent.parent
LINE = ("stream", "arena:soccer?seed=7", "--fps", "8", "--json")
FIRST = "step"


class Start(NamedTuple):
    """CPU seconds until the first step, and the most memory held until then in MiB."""

    cpu_seconds: float
    peak_mib: float


def start(checkout: Path, arguments: list[str]) -> Start:
    """Of one process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "svlm_cli", *LINE, *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if json.loads(line).get("type") == FIRST:
                return _looked_at(process.pid)
        raise SystemExit(f"{checkout}: the stream ended without a step")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _looked_at(pid: int) -> Start:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Start(ticks / os.sysconf("SC_CLK_TCK"), int(status["VmHWM"].split()[0]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    chosen, arguments = parser.parse_known_args()
    checkouts = {"this": HERE} | ({"other": chosen.against.resolve()} if chosen.against else {})
    taken: dict[str, list[Start]] = {name: [] for name in checkouts}
    for number in range(chosen.repeats + 1):
        for name, checkout in checkouts.items():
            found = start(checkout, arguments)
            if number:
                taken[name].append(found)
    rows = {
        name: {
            "cpu_seconds": round(statistics.median(each.cpu_seconds for each in runs), 2),
            "peak_mib": round(statistics.median(each.peak_mib for each in runs)),
        }
        for name, runs in taken.items()
    }
    if chosen.against:
        pairs = zip(taken["this"], taken["other"], strict=True)
        rows["ratio"] = {
            "cpu_seconds": round(statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in pairs), 3)
        }
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
