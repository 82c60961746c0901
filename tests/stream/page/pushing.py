"""A page that takes pictures, in this process, and one who sends them."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from svlm_cli import load_model
from svlm_cli.commands.options import ModelChoice
from svlm_cli.commands.stream.channel_file import ChannelBook, ChannelOptions
from svlm_cli.commands.stream.channels_view import ChannelsView
from svlm_cli.commands.stream.fleet import Fleet
from svlm_cli.commands.stream.serving import PageDesk, PushOpener, attend
from svlm_cli.stream.channels.rounds import Rounds
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.web import PageServer

PROTOCOL = "svlm.push.v1"
START = {"type": "start", "fps": 8, "width": 168, "height": 112}
MATCH = "arena:soccer?seed=11&minutes=1&size=168x112"
DOCUMENT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
WORDS = {"max_new_tokens": 4, "greedy": True, "fps": 8.0, "vision_window": 2.0, "rounds": 2}


class Pushed:
    """A page that takes pictures, over a model that runs in a thread of this process."""

    def __init__(self, folder: Path, stack: ExitStack, host: str = "127.0.0.1", token: str = "") -> None:
        self.board = Board(folder, is_several=True)
        book = ChannelBook(ChannelOptions().changed(WORDS), ModelChoice())
        self.fleet = Fleet(
            book, (view := ChannelsView([], quiet=True)), lambda opened: attend(self.board, opened)
        )
        stack.enter_context(self.fleet)
        self.stop = threading.Event()
        self.rounds = self.fleet.rounds = Rounds(load_model(device="cpu", threads=1), self.stop, stays=True)
        desk = PageDesk(self.fleet, self.board, view, most=3)
        opener = PushOpener(self.fleet, self.board, desk)
        server = stack.enter_context(PageServer(self.board, (host, 0), token, opener=opener))
        self.port = int(re.search(r":(\d+)/", server.url)[1])
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        stack.callback(self.close)

    def _run(self) -> None:
        try:
            for told in self.rounds.events():
                self.fleet.pass_on(told)
        except BaseException as error:
            self.failure = error

    def close(self) -> None:
        self.stop.set()
        self._thread.join(30)
        self.board.close()
        assert self.failure is None

    def open(self, query: str = "", path: str = "push", **more) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/{path}{query}", subprotocols=[PROTOCOL], **more)


def png(frame: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(frame).save(out, kind)
    return out.getvalue()


def grey(level: int = 0, width: int = 168, height: int = 112) -> bytes:
    return png(np.full((height, width, 3), level % 256, dtype=np.uint8))


def stamped(microseconds: int, data: bytes) -> bytes:
    return microseconds.to_bytes(8, "big") + data


class Sender:
    """One who obeys the protocol: waits for credit, keeps the events."""

    def __init__(self, page: Pushed, query: str = "", start: dict | None = None) -> None:
        self.socket = page.open(query).__enter__()
        self.socket.send(json.dumps(START if start is None else start))
        self.credit = 0
        self.events: list[dict] = []
        self.received: list[float] = []

    def hear(self, timeout: float | None = 30) -> dict:
        message = json.loads(self.socket.recv(timeout=timeout))
        if message.get("type") == "credit":
            self.credit += message["frames"]
        else:
            self.events.append(message)
            self.received.append(time.monotonic())
        return message

    def send(self, microseconds: int, data: bytes) -> None:
        while not self.credit:
            self.hear()
        self.credit -= 1
        self.socket.send(stamped(microseconds, data))

    def end(self) -> list[dict]:
        """Whatever is still told, up to the end."""
        self.socket.send('{"type": "end"}')
        while not self.events or self.events[-1]["type"] != "end":
            self.hear()
        with pytest.raises(ConnectionClosed):
            self.socket.recv(timeout=30)
        assert self.socket.close_code == 1000
        return self.events

    def close_code(self) -> int:
        try:
            while True:
                self.hear()
        except ConnectionClosed:
            assert self.socket.close_code is not None
            return self.socket.close_code


def words(events: list[dict]) -> list[tuple[float, str]]:
    return [(event["start_seconds"], event["text"]) for event in events if event["type"] == "step"]


def warnings(events: list[dict]) -> list[str]:
    return [event["message"] for event in events if event["type"] == "warning"]


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def closed_after(sender: Sender, messages: Iterator[bytes]) -> int:
    """The code that a sender is closed with which does not listen before all is sent."""
    with suppress(ConnectionClosed):
        for message in messages:
            sender.socket.send(message)
    return sender.close_code()
