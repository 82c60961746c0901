"""A page that is served in this process, and what tests say and ask over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.hub import Hub
from svlm_cli.stream.page.web import PageServer
from svlm_cli.stream.questions import Questions
from svlm_cli.types import Clip, StartEvent, StepEvent, StepTimings

START = StartEvent("0", "made up", "nobody", "cpu", "float32", {"fps": 2.0, "policy": "streaming"})


def said(index: int, text: str = "", **more: float) -> StepEvent:
    return StepEvent(
        index, float(index), index + 1.0, text, 2, 3, 900, 500, 100, timings=StepTimings(total=0.25), **more
    )


def shown(index: int, level: int = 200) -> Clip:
    return Clip(index, float(index), index + 1.0, np.full((2, 90, 160, 3), level, dtype=np.uint8))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Served:
    board: Board
    hub: Hub
    questions: Questions
    server: PageServer
    port: int

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers (lower case) of one request; ``_`` in a header's name is ``-``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
        finally:
            connection.close()

    def ask(self, question: object, **headers: str) -> int:
        body = json.dumps({"question": question}).encode()
        return self.request("POST", "/ask", body, **({"Content_Type": "application/json"} | headers))[0]


@contextmanager
def served(
    folder: Path,
    host: str = "127.0.0.1",
    token: str = "",
    port: int = 0,
    names: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> Iterator[Served]:
    """A page of one stream, or of channels with names."""
    board = Board(folder, is_several=bool(names))
    hubs = [board.add(name) for name in names or ("",)]
    port = port or free_port()
    with PageServer(board, (host, port), token, origins) as server:
        yield Served(board, hubs[0], hubs[0].questions, server, port)
        board.close()


class Viewer:
    """Reads the events of a page as a browser does."""

    def __init__(
        self, page: Served, last_event_id: str = "", small_buffer: bool = False, query: str = ""
    ) -> None:
        self._socket = socket.socket()
        if small_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(10)
        self._socket.connect(("127.0.0.1", page.port))
        lines = [f"GET /events{query} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"]
        if last_event_id:
            lines.append(f"Last-Event-ID: {last_event_id}\r\n")
        self._socket.sendall("".join([*lines, "\r\n"]).encode())
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        while self._file.readline().strip():
            pass

    def messages(self) -> Iterator[tuple[str, dict[str, object]]]:
        """(id, event) of each message until the stream or the server ends."""
        last_id = ""
        for line in self._file:
            if line == b"0\r\n":  # the last chunk
                return
            field, _, value = line.decode().rstrip("\r\n").partition(": ")
            if field == "id":
                last_id = value
            elif field == "data":
                event = json.loads(value)
                yield last_id, event
                if event["type"] == "end":
                    return

    def close(self) -> None:
        self._file.close()
        self._socket.close()
