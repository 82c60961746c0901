"""Sixteen live channels in one `svlm stream`, a fault every few seconds, a kill at the end.

    python benchmarks/chaos.py --minutes 10

Live channels are HLS, RTSP, MPEG-TS over HTTP and UDP, and one pipe, all on loopback (ffmpeg, and
GStreamer where there is one); beside them run witnesses, matches at real-time pace, whose words are
known: what each says alone. A fault kills a sender for seconds, freezes it, damages its pictures, makes
them huge, or takes its channel out of the file of channels and puts it back (SIGHUP). At the end all is
killed (-9) and resumed. What must hold: witnesses say what they say alone; the 99th percentile of lag is
at most two steps; threads and files stay flat; every channel goes on after the kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import psutil
from chaos_air import ROOT, SMALL, Air, Sender, damaged_file, feed_pipe, senders

from tests.media.live_servers import broadcast_file, wait_for  # found by what chaos_air puts on the path

MOST_LAG_SECONDS = 2.0
SPARE_FILES, SPARE_THREADS = 24, 24  # what a channel that connects again holds for a moment


def fault(chance: random.Random, live: list[Sender], air: Air, files: dict[str, Path]) -> str:
    """One thing that goes wrong, and (in a thread) is put right again."""
    one = chance.choice(live)
    kind = chance.choice(["dies", "freezes", "damaged", "huge", "clean", "leaves"])
    for_seconds = chance.uniform(2.0, 8.0)

    def later(action: Callable[[], None]) -> None:
        timer = threading.Timer(for_seconds, action)
        timer.daemon = True
        timer.start()

    if kind == "dies":
        one.stop()
        later(lambda: one.begin(files["clean"]))
    elif kind == "freezes" and hasattr(one.running, "freeze"):
        held = one.running
        held.freeze()  # type: ignore[attr-defined]
        later(lambda: held.go_on() if one.running is held else None)  # type: ignore[attr-defined]
    elif kind == "leaves" and not air.out:
        air.out.add(one.name)
        air.change()
        later(lambda: air.bring_back(one.name))
    else:
        kind = kind if kind in files else "clean"
        one.begin(files[kind])
    return f"{one.name} {kind}"


def alone(air: Air, name: str, num_steps: int, folder: Path) -> list[str]:
    """What a witness says alone, at full speed."""
    entry = air.witnesses[name]
    path = folder / f"{name}.alone.jsonl"
    run = [sys.executable, "-m", "svlm_cli", "stream", str(entry["source"]), "--fps", str(entry["fps"])]
    for key, value in SMALL.items():
        run += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
    run += ["--duration", str(num_steps), "--threads", "1", "--quiet", "--out", str(path)]
    subprocess.run(run, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return [json.loads(line)["text"] for line in path.read_text().splitlines() if '"step"' in line[:20]]


def run_chaos(
    minutes: float, num_live: int, num_witnesses: int, every: float, seed: int
) -> dict[str, object]:
    chance = random.Random(seed)
    faults: list[str] = []
    samples: list[tuple[int, int]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="svlm-chaos-")))
        files = {
            "clean": broadcast_file(folder / "clean.mp4"),
            "huge": broadcast_file(folder / "huge.mp4", "1920x1080"),
        }
        files["damaged"] = damaged_file(folder / "damaged.mp4", files["clean"])
        live = senders(folder, stack, num_live)
        for each in live:
            stack.callback(each.stop)
            each.begin(files["clean"])
            if each.name.startswith("hls"):
                wait_for(folder / each.name / "live.m3u8")
        air = Air(folder, live, num_witnesses)
        air.write()
        is_over = threading.Event()
        stack.callback(is_over.set)
        go(air, files["clean"], is_over, stack)
        names = [*(each.name for each in live), "pipe", *air.witnesses]
        patience(lambda: all(air.steps(name) for name in names), "every channel speaks", 180)
        end = time.monotonic() + minutes * 60
        assert air.process is not None
        held = psutil.Process(air.process.pid)
        while time.monotonic() < end:
            faults.append(fault(chance, live, air, files))
            time.sleep(every)
            samples.append((held.num_threads(), held.num_fds()))
        air.out.clear()
        air.change()
        time.sleep(15)
        return judged(air, folder, live, names, faults, samples, is_over, stack, files)


def go(air: Air, file: Path, is_over: threading.Event, stack: ExitStack) -> None:
    air.start()
    process = air.process
    assert process is not None
    stack.callback(lambda: process.poll() is None and process.kill())
    threading.Thread(target=feed_pipe, args=(air, file, is_over), daemon=True).start()


def judged(air, folder, live, names, faults, samples, is_over, stack, files) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """Kill, resume, and what came of it all."""
    events = air.events()
    air.process.kill()
    air.process.wait()
    before = {name: len(air.steps(name)) for name in names}
    for each in live:
        each.begin(files["clean"])
    air.write(resume=str(folder / "{name}.svlm"))
    go(air, files["clean"], is_over, stack)

    def goes_on(name: str) -> bool:
        return len(air.steps(name)) > before[name] + 2

    with suppress(TimeoutError):
        patience(lambda: all(map(goes_on, names)), "every channel goes on", 120)
    resumed = [name for name in names if goes_on(name)]
    air.process.send_signal(signal.SIGINT)
    air.process.wait(60)
    said = {name: [step["text"] for step in air.steps(name)] for name in air.witnesses}
    differ = [name for name, words in said.items() if words != alone(air, name, len(words), folder)]
    skipped = sum(step["skipped_seconds"] for name in air.witnesses for step in air.steps(name))
    steps = [event for event in events if event["type"] == "step"]
    witnessed = [float(step["lag_seconds"]) for step in steps if step["channel"] in air.witnesses]
    lags = [float(step["lag_seconds"]) for step in steps]
    third = max(1, len(samples) // 3)
    threads, fds = (
        [float(np.median([each[n] for each in part])) for part in (samples[:third], samples[-third:])]
        for n in (0, 1)
    )
    holds = {
        "witnesses say what they say alone": not differ and not skipped,
        "p99 of lag at most two steps": float(np.percentile(lags, 99)) <= MOST_LAG_SECONDS,
        "threads flat": threads[1] <= threads[0] + SPARE_THREADS,
        "files flat": fds[1] <= fds[0] + SPARE_FILES,
        "all resumed after kill -9": len(resumed) == len(names),
    }
    return {
        "holds": holds,
        "channels": len(names),
        "steps": len(steps),
        "words_of_witnesses": sum(len(text.split()) for words in said.values() for text in words),
        "faults": faults,
        "lag_p50_p99_max": [round(float(np.percentile(lags, part)), 2) for part in (50, 99, 100)],
        "witness_lag_p99": round(float(np.percentile(witnessed, 99)), 2),
        "threads_first_and_last_third": threads,
        "files_first_and_last_third": fds,
        "not_resumed": sorted(set(names) - set(resumed)),
        "witnesses_that_differ": differ,
        "talk_tail": (folder / "talk.txt").read_text().splitlines()[-8:] if not all(holds.values()) else [],
    }


def patience(is_so: Callable[[], bool], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--live", type=int, default=16, help="live channels, one of them a pipe")
    parser.add_argument("--witnesses", type=int, default=4)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two faults")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = run_chaos(chosen.minutes, chosen.live, chosen.witnesses, chosen.every, chosen.seed)
    print(json.dumps(found, indent=2))
    return 0 if all(found["holds"].values()) else 1  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
