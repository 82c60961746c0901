"""Pictures pushed over a WebSocket: the words of the file, and what is refused, told and bounded."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from svlm_cli import Sampling, StreamSettings, load_model, open_source, stream_video
from svlm_cli.commands.options import ModelChoice
from svlm_cli.commands.stream.channel_file import ChannelBook, ChannelOptions
from svlm_cli.commands.stream.channels_view import ChannelsView
from svlm_cli.commands.stream.fleet import Fleet
from svlm_cli.commands.stream.serving import PageDesk, PushOpener, attend
from svlm_cli.settings import Pace
from svlm_cli.stream.channels.rounds import Rounds
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.web import MOST_BYTES, PageServer
from svlm_cli.types import StepEvent

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
        self.fleet = Fleet(book, ChannelsView([], quiet=True), lambda opened: attend(self.board, opened))
        stack.enter_context(self.fleet)
        self.stop = threading.Event()
        self.rounds = self.fleet.rounds = Rounds(load_model(device="cpu", threads=1), self.stop, stays=True)
        desk = PageDesk(self.fleet, self.board, most=3)
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


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Pushed]:
    with ExitStack() as stack:
        yield Pushed(tmp_path_factory.mktemp("pushed"), stack)


@pytest.fixture(autouse=True)
def _room(page: Pushed) -> None:
    """Whoever sent before has ended."""
    until(lambda: all(hub.has_ended for hub in page.board.hubs.values()))


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


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Five seconds of a match at 8 FPS."""
    with open_source(MATCH) as source:
        return [frame for clip in source.clips(8, 1.0, 0.0, 5.0) for frame in clip.frames]


@pytest.fixture(scope="module")
def expected(frames) -> list[tuple[float, str]]:
    """What is said of the match where it is streamed directly, without what it says of itself."""

    class Silent:
        def __init__(self, source) -> None:
            self._source = source

        def __getattr__(self, name: str) -> object:
            return getattr(self._source, name)

        def opening_text(self, _: float) -> str:
            return ""

    sampling = Sampling(greedy=True, max_new_tokens=4)
    settings = StreamSettings(sampling=sampling, fps=8, duration=5.0, vision_window=2.0, rounds=2)
    with open_source(MATCH) as source:
        events = stream_video(
            load_model(device="cpu", threads=1), Silent(source), replace(settings, pace=Pace.MAX)
        )
        return [(event.start_seconds, event.text) for event in events if isinstance(event, StepEvent)]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_words_are_those_of_the_file(page: Pushed, frames, expected, kind: str) -> None:
    assert any(text for _, text in expected)
    sender = Sender(page)
    for number, frame in enumerate(frames):
        out = io.BytesIO()
        Image.fromarray(frame).save(out, kind, lossless=True)
        sender.send(round(number * 1e6 / 8), out.getvalue())
    events = sender.end()
    assert words(events) == expected
    assert events[0]["type"] == "start"
    assert {event["channel"] for event in events} == {events[0]["channel"]}
    assert warnings(events) == []


CLIENT = re.search(r"```python\n(import json, time\n.*?)```", DOCUMENT, re.DOTALL)


def test_a_client_in_another_process_hears_each_second_in_time(
    page: Pushed, frames, expected, tmp_path: Path
) -> None:
    """The client of the document, at 8 FPS by the clock; it prints when it sent and when it heard."""
    assert CLIENT is not None
    for number, frame in enumerate(frames):
        (tmp_path / f"{number:03d}.png").write_bytes(png(frame))
    code = CLIENT[1].replace(":8000", f":{page.port}")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert [(float(start), text) for start, _, text in told] == expected
    latencies = [float(latency) for _, latency, _ in told]
    assert max(latencies) <= 1.2


