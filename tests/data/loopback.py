"""A server of videos on loopback that misbehaves where it is told to."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 16 * 1024


@dataclass
class Site:
    """What is served, and what was asked.

    Args:
        files: content by path.
        cut: how many requests for a path end in the middle, the connection closed.
        status: answered instead of the content.
        bytes_per_second: of a path that is served slowly.
        loops: paths that lead to themselves.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    status: Mapping[str, int] = field(default_factory=dict)
    bytes_per_second: Mapping[str, float] = field(default_factory=dict)
    loops: frozenset[str] = frozenset()
    address: str = ""
    served_bytes: Counter[str] = field(default_factory=Counter)
    starts: dict[str, list[int]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f"{self.address}{path}"


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


_TYPES = {
    "mp4": "video/mp4",
    "m3u8": "application/vnd.apple.mpegurl",
    "ts": "video/mp2t",
    "html": "text/html; charset=utf-8",
    "vtt": "text/vtt",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        if path in self.site.loops:
            self._headers(302, b"", {"Location": self.path})
            return
        status = self.site.status.get(path, 200 if path in self.site.files else 404)
        if status != 200:
            self._headers(status, b"no\n", {})
            self.wfile.write(b"no\n" if with_body else b"")
            return
        body = self.site.files[path]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if start >= len(body) > 0:
            self._headers(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            return
        piece = body[start : int(asked[2]) + 1 if asked and asked[2] else len(body)]
        about = {"Content-Type": _TYPES.get(path.rsplit(".", 1)[-1], "application/octet-stream")}
        if asked:
            about["Content-Range"] = f"bytes {start}-{start + len(piece) - 1}/{len(body)}"
        self._headers(206 if asked else 200, piece, about)
        if with_body:
            self._send(path, start, piece)

    def _headers(self, status: int, body: bytes, more: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**more, "Accept-Ranges": "bytes", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, path: str, start: int, body: bytes) -> None:
        self.site.starts.setdefault(path, []).append(start)
        is_cut = self.site.cut.get(path, 0) > 0 and len(body) > BLOCK
        if is_cut:
            self.site.cut[path] -= 1
            body = body[: len(body) // 2]
        rate = self.site.bytes_per_second.get(path)
        for first in range(0, len(body), BLOCK):
            piece = body[first : first + BLOCK]
            self.wfile.write(piece)
            self.site.served_bytes[path] += len(piece)
            if rate:
                time.sleep(len(piece) / rate)
        if is_cut:
            self.close_connection = True
            self.connection.close()
