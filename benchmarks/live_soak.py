"""`svlm stream` of a broadcast that is cut again and again: the part of ``soak.py`` behind ``--cuts``.

A server on loopback sends MPEG-TS with a clock that never stops, as fast as it is read, and is cut (listening
socket and connections) at even intervals; ``svlm stream`` runs in a process of its own at full speed with the
page, a state every 10 seconds and captions and events in files; viewers read the page's events and fetch a
picture of every fifth. What that process holds is taken down once a second.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

FPS, SIZE, LOOP_SECONDS = 25, (320, 240), 20
BYTES_A_SECOND = 1_000_000  # of stream, mostly padding: what waits in sockets is seconds and not minutes
AWAY_SECONDS = 2.0
PATIENCE_SECONDS = 90.0
FLAT_MEMORY = 1.05
FILES_AT_WORK = 8  # open for a moment: a state, a picture, a reply
KEPT_PICTURES = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held at a moment: seconds since its first step, bytes, counts."""

    seconds: float
    rss: int
    files: int
    threads: int


class Broadcaster:
    """MPEG-TS over HTTP on loopback, which can be cut and restored at the same port."""

    def __init__(self, file: Path) -> None:
        self._packets = _encoded(file)
        self._frames_sent = 0
        self._connections: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        self.port = 0
        self.restore()

    def restore(self) -> None:
        """Let connections in."""
        self._listening = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """End every connection; let none in."""
        assert self._listening is not None
        for each in [self._listening, *self._connections]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                self._connections.add(connection)
                threading.Thread(target=self._send, args=(connection,), daemon=True).start()

    def _send(self, connection: socket.socket) -> None:
        with suppress(OSError, av.FFmpegError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
            with connection.makefile("wb") as out, _muxer(out) as container:
                stream = container.add_stream("libx264", rate=FPS)
                stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
                while True:
                    self._send_loop(container, stream)
        self._connections.discard(connection)
        connection.close()

    def _send_loop(self, container: Any, stream: Any) -> None:
        begin = self._frames_sent
        for number, (data, is_keyframe) in enumerate(self._packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, FPS)
            packet.pts = packet.dts = begin + number
            packet.is_keyframe = is_keyframe
            container.mux(packet)
            self._frames_sent = begin + number + 1
        # A connection that is cut begins the next one at a keyframe, some frames on.
        self._frames_sent = begin + len(self._packets)


def _muxer(out: Any) -> Any:
    return av.open(_Sent(out), "w", format="mpegts", options={"muxrate": str(8 * BYTES_A_SECOND)})


class _Sent:
    """A file that libav writes to: no seeking."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, data: bytes) -> int:
        return int(self._out.write(data))


class Viewer(threading.Thread):
    """Reads the page's events for as long as it is there, and every fifth picture."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.num_events = 0

    def run(self) -> None:
        """Called by the thread."""
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
            connection.request("GET", "/events")
            for line in connection.getresponse():
                if not line.startswith(b"data: "):
                    continue
                self.num_events += 1
                event = json.loads(line[6:])
                if event["type"] == "step" and event["index"] % KEPT_PICTURES == 0:
                    self._picture(event["start_seconds"])

    def _picture(self, seconds: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", f"/picture?at={seconds:.3f}")
        connection.getresponse().read()
        connection.close()


def live_soak(minutes: float, num_cuts: int, num_viewers: int, fps: float, threads: int) -> dict[str, Any]:
    """Run it; what was seen."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broadcaster = Broadcaster(folder / "broadcast.ts")
        page = _free_port()
        command = [sys.executable, "-m", "svlm_cli", "stream", f"http://127.0.0.1:{broadcaster.port}/live.ts"]
        command += ["--pace", "max", "--fps", f"{fps:g}", "--threads", f"{threads}", "--greedy"]
        command += ["--serve", f"127.0.0.1:{page}", "--save-state", "state.svlm", "--save-every", "10"]
        command += ["--out", "words.vtt", "--cues", "second", "--out", "events.jsonl"]
        with (folder / "talk").open("wb") as talk:
            stream = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=talk)
        try:
            viewers = _looked_on(folder / "events.jsonl", stream, page, num_viewers)
            samples = _watched(stream, folder / "events.jsonl", broadcaster, 60 * minutes, num_cuts)
            stream.send_signal(signal.SIGINT)
            code = stream.wait(120)
        finally:
            stream.kill()
            broadcaster.cut()
        if not samples or code != 130:
            print((folder / "talk").read_text()[-2000:], file=sys.stderr)
        return _summary(folder, samples, code, [viewer.num_events for viewer in viewers])


def _looked_on(events: Path, stream: subprocess.Popen[bytes], page: int, num_viewers: int) -> list[Viewer]:
    """The viewers, who come once the first step has been spoken about."""
    while stream.poll() is None and not (events.is_file() and '"step"' in events.read_text()):
        time.sleep(0.2)
    viewers = [Viewer(page) for _ in range(num_viewers)]
    for viewer in viewers:
        viewer.start()
    return viewers


def _watched(
    stream: subprocess.Popen[bytes], events: Path, broadcaster: Broadcaster, seconds: float, num_cuts: int
) -> list[Sample]:
    """What the process holds, once a second, while the source is cut at even intervals.

    What was sent before a cut is spoken about before the cut is, so the next one waits until the stream
    has told that the source is back, and the last return is waited for.
    """
    process, samples = psutil.Process(stream.pid), []
    began = time.monotonic()
    every = seconds / max(num_cuts, 1)
    next_cut, restore_at = began + every / 2, float("inf")
    done = 0
    while (now := time.monotonic()) < began + seconds + PATIENCE_SECONDS and stream.poll() is None:
        if now >= began + seconds and _num_returns(events) >= num_cuts:
            break
        if now >= restore_at:
            broadcaster.restore()
            restore_at = float("inf")
        elif now >= next_cut and done < num_cuts and _num_returns(events) == done:
            broadcaster.cut()
            done += 1
            next_cut, restore_at = next_cut + every, now + min(AWAY_SECONDS, every / 4)
        with suppress(psutil.Error), process.oneshot():
            held = process.memory_info().rss, process.num_fds(), process.num_threads()
            samples.append(Sample(now - began, *held))
        time.sleep(min(1.0, every / 16))
    return samples


def _num_returns(events: Path) -> int:
    return events.read_text().count("the source is back")


def _summary(folder: Path, samples: list[Sample], code: int, viewed: list[int]) -> dict[str, Any]:
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["type"] == "step"]
    told = Counter(" ".join(event["message"].split()[:4]) for event in events if event["type"] == "warning")
    spoken = sum(bool(step["text"]) for step in steps)
    first, last = (_quarter(samples, part) for part in (1, 3))
    return {
        "exit_code": code,
        "minutes": round(samples[-1].seconds / 60, 1) if samples else 0,
        "steps": len(steps),
        "spoken": spoken,
        "warnings": told.total(),
        "stopped": told["the source stopped at"],
        "back": told["the source is back"],
        "events_seen_by_viewers": viewed,
        "captions": (folder / "words.vtt").read_text().count(" --> "),
        "state_bytes": (folder / "state.svlm").stat().st_size,
        "rss_mib": [round(part["rss"] / 2**20, 1) for part in (first, last)],
        "files": [part["files"] for part in (first, last)],
        "threads": [part["threads"] for part in (first, last)],
        "most": {name: max(getattr(each, name) for each in samples) for name in ("files", "threads")},
        "left_beside_state": sorted(path.name for path in folder.glob(".*")),
    }


def _quarter(samples: list[Sample], number: int) -> dict[str, float]:
    """Medians of a quarter of the time, counted from 0."""
    length = max(1, len(samples) // 4)
    chosen = samples[number * length : (number + 1) * length] or samples
    return {
        name: statistics.median(getattr(each, name) for each in chosen)
        for name in ("rss", "files", "threads")
    }


def faults(found: dict[str, Any], num_cuts: int) -> list[str]:
    """What was not as it should be, a sentence each."""
    first, last = found["rss_mib"]
    checks = {
        f"it ended with {found['exit_code']}, not 130": found["exit_code"] == 130,
        f"{found['stopped']} of {num_cuts} cuts were told": found["stopped"] == num_cuts,
        f"{found['back']} of {num_cuts} returns were told": found["back"] == num_cuts,
        f"{found['captions']} captions of {found['spoken']} steps": found["captions"] == found["spoken"],
        f"memory grew from {first} to {last} MiB": last <= FLAT_MEMORY * first,
        f"open files grew: {found['files']}": found["files"][1] <= found["files"][0] + 1,
        f"threads grew: {found['threads']}": found["threads"][1] <= found["threads"][0] + 1,
        f"at most {found['most']['files']} files were open": (
            found["most"]["files"] <= max(found["files"]) + FILES_AT_WORK
        ),
        f"left beside the state: {found['left_beside_state']}": not found["left_beside_state"],
    }
    return [sentence for sentence, holds in checks.items() if not holds]


def _encoded(file: Path) -> list[tuple[bytes, bool]]:
    """H.264 packets of moving pictures without B-frames, each with whether it is a keyframe."""
    generator = np.random.default_rng(0)
    scene = generator.integers(0, 256, (SIZE[1] // 8, 2 * SIZE[0] // 8, 3), dtype=np.uint8).repeat(8, 0)
    scene = scene.repeat(8, 1)
    with av.open(str(file), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(FPS), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        packets = []
        for number in range(FPS * LOOP_SECONDS):
            left = number * SIZE[0] // (FPS * LOOP_SECONDS)
            picture = np.ascontiguousarray(scene[:, left : left + SIZE[0]])
            packets += stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        packets += stream.encode(None)
        return [(bytes(packet), packet.is_keyframe) for packet in packets]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
