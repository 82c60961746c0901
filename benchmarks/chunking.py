"""How the time and memory of ``svlm chunk`` grow with what it is given.

    python benchmarks/chunking.py --transcripts DIR              # a table; under a minute
    python benchmarks/chunking.py --transcripts DIR --json       # the same as one JSON document
    python benchmarks/chunking.py --transcripts DIR --times 1 10 100

Takes a folder of transcripts (any form that ``svlm align --transcript-from`` reads), and again with every one
of them N times over: as N videos, and as one video N times as long. Runs the command on each in a process of
its own and prints its CPU time and peak memory. Ratios are to the first row; what the command takes to start
is in all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from svlm_cli.data.words.captions import SUFFIXES, read_utterances
from svlm_cli.data.words.transcript import words_in


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of the command."""

    grown: str
    times: int
    num_chunks: int
    cpu_seconds: float
    peak_mib: float
    cpu_ratio: float


def more_videos(sources: list[Path], folder: Path, times: int) -> None:
    """Every transcript N times, under another name each."""
    for source in sources:
        for k in range(times):
            (folder / f"{source.stem}-{k}{source.suffix}").symlink_to(source.resolve())


def longer_videos(sources: list[Path], folder: Path, times: int) -> None:
    """Every transcript once, said N times on end."""
    for source in sources:
        utterances = read_utterances(source)
        length = max((word.end_seconds for word in words_in(utterances)), default=0.0)
        segments = [
            [
                row[0].start_seconds + k * length,
                row[-1].end_seconds + k * length,
                " ".join(w.text for w in row),
            ]
            for k in range(times)
            for row in utterances
        ]
        numbered = {str(number): segment for number, segment in enumerate(segments)}
        (folder / f"{source.stem}.json").write_text(json.dumps({"segments": numbered}), encoding="utf-8")


def run(folder: Path, dataset: Path) -> tuple[int, float, float]:
    """Chunks, CPU seconds and peak MiB of the command."""
    command = [sys.executable, "-m", "svlm_cli", "chunk", str(folder), "--no-video-check", "--quiet"]
    with subprocess.Popen([*command, "--out", str(dataset)]) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    splits = json.loads((dataset / "report.json").read_text(encoding="utf-8"))["splits"]
    num_chunks = sum(split["num_chunks"] for split in splits)
    return num_chunks, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(sources: list[Path], times: list[int]) -> list[Measurement]:
    rows: list[Measurement] = []
    for name, grow in (("more videos", more_videos), ("longer videos", longer_videos)):
        first = None
        for each in times:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / "transcripts"
                folder.mkdir()
                grow(sources, folder, each)
                num_chunks, cpu_seconds, peak_mib = run(folder, Path(temporary) / "dataset")
            first = first or cpu_seconds
            ratio = cpu_seconds / first
            rows.append(
                Measurement(name, each, num_chunks, round(cpu_seconds, 2), round(peak_mib), round(ratio, 2))
            )
    return rows


def print_table(rows: list[Measurement]) -> None:
    print(f"{'grown':14} {'times':>5} {'chunks':>8} {'CPU s':>8} {'ratio':>7} {'peak MiB':>9}")
    for row in rows:
        print(
            f"{row.grown:14} {row.times:5d} {row.num_chunks:8d} {row.cpu_seconds:8.2f} "
            f"{row.cpu_ratio:7.2f} {row.peak_mib:9.0f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transcripts", type=Path, required=True, metavar="DIR")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10], metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    sources = sorted(path for path in options.transcripts.iterdir() if path.suffix.lower() in SUFFIXES)
    rows = measure(sources, options.times)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