def test_what_is_left_out_is_told_once_a_kind(page: Pushed) -> None:
    sender = Sender(page, "?channel=messy")
    sender.send(0, grey(0))
    for time_us, data in (
        (0, grey(1)),
        (125_000, grey(1)),
        (100_000, grey(1)),
        (250_000, b"\xff\xd8\xff no picture"),
        (375_000, b"GIF89a"),
        (500_000, grey(3, 9000, 16)),
        (625_000, grey(3, 40, 30)),
        (10**15, grey(5)),
        (2**64 - 1, grey(5)),
    ):
        sender.send(time_us, data)
    for number in range(8, 25):
        sender.send(number * 125_000, grey(number))
    sender.send(130_000, grey(7))
    events = sender.end()
    told = " ".join(warnings(events))
    for count, kind in (
        (1, "with the time of"),
        (1, "before that of the last"),
        (2, "no whole"),
        (1, "too large"),
    ):
        assert re.search(f"{count} pictures? left out: [^,]*{kind}", told), (kind, told)
    assert re.search("2 pictures left out: more than an hour", told)
    assert re.search("1 picture left out: of a step that was over", told)
    assert [start for start, _ in words(events)] == [0.0, 1.0, 2.0, 3.0]


def test_a_pause_is_a_gap_and_not_a_still(page: Pushed) -> None:
    sender = Sender(page)
    times = [number / 8 for number in range(8)] + [20 + number / 8 for number in range(16)]
    for seconds in times:
        sender.send(round(seconds * 1e6), grey(int(seconds)))
    events = sender.end()
    steps = [event for event in events if event["type"] == "step"]
    assert [event["start_seconds"] for event in steps] == [0.0, 20.0, 21.0]
    assert [event["skipped_seconds"] for event in steps] == [0.0, 19.0, 0.0]


def closed_after(sender: Sender, messages: Iterator[bytes]) -> int:
    """The code that a sender is closed with which does not listen before all is sent."""
    with suppress(ConnectionClosed):
        for message in messages:
            sender.socket.send(message)
    return sender.close_code()


def test_who_sends_more_than_it_has_credit_for_is_closed(page: Pushed) -> None:
    sender = Sender(page)
    assert closed_after(sender, (stamped(number * 125_000, grey(number)) for number in range(200))) == 1008
    assert re.search("credit|a second", sender.socket.close_reason or "")


def test_obedience_is_never_too_fast(page: Pushed) -> None:
    """As fast as credit comes, at the most pictures a second there may be."""
    sender = Sender(page, start=START | {"fps": 60})
    for number in range(150):
        sender.send(round(number * 1e6 / 60), grey(number))
    assert len(words(sender.end())) == 3


@pytest.mark.parametrize(
    "first",
    [
        "", "{", "[]", '{"type": "end"}', '"start"', b"\0" * 9, json.dumps(START | {"fps": 0}), "[" * 5000,
        json.dumps(START | {"fps": 61}), json.dumps(START | {"fps": "8"}), json.dumps(START | {"width": 15}),
        json.dumps(START | {"width": 1e3}), json.dumps(START | {"width": 8192, "height": 8192}),
        json.dumps(START | {"title": "@/etc/passwd"}), json.dumps(START | {"title": "x" * 201}),
        json.dumps(START | {"fps": float("nan")}),
    ],
)  # fmt: skip
def test_what_is_no_start_is_told_and_closed(page: Pushed, first: str | bytes) -> None:
    with page.open() as socket:
        socket.send(first)
        told = json.loads(socket.recv(timeout=30))
        assert set(told) == {"error", "hint"}
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert socket.close_code == 1008


@pytest.mark.parametrize("message", ["{}", "no JSON", '{"type": "start"}', b"1234567", b"", b"12345678"])
def test_what_is_neither_picture_nor_end_closes(page: Pushed, message: str | bytes) -> None:
    sender = Sender(page)
    sender.send(0, grey())
    sender.socket.send(message)
    assert sender.close_code() == 1008


def test_a_message_too_large_closes_with_1009(page: Pushed) -> None:
    sender = Sender(page)
    sender.hear()
    assert closed_after(sender, iter([b"\0" * (MOST_BYTES + 1)])) == 1009
    whole = Sender(page)
    whole.send(0, grey() + b"\0" * (MOST_BYTES - len(grey()) - 8))
    assert words(whole.end())


def test_without_the_subprotocol_it_is_closed(page: Pushed) -> None:
    with connect(f"ws://127.0.0.1:{page.port}/push") as socket:
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert socket.close_code == 1008


