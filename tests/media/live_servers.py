"""Broadcasts on loopback, made by ffmpeg and GStreamer, that can be cut and restored."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

RTSP_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1"); server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 "
    "! x264enc tune=zerolatency key-int-max=25 ! rtph264pay name=pay0 pt=96 )")
factory.set_shared(True)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""

BROADCAST_SECONDS, LEVELS_A_SECOND = 25, 8


def need_ffmpeg() -> str:
    return shutil.which("ffmpeg") or pytest.skip("ffmpeg is not installed")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def broadcast_file(path: Path, size: str = "320x240", *, is_fine: bool = False) -> Path:
    """Pictures that count: the luma is 20 and ``LEVELS_A_SECOND`` more with every second.

    Args:
        is_fine: one more with every share of a second, instead of all at its end.
    """
    luma = f"floor(T*{LEVELS_A_SECOND})" if is_fine else f"floor(T)*{LEVELS_A_SECOND}"
    picture = f"nullsrc=size={size}:rate=25,geq=lum='{luma}+20':cb=128:cr=128"
    length = str(BROADCAST_SECONDS)
    run = [need_ffmpeg(), "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-t", length]
    subprocess.run(
        [*run, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "2", str(path)], check=True
    )
    return path


class Process:
    """A server that is a program; killed at the end at the latest."""

    def __init__(self, *command: str, ready: bytes = b"", cwd: Path | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE if ready else None, stdin=subprocess.DEVNULL, cwd=cwd
        )
        if ready:
            assert self._process.stdout is not None
            assert ready in self._process.stdout.readline()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def sender(file: Path, *target: str, loop: bool = True) -> Process:
    """ffmpeg sending a file in real time."""
    repeat = ("-stream_loop", "-1") if loop else ()
    return Process(need_ffmpeg(), "-v", "error", "-re", *repeat, "-i", str(file), "-c", "copy", *target)


def rtsp_server(port: int) -> Process:
    python = "/usr/bin/python3"
    found = (
        Path(python).exists()
        and not subprocess.run(
            [python, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not found:
        pytest.skip("gir1.2-gst-rtsp-server-1.0 is not installed")
    return Process(python, "-c", RTSP_SERVER, str(port), ready=b"ready")


class Broadcast(http.server.BaseHTTPRequestHandler):
    """MPEG-TS without an end over HTTP."""

    file: Path

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        command = [need_ffmpeg(), "-v", "error", "-re", "-stream_loop", "-1", "-i", str(self.file)]
        with subprocess.Popen([*command, "-c", "copy", "-f", "mpegts", "-"], stdout=subprocess.PIPE) as sent:
            assert sent.stdout is not None
            with contextlib.suppress(OSError):
                while not self.server.is_cut and (data := sent.stdout.read(1316)):  # type: ignore[attr-defined]
                    self.wfile.write(data)
            sent.kill()

    def log_message(self, *_: object) -> None:
        pass


class Paced(http.server.BaseHTTPRequestHandler):
    """Some bytes, evenly over some seconds; then the connection ends."""

    body: bytes
    seconds: float

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        pieces = [self.body[i : i + 188 * 50] for i in range(0, len(self.body), 188 * 50)]
        with contextlib.suppress(OSError):
            for piece in pieces:
                self.wfile.write(piece)
                time.sleep(self.seconds / len(pieces))

    def log_message(self, *_: object) -> None:
        pass


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class HttpServer:
    """Serves in a thread; ``stop`` ends open replies too."""

    def __init__(self, handler, port: int = 0) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.is_cut = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._server.is_cut = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def ts_server(file: Path, port: int = 0) -> HttpServer:
    return HttpServer(type("Handler", (Broadcast,), {"file": file}), port)


def paced_server(body: bytes, seconds: float) -> HttpServer:
    return HttpServer(type("Handler", (Paced,), {"body": body, "seconds": seconds}))


def file_server(folder: Path, port: int = 0) -> HttpServer:
    return HttpServer(functools.partial(Files, directory=str(folder)), port)


def hls_sender(file: Path, folder: Path) -> Process:
    """A live playlist of one-second segments."""
    folder.mkdir(exist_ok=True)
    options = ("-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "-hls_flags", "delete_segments")
    return sender(file, *options, str(folder / "live.m3u8"))


def wait_for(path: Path, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
