"""Compare the video readers: PyAV and decord, in sequence and at random.

    python benchmarks/readers.py                    # a table; some minutes
    python benchmarks/readers.py --json             # the same as one JSON document
    python benchmarks/readers.py --seconds 30 --repeats 1 --sizes 640x360

Makes H.264 test videos with ffmpeg, reads them with ``svlm_cli.media.file.reader.open_video`` and prints the
median CPU and wall time per second of video that was read. "24 s at random" is what training does:
one window of frames at 2 FPS from anywhere in the file. Opening is timed apart.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from svlm_cli.errors import SourceError
from svlm_cli.media.file.reader import VideoReader, open_video

WINDOW_SECONDS = 24.0
NUM_WINDOWS = 4
FPS_OF_FILE = 30


@dataclass(frozen=True, slots=True)
class Measurement:
    """One cell of the table; times in milliseconds, per second of video (opening: per file)."""

    video: str
    backend: str
    task: str
    cpu_ms: float
    wall_ms: float


def make_video(folder: Path, size: str, seconds: int) -> Path:
    """An H.264 file with moving shapes and noise, keyframes at x264's default distance."""
    path = folder / f"{size}.mp4"
    source = f"testsrc2=size={size}:rate={FPS_OF_FILE}:duration={seconds}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-vf", "noise=alls=8:allf=t"]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, *encode, str(path)], check=True)
    return path


def read_clips(reader: VideoReader, fps: float) -> float:
    """Stream the whole file; returns the seconds read."""
    return float(sum(1 for _ in reader.clips(fps, 1.0)))


def read_windows(reader: VideoReader, seconds: float) -> float:
    """Read training windows from anywhere; returns the seconds read."""
    places = random.Random(0)
    for _ in range(NUM_WINDOWS):
        start = places.uniform(0.0, seconds - WINDOW_SECONDS)
        reader.frames_at([start + k / 2 for k in range(int(WINDOW_SECONDS * 2))])
    return NUM_WINDOWS * WINDOW_SECONDS


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """CPU and wall milliseconds per unit that ``work`` says it did."""
    cpu, wall = time.process_time(), time.perf_counter()
    units = work()
    return (time.process_time() - cpu) * 1e3 / units, (time.perf_counter() - wall) * 1e3 / units


def measure_once(path: Path, backend: str, seconds: int) -> dict[str, tuple[float, float]]:
    """CPU and wall milliseconds of every task with one backend."""
    cpu, wall = time.process_time(), time.perf_counter()
    with open_video(path, backend) as reader:
        opening = ((time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3)
        return {
            "open": opening,
            "in sequence, 2 FPS": timed(lambda: read_clips(reader, 2.0)),
            "in sequence, 8 FPS": timed(lambda: read_clips(reader, 8.0)),
            f"{WINDOW_SECONDS:g} s at random, 2 FPS": timed(lambda: read_windows(reader, seconds)),
        }


def measure(path: Path, seconds: int, repeats: int) -> list[Measurement]:
    """Medians over ``repeats``; the backends take turns, so that a busy machine is unfair to both."""
    samples: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(repeats):
        for backend in ("pyav", "decord"):
            try:
                for task, times in measure_once(path, backend, seconds).items():
                    samples.setdefault((backend, task), []).append(times)
            except SourceError as error:
                print(f"{backend} left out: {error}", file=sys.stderr)
    rows = []
    for (backend, task), pairs in samples.items():
        cpu_ms, wall_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
        rows.append(Measurement(path.stem, backend, task, cpu_ms, wall_ms))
    return rows


def print_table(rows: list[Measurement]) -> None:
    print(f"{'video':10} {'task':24} {'backend':8} {'CPU ms':>8} {'wall ms':>8} {'CPU / PyAV':>10}")
    base = {(row.video, row.task): row.cpu_ms for row in rows if row.backend == "pyav"}
    for row in sorted(rows, key=lambda row: (row.video, row.task)):
        ratio = row.cpu_ms / base[row.video, row.task]
        print(
            f"{row.video:10} {row.task:24} {row.backend:8} {row.cpu_ms:8.1f} {row.wall_ms:8.1f} {ratio:10.2f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=120, help="length of the videos (default 120)")
    parser.add_argument("--repeats", type=int, default=3, help="runs per cell (default 3)")
    parser.add_argument("--sizes", nargs="+", default=["640x360", "1280x720"], metavar="WxH")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if options.seconds <= WINDOW_SECONDS:
        parser.error(f"--seconds must be above {WINDOW_SECONDS:g}")
    rows: list[Measurement] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            path = make_video(Path(folder), size, options.seconds)
            rows += measure(path, options.seconds, options.repeats)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
