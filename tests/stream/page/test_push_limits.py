"""What a sender of pictures may not do: it is told and closed, and all others are heard."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from svlm_cli.stream.page import push
from svlm_cli.stream.page.taking import Refused, answered
from svlm_cli.stream.page.web import MOST_BYTES
from tests.stream.page.answering import answer_to, require_error
from tests.stream.page.pushing import (
    DOCUMENT,
    PROTOCOL,
    START,
    Pushed,
    Sender,
    closed_after,
    grey,
    png,
    stamped,
    until,
    words,
)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Pushed]:
    with ExitStack() as stack:
        yield Pushed(tmp_path_factory.mktemp("pushed"), stack)


@pytest.fixture(autouse=True)
def _room(page: Pushed) -> None:
    """Whoever sent before has ended."""
    until(lambda: all(hub.has_ended for hub in page.board.hubs.values()))


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
        json.dumps(START | {"fps": float("nan")}), json.dumps(START | {"fps": True}),
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


def test_a_handshake_that_is_none_is_refused_in_json(page: Pushed) -> None:
    asked = "GET /push HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    for key in ("", "Sec-WebSocket-Key: short\r\n"):
        status, body, headers = answer_to(page.port, f"{asked}{key}\r\n".encode())
        assert status in (400, 426)
        require_error(body, headers)


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
        assert set(json.loads(refused.value.response.body)) == {"error", "hint"}
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
def loading(page: Pushed) -> Iterator[Callable[[], None]]:
    """The page while its model is being loaded; what is given ends that."""
    rounds, page.fleet.rounds = page.fleet.rounds, None

    def loaded() -> None:
        page.fleet.rounds = rounds

    try:
        yield loaded
    finally:
        loaded()


def test_who_comes_early_waits_and_is_served(page: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "WAIT_SECONDS", 0.05)
    names = list(page.board.hubs)
    with loading(page) as loaded:
        gone, ends, hasty, sender = (Sender(page) for _ in range(4))
        for each in (gone, ends, hasty, sender):
            for _ in range(3):
                assert each.hear() == {"type": "wait", "reason": "the model is still being loaded"}
        gone.socket.close()
        ends.socket.send('{"type": "end"}')
        assert ends.close_code() == 1000
        hasty.socket.send(stamped(0, grey()))
        assert hasty.close_code() == 1008
        assert list(page.board.hubs) == names
        loaded()
        for number in range(8):
            sender.send(number * 125_000, grey(number))
        assert len(words(sender.end())) == 1
    assert len(page.board.hubs) <= len(names) + 1


def test_the_client_of_the_document_waits_too(page: Pushed, tmp_path: Path) -> None:
    for number in range(16):
        (tmp_path / f"{number:03d}.png").write_bytes(grey(9 * number))
    code = re.search(r"```python\n(import json, time\n.*?)```", DOCUMENT, re.DOTALL)[1]
    with loading(page) as loaded:
        command = [sys.executable, "-c", code.replace(":8000", f":{page.port}")]
        child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        time.sleep(1.5)
        assert child.poll() is None
        loaded()
        told = [line.split(" ", 2) for line in child.communicate(timeout=30)[0].splitlines()]
    assert [float(start) for start, *_ in told] == [0.0, 1.0]
    assert all(-1.0 < float(late) < 2.0 for _, late, *_ in told)


def test_a_channel_that_is_added_early_is_503(page: Pushed) -> None:
    with loading(page), pytest.raises(Refused) as refused:
        asyncio.run(answered(lambda: page.fleet.add({"source": "arena:soccer"})))
    assert refused.value.status == 503
    assert not [name for name in page.board.hubs if "soccer" in name]


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
            except (ConnectionClosed, OSError):  # of a socket that is closed meanwhile
                pass
    assert capfd.readouterr().err == ""


def damaged(chance: random.Random) -> bytes:
    data = bytearray(png(np.zeros((112, 168, 3), dtype=np.uint8), chance.choice(["PNG", "JPEG", "WEBP"])))
    for _ in range(chance.randint(1, 9)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.randint(1, len(data))])