def test_pages_of_others_and_other_paths_get_no_socket(page: Pushed) -> None:
    for headers, path, status in (
        ({"Origin": "https://evil.example"}, "push", 403),
        ({}, "events", 404),
        ({}, "static/page.js", 404),
        ({}, "", 404),
    ):
        with pytest.raises(InvalidStatus) as refused:
            page.open(path=path, additional_headers=headers).__enter__()
        assert refused.value.response.status_code == status
    with page.open(additional_headers={"Origin": f"http://127.0.0.1:{page.port}"}) as socket:
        assert socket.subprotocol == PROTOCOL


def test_there_is_room_for_so_many(page: Pushed) -> None:
    senders = [Sender(page, f"?channel=room-{number}") for number in range(3)]
    for sender in senders:
        sender.hear()
    one_more = Sender(page)
    assert "3 channels run already" in one_more.hear()["error"]
    assert one_more.close_code() == 1008
    doubled = Sender(page, "?channel=room-1")
    assert "error" in doubled.hear()
    for sender in senders:
        sender.send(0, grey())
        sender.end()
    again = Sender(page, "?channel=room-1")  # its name is free again
    again.send(0, grey())
    assert words(again.end())


def test_a_sender_that_is_gone_ends_its_channel_alone(page: Pushed) -> None:
    stays, goes = Sender(page, "?channel=stays"), Sender(page, "?channel=goes")
    for number in range(16):
        stays.send(number * 125_000, grey(number))
        goes.send(number * 125_000, grey(number))
    goes.socket.socket.close()
    until(lambda: page.board.hubs["goes"].has_ended)
    for number in range(16, 32):
        stays.send(number * 125_000, grey(number))
    assert len(words(stays.end())) == 4
    kept = [json.loads(message.text) for message in page.board.hubs["goes"].kept(0)]
    assert "the sender is gone" in " ".join(warnings(kept))


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_ended_channels_do_not_pile_up(page: Pushed) -> None:
    for _ in range(14):
        sender = Sender(page)
        sender.send(0, grey())
        sender.end()
    until(lambda: len(page.board.hubs) <= 12)


def test_off_loopback_it_wants_the_token(tmp_path: Path) -> None:
    with ExitStack() as stack:
        page = Pushed(tmp_path, stack, "0.0.0.0", "secret")
        with pytest.raises(InvalidStatus) as refused:
            page.open().__enter__()
        assert refused.value.response.status_code == 401
        with page.open(additional_headers={"Authorization": "Bearer secret"}) as socket:
            assert socket.subprotocol == PROTOCOL


@contextmanager
def goes_on(page: Pushed) -> Iterator[None]:
    """Whatever happens meanwhile, another sender is heard to its end."""
    other = Sender(page, "?channel=other")
    for number in range(8):
        other.send(number * 125_000, grey(number))
    yield
    for number in range(8, 16):
        other.send(number * 125_000, grey(number))
    assert len(words(other.end())) == 2


def test_random_bytes_end_nothing(page: Pushed, capfd) -> None:
    chance = random.Random(5)
    with goes_on(page):
        for _ in range(25):
            try:
                with page.open(close_timeout=1) as socket:
                    if chance.random() < 0.8:
                        socket.send(json.dumps(START))
                    for _ in range(chance.randint(1, 6)):
                        mixed = [
                            chance.randbytes(chance.randint(0, 4000)),
                            stamped(chance.randrange(2**64), chance.choice([grey(), b"\x89PNG\r\n\x1a\n"])),
                            stamped(0, damaged(chance)),
                            json.dumps({"type": chance.choice(["start", "end", "", None, "credit"])}),
                            "\ud7ff" * chance.randint(0, 3000),
                        ]
                        socket.send(chance.choice(mixed))
                    if chance.random() < 0.3:
                        socket.socket.sendall(chance.randbytes(60))
            except ConnectionClosed:
                pass
    assert capfd.readouterr().err == ""


def damaged(chance: random.Random) -> bytes:
    data = bytearray(png(np.zeros((112, 168, 3), dtype=np.uint8), chance.choice(["PNG", "JPEG", "WEBP"])))
    for _ in range(chance.randint(1, 9)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.randint(1, len(data))])
