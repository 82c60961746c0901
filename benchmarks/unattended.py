"""A stream that nobody watches: a supervisor kills it again and again, and its files are judged afterwards.

    python benchmarks/unattended.py --minutes 10 --kill-every 60

A broadcast on loopback (ffmpeg, HLS) is streamed by ``svlm stream --resume auto --reconnect-seconds inf``;
the process is killed by SIGKILL every so often and started again at once, as systemd or a container runtime
would. It holds when there is one WebVTT and one JSON Lines file, no second of the stream in them twice, no
word of a step missing from the captions, and every gap between steps told by ``skipped_seconds``. Exit code 1
else.
"""

from __future__ import annotations

import argparse
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

LONGEST_START_SECONDS = 60.0


class Files(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, without a line of talk for each."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def broadcast(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A live playlist of two-second segments with dates, in real time."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        sys.exit("needs ffmpeg")
    picture = ["-re", "-f", "lavfi", "-i", "testsrc=size=192x128:rate=10", "-t", f"{seconds:g}"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-bf", "0"]
    flags = ["-f", "hls", "-hls_time", "2", "-hls_list_size", "6"]
    flags += ["-hls_flags", "delete_segments+program_date_time"]
    return subprocess.Popen([ffmpeg, "-v", "error", *picture, *coding, *flags, str(folder / "live.m3u8")])


def supervise(command: list[str], out: Path, seconds: float, kill_every: float) -> int:
    """Start a command again and again; kills it every so often, and at the end asks it to stop.

    Returns:
        How often it was killed.
    """
    ends, num_kills = time.monotonic() + seconds, 0
    with (out / "log").open("ab") as log:
        while time.monotonic() < ends:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
            try:
                process.wait(min(kill_every, max(0.0, ends - time.monotonic())))
                print(f"it ended by itself with {process.returncode}", file=sys.stderr)
                time.sleep(1.0)
            except subprocess.TimeoutExpired:
                if time.monotonic() < ends - 1e-3:
                    process.kill()
                    num_kills += 1
                else:
                    process.terminate()
            process.wait(LONGEST_START_SECONDS)
    return num_kills


def seconds_of(time_text: str) -> float:
    """The seconds of a time of WebVTT."""
    hours, minutes, rest = time_text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def judge(out: Path) -> tuple[dict[str, object], list[str]]:
    """What the files hold, and what is wrong with them."""
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["type"] == "step"]
    gaps, wrong = gaps_of(steps)
    cues = cues_of(out / "words.vtt")
    wrong += [f"cues overlap at {two[0]:g} s" for one, two in pairwise(cues) if two[0] < one[1] - 2e-3]
    spoken = " ".join(re.sub(r"\s+", " ", step["text"]) for step in steps).split()
    shown = " ".join(text for *_, text in cues).split()
    if spoken != shown:
        wrong.append(f"{len(spoken)} words were spoken and {len(shown)} are in the captions")
    if left := sorted(path.name for path in out.iterdir() if re.search(r"\.\d+$", path.name)):
        wrong.append(f"more than one file: {', '.join(left)}")
    figures: dict[str, object] = {
        "steps": len(steps),
        "words": len(spoken),
        "cues": len(cues),
        "starts": sum(event["type"] == "start" for event in events),
        "gaps_told": gaps,
        "seconds_missing": round(sum(step["skipped_seconds"] for step in steps), 1),
    }
    return figures, wrong


def gaps_of(steps: list[dict[str, float]]) -> tuple[int, list[str]]:
    """How many gaps there are between steps, and what is wrong with their times."""
    num_gaps, wrong = 0, []
    for before, step in pairwise(steps):
        missing = step["start_seconds"] - before["end_seconds"]
        num_gaps += missing > 1e-6
        if missing < -1e-6:
            wrong.append(f"second {step['start_seconds']:g} is there twice")
        elif abs(step["skipped_seconds"] - missing) > 1e-6:
            told = f"told as {step['skipped_seconds']:g} s"
            wrong.append(f"a gap of {missing:g} s at {step['start_seconds']:g} s is {told}")
        if step["index"] <= before["index"]:
            wrong.append(f"step {step['index']:g} comes behind step {before['index']:g}")
    return num_gaps, wrong


def cues_of(path: Path) -> list[tuple[float, float, str]]:
    """The cues of a WebVTT file."""
    cues = []
    for block in filter(None, path.read_text().split("\n\n")[1:]):
        times, *lines = block.split("\n")
        begin, end = map(seconds_of, times.split(" --> "))
        cues.append((begin, end, html.unescape(" ".join(lines))))
    return cues


def main() -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        live, out = Path(name, "live"), Path(name, "out")
        live.mkdir()
        out.mkdir()
        handler = functools.partial(Files, directory=str(live))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [sys.executable, "-m", "svlm_cli", "stream"]
        command += [f"http://127.0.0.1:{server.server_port}/live.m3u8", "--quiet", "--threads", "1"]
        command += ["--out", str(out / "words.vtt"), "--out", str(out / "events.jsonl")]
        command += ["--save-state", str(out / "state.svlm"), "--save-every", "5"]
        command += ["--resume", "auto", "--reconnect-seconds", "inf"]
        sender = broadcast(live, chosen.minutes * 60 + LONGEST_START_SECONDS)
        try:
            num_kills = supervise(command, out, chosen.minutes * 60, chosen.kill_every)
        finally:
            sender.kill()
            sender.wait()
            server.shutdown()
        figures, wrong = judge(out)
        print(json.dumps({"kills": num_kills} | figures))
        for each in wrong:
            print(f"wrong: {each}", file=sys.stderr)
        if wrong:
            print((out / "log").read_text(errors="replace")[-2000:], file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
