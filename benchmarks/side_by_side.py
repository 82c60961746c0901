"""Two checkouts of svlm against one another: CPU time, both at work at the same moment.

    python benchmarks/side_by_side.py OLD NEW [--rounds 10] [--what bundled --what 180m] [--format float32]

Both run in a process of their own with one thread on one core, and change cores from round to round: what a
shared machine adds, and how fast it is by the minute, falls on both. A round's ratio is new to old; printed
are the median of the rounds' ratios with their quartiles, and the ratio of the medians and of the lowest of
all rounds (what others add is never less than nothing). An even number of rounds has both on both cores
alike. Linux, two cores, and nothing else at work; ffmpeg, and flite for align.

What is done: `svlm bench fps` of the bundled model or of a random one of 180 M parameters in `--format` (a
step's median; 180m with short windows, 180m-2fps and 180m-8fps with full ones of 640x360), `svlm stream` of a
plain 8-bit file (file), `svlm align` of speech (align).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transcribe import SAMPLE_RATE, make_track

SVLM = (sys.executable, "-m", "svlm_cli")
MATCH = "arena:soccer,seed=7,minutes=10"
PLAIN = "testsrc2=size=640x360:rate=25:duration=240"
MINUTES_OF_SPEECH = 4
WHATS = ("bundled", "180m", "180m-2fps", "180m-8fps", "file", "align")
FORMATS = {
    "float32": [],
    "bfloat16": ["--dtype", "bfloat16"],
    "int8": ["--quantize", "int8"],
    "int4": ["--quantize", "int4"],
}


@dataclass(frozen=True)
class Work:
    """One thing to time: arguments of ``svlm`` with the folder of the run, and what goes before, untimed."""

    arguments: Callable[[Path], list[str]]
    before: Callable[[Path], list[str]] | None = None
    has_steps: bool = False


def steps(*options: str, source: str = MATCH, fps: int = 2) -> Work:
    """``svlm bench fps``."""
    common = ["bench", "fps", source, "--policy", "streaming", "--fps", str(fps), "--threads", "1"]
    common += ["--clock", "cpu"]
    return Work(
        lambda run: [*common, "--floor-steps", "0", *options, "--out", str(run / "fps")], has_steps=True
    )


def all_work(folder: Path, new: Path, whisper: str, form: str) -> dict[str, Callable[[], Work]]:
    """By name; each makes what it needs in ``folder`` when it is called."""

    def random_model(*options: str, source: str = MATCH, fps: int = 2) -> Work:
        model = str(folder / "180m")
        make = [sys.executable, "-m", "svlm_cli.model.random_checkpoint", model, "--size", "180m"]
        subprocess.run(make, env=environment(new), cwd=folder, stdout=subprocess.DEVNULL, check=True)
        return steps("--model", model, *FORMATS[form], *options, source=source, fps=fps)

    def full_windows(fps: int, seconds: int) -> Work:
        clip = str(folder / "full.mp4")
        noise = ["-i", "testsrc2=size=640x360:rate=8:duration=60", "-vf", "noise=alls=8:allf=t"]
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", *noise, clip], check=True)
        return random_model("--seconds", str(seconds), source=clip, fps=fps)

    def plain_file() -> Work:
        clip = str(folder / "plain.mp4")
        make = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", PLAIN, "-pix_fmt", "yuv420p", clip]
        subprocess.run(make, check=True)
        stream = ["stream", clip, "--fps", "8", "--greedy", "--threads", "1", "--device", "cpu", "--quiet"]
        return Work(lambda run: [*stream, "--out", str(run / "words.vtt")])

    def speech() -> Work:
        video = str(folder / "speech.mkv")
        with wave.open(str(folder / "speech.wav"), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes(make_track(MINUTES_OF_SPEECH)[0].tobytes())
        make = ["ffmpeg", "-v", "error", "-i", str(folder / "speech.wav"), "-f", "lavfi", "-i"]
        make += ["color=black:size=64x64:rate=5", "-shortest", "-c:a", "flac", video]
        subprocess.run(make, check=True)
        listen = ["--whisper-model", whisper, "--device", "cpu", "--threads", "1", "--quiet"]
        return Work(
            lambda run: ["align", str(run / "videos"), *listen],
            before=lambda run: ["fetch", video, "--out", str(run / "videos"), "--quiet"],
        )

    return {
        "bundled": lambda: steps("--seconds", "240"),
        "180m": lambda: random_model("--seconds", "12", "--vision-window", "4", "--rounds", "4"),
        "180m-2fps": lambda: full_windows(2, 24),
        "180m-8fps": lambda: full_windows(8, 20),
        "file": plain_file,
        "align": speech,
    }


def environment(checkout: Path) -> dict[str, str]:
    """Where Python finds the svlm of a checkout."""
    return {**os.environ, "PYTHONPATH": str(checkout.resolve())}


def begun(checkout: Path, work: Work, run: Path, core: int) -> subprocess.Popen[bytes]:
    """The work of a checkout on one core, in a folder of its own."""
    with (run / "log").open("wb") as log:
        process = subprocess.Popen(
            [*SVLM, *work.arguments(run)], env=environment(checkout), cwd=run, stdout=log, stderr=log
        )
    os.sched_setaffinity(process.pid, {core})  # before it starts a thread
    return process


def ended(process: subprocess.Popen[bytes], work: Work, run: Path) -> dict[str, float]:
    """User CPU seconds of the process; where it has steps, CPU seconds of a median one and of its stages."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit((run / "log").read_text())
    found = {"process": used.ru_utime}
    if work.has_steps:
        (row,) = json.loads((run / "fps" / "summary.json").read_text())["runs"]
        found |= {"step": row["p50_step_seconds"]}
        found |= {stage: row["stages"][stage] for stage in ("vision", "prefill", "decode")}
    return found


def compared(old: Path, new: Path, work: Work, rounds: int) -> dict[str, dict[str, float]]:
    """By what was measured: ratios of new to old."""
    taken: dict[Path, list[dict[str, float]]] = {old: [], new: []}
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("this needs two cores")
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            folders = {each: Path(name) / f"{number}-{k}" for k, each in enumerate((old, new))}
            for each, folder in folders.items():
                folder.mkdir()
                if work.before:
                    before = [*SVLM, *work.before(folder)]
                    subprocess.run(before, env=environment(each), cwd=folder, check=True)
            runs = {
                each: begun(each, work, folder, cores[(number + k) % 2])
                for k, (each, folder) in enumerate(folders.items())
            }
            for each, process in runs.items():
                taken[each].append(ended(process, work, folders[each]))
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
    parser.add_argument("--what", action="append", choices=WHATS)
    parser.add_argument("--format", choices=list(FORMATS), default="float32", help="of the random model")
    parser.add_argument("--whisper-model", default="tiny.en", help="folder or name, for align")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        works = all_work(Path(name), chosen.new, chosen.whisper_model, chosen.format)
        for what in chosen.what or ("bundled", "180m"):
            for key, ratios in compared(chosen.old, chosen.new, works[what](), chosen.rounds).items():
                shown = {name: round(x, 4) if isinstance(x, float) else x for name, x in ratios.items()}
                told = {"what": what, "format": chosen.format, "measured": key, **shown}
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
