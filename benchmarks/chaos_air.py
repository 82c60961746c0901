"""What is on air in a run of chaos: senders on loopback, and the one process that watches them all."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.media.live_servers import (  # noqa: E402
    file_server,
    free_port,
    hls_sender,
    need_ffmpeg,
    rtsp_server,
    sender,
)

SMALL = {"max_new_tokens": 6, "vision_window": 4, "rounds": 4, "text_window": 32, "sink": 16, "greedy": True}
LIVE = {"stall_seconds": 4, "reconnect_seconds": 60}


@dataclass(eq=False)
class Sender:
    """What sends one channel, and how it is started anew with a file."""

    name: str
    source: str
    start: Callable[[Path], object]
    running: object = None
    file: Path = field(default_factory=Path)

    def begin(self, file: Path) -> None:
        """Send this file."""
        self.stop()
        self.file, self.running = file, self.start(file)

    def stop(self) -> None:
        """Send no more."""
        if self.running is not None:
            self.running.go_on() if hasattr(self.running, "go_on") else None  # type: ignore[attr-defined]
            self.running.stop()  # type: ignore[attr-defined]
        self.running = None


def damaged_file(path: Path, clean: Path) -> Path:
    """Bits of the pictures turned, so that decoders complain and go on."""
    run = [need_ffmpeg(), "-v", "error", "-y", "-i", str(clean), "-c", "copy"]
    subprocess.run([*run, "-bsf:v", "noise=amount=4000", str(path)], check=True)
    return path


def senders(folder: Path, stack: ExitStack, count: int) -> list[Sender]:
    """The live channels, kinds in turn; nothing is sent yet."""
    made = []
    kinds = ["hls", "udp", "http", "rtsp"] if has_rtsp() else ["hls", "udp", "http"]
    for number in range(count - 1):
        kind = kinds[number % len(kinds)]
        name = f"{kind}-{number}"
        if kind == "hls":
            own = folder / name
            own.mkdir()
            server = file_server(own)
            stack.callback(server.stop)
            address = f"http://127.0.0.1:{server.port}/live.m3u8"
            made.append(Sender(name, address, lambda file, own=own: hls_sender(file, own)))
        elif kind == "udp":
            address = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
            target = ("-f", "mpegts", f"{address}?pkt_size=1316")
            made.append(Sender(name, address, lambda file, target=target: sender(file, *target)))
        elif kind == "http":
            address = f"http://127.0.0.1:{free_port()}/live.ts"
            target = ("-f", "mpegts", "-listen", "1", address)
            made.append(Sender(name, address, lambda file, target=target: Listening(file, target)))
        else:
            port = free_port()
            address = f"rtsp://127.0.0.1:{port}/live"
            made.append(Sender(name, address, lambda _, port=port: rtsp_server(port)))
    return made


class Listening:
    """ffmpeg that waits for one reader and sends to it in real time, again and again."""

    def __init__(self, file: Path, target: tuple[str, ...]) -> None:
        self._is_over = threading.Event()
        self._command = [need_ffmpeg(), "-v", "quiet", "-re", "-stream_loop", "-1", "-i", str(file)]
        self._command += ["-c", "copy", *target]
        self._process = self._started()
        self._thread = threading.Thread(target=self._again, daemon=True)
        self._thread.start()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def _again(self) -> None:
        while not self._is_over.wait(0.3):
            if self._process.poll() is not None:
                self._process = self._started()

    def freeze(self) -> None:
        """Send nothing, and keep the connection."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Send again."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Send no more."""
        self._is_over.set()
        self._thread.join()
        self._process.kill()
        self._process.wait()


def has_rtsp() -> bool:
    run = ["/usr/bin/python3", "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"]
    with suppress(OSError):
        return subprocess.run(run, capture_output=True, check=False).returncode == 0
    return False


class Air:
    """The process of all channels, its file of channels and what it has written."""

    def __init__(self, folder: Path, live: list[Sender], num_witnesses: int) -> None:
        self._folder = folder
        self._book = folder / "channels.yaml"
        self._live = {each.name: {"name": each.name, "source": each.source, **LIVE} for each in live}
        self.pipe = {"name": "pipe", "source": "-"}
        self.witnesses = {
            f"witness-{n}": {"name": f"witness-{n}", "source": f"arena:soccer,seed={n},minutes=240"}
            | {"pace": "realtime", "on_lag": "wait", "fps": 8 if n % 2 else 2}
            for n in range(num_witnesses)
        }
        self.out: set[str] = set()
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, resume: str | None = None) -> None:
        """The file of channels as it is to be."""
        kept = {"out": str(self._folder / "{name}.jsonl"), "save_state": str(self._folder / "{name}.svlm")}
        more = {} if resume is None else {"resume": resume}
        entries = [*self._live.values(), self.pipe, *self.witnesses.values()]
        content = {
            "defaults": {**SMALL, **kept, **more, "save_every": 5, "threads": 1},
            "channels": [each for each in entries if each["name"] not in self.out],
        }
        new = self._folder / "new.yaml"
        new.write_text(json.dumps(content))
        new.replace(self._book)

    def start(self) -> None:
        """Start the process."""
        run = [sys.executable, "-m", "svlm_cli", "stream", f"@{self._book}", "--json"]
        with (self._folder / "told.jsonl").open("ab") as out, (self._folder / "talk.txt").open("ab") as err:
            self.process = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=ROOT)

    def change(self) -> None:
        """Write the file and have it read again."""
        self.write()
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def bring_back(self, name: str) -> None:
        """Into the file of channels again."""
        self.out.discard(name)
        self.change()

    def events(self) -> list[dict[str, object]]:
        """All that was told so far."""
        with suppress(FileNotFoundError):
            text = (self._folder / "told.jsonl").read_bytes()
            return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
        return []

    def steps(self, name: str) -> list[dict[str, object]]:
        """What a channel has written."""
        path = self._folder / f"{name}.jsonl"
        if not path.exists():
            return []
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [line for line in lines if line["type"] == "step"]


def feed_pipe(air: Air, file: Path, is_over: threading.Event) -> None:
    """MPEG-TS in real time into the process's standard input."""
    assert air.process is not None
    assert air.process.stdin is not None
    run = [need_ffmpeg(), "-v", "quiet", "-re", "-stream_loop", "-1", "-i", str(file), "-c", "copy"]
    with subprocess.Popen([*run, "-f", "mpegts", "-"], stdout=subprocess.PIPE) as sent, suppress(OSError):
        assert sent.stdout is not None
        while not is_over.is_set() and (data := sent.stdout.read(1316)):
            air.process.stdin.write(data)
            air.process.stdin.flush()
        sent.kill()
    sent.kill()
