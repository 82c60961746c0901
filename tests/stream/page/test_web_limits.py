"""What one who means ill may hold of a stream: connections for seconds, and no descriptor of a save."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from svlm_cli.stream.page import limits as web_limits
from svlm_cli.stream.page.audience import MAX_VIEWERS
from tests.stream.served import START, Served, said, served

REQUEST = b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n"
SECONDS = 0.6


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A page with little patience, and room for 40."""
    for name in ("REQUEST_SECONDS", "SEND_SECONDS"):
        monkeypatch.setattr(web_limits, name, SECONDS)
    monkeypatch.setattr(web_limits, "MOST_CONNECTIONS", 40)
    with served(tmp_path) as running:
        yield running


def connect(page: Served) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", page.port))
    connection.settimeout(20)
    return connection


def answered(connection: socket.socket) -> bytes:
    """A whole answer that states its length."""
    answer = connection.makefile("rb", buffering=0)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = answer.read(1)
        assert piece
        head += piece
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    rest = int(length.partition(b":")[2])
    while rest:
        rest -= len(answer.read(rest))
    return head


def seconds_until_closed(connection: socket.socket, drip: bytes = b"") -> float:
    """How long it stays open, while it is sent a byte now and then."""
    began = time.monotonic()
    connection.settimeout(SECONDS / 8)
    while time.monotonic() - began < 30:
        try:
            if not connection.recv(65536):
                break
        except TimeoutError:
            try:
                connection.sendall(drip)
            except OSError:
                break
        except OSError:
            break
    return time.monotonic() - began


def test_one_too_many_is_told_before_it_says_a_word(page: Served) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(page)) for _ in range(40)]
        one_more = stack.enter_context(connect(page))
        assert one_more.recv(65536).startswith(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close")
        assert seconds_until_closed(silent[0]) < 20
        assert page.request("GET", "/")[0] == 200


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b""),
        (b"", b"G"),
        (b"GET / HTTP/1.1\r\nX: ", b"y"),
        (POST + b"Content-Type: application/json\r\n\r\n{", b" "),
        (POST + b"\r\n", b" "),  # refused at once
    ],
)
@pytest.mark.parametrize("num_whole", [0, 2])
def test_a_request_must_be_whole_in_time_whichever_it_is(page: Served, begin, drip, num_whole) -> None:
    with connect(page) as connection:
        for _ in range(num_whole):
            connection.sendall(REQUEST)
            assert answered(connection).startswith(b"HTTP/1.1 200")
            time.sleep(SECONDS / 2)  # so that the connection is older than a request may be
        connection.sendall(begin or b"G" * (num_whole > 0))
        seconds = seconds_until_closed(connection, drip)
        assert 0.5 * SECONDS < seconds < 8


def test_requests_sent_at_once_are_all_answered_and_the_last_half_is_not_waited_for(page: Served) -> None:
    with connect(page) as connection:
        connection.sendall(REQUEST * 3 + REQUEST[:20])
        for _ in range(3):
            assert answered(connection).startswith(b"HTTP/1.1 200")
        assert seconds_until_closed(connection) < 8


def test_a_reader_that_takes_nothing_is_let_go(page: Served) -> None:
    page.hub.publish(START)
    page.hub.publish(said(0))
    with page.hub.events_path.open("ab") as file:
        file.write(b"x" * 10_000_000)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", page.port))
        connection.sendall(b"GET /events.jsonl HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        time.sleep(SECONDS * 5)
        connection.settimeout(10)
        taken = 0
        try:
            while piece := connection.recv(1 << 20):
                taken += len(piece)
        except ConnectionResetError:
            pass
        assert taken < 9_000_000  # of ten


def test_who_is_in_no_hurry_but_asks_properly_keeps_its_connection(page: Served) -> None:
    with connect(page) as connection:
        for _ in range(3):
            connection.sendall(REQUEST)
            assert answered(connection).startswith(b"HTTP/1.1 200")
            time.sleep(1.5 * SECONDS)  # longer than a request may take to come


def test_asking_now_and_then_keeps_nobody_out(page: Served) -> None:
    """Forty connections, each with a whole request: those beyond a half end with their answer."""
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(page)) for _ in range(40)]
        for each in crowd:
            each.sendall(REQUEST)
        for each in crowd:
            assert answered(each).startswith(b"HTTP/1.1 200")
        time.sleep(0.2)
        held = []
        for each in crowd:
            each.setblocking(False)
            try:
                assert each.recv(1) == b""
            except BlockingIOError:
                held.append(each)
        assert len(held) == 20
        assert page.request("GET", "/")[0] == 200
        held[0].setblocking(True)
        held[0].sendall(REQUEST)
        assert answered(held[0]).startswith(b"HTTP/1.1 200")


def test_of_many_viewers_at_once_those_beyond_the_limit_are_told(tmp_path: Path) -> None:
    with served(tmp_path) as page:
        page.hub.publish(START)
        sockets = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(200)]
        try:
            for each in sockets:  # all ask before any is answered
                each.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answers = []
            for each in sockets:
                each.settimeout(20)
                answers.append(each.recv(12))
            assert answers.count(b"HTTP/1.1 200") == MAX_VIEWERS
            assert answers.count(b"HTTP/1.1 503") == 200 - MAX_VIEWERS
        finally:
            for each in sockets:
                each.close()


def test_no_more_than_half_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, most in ((1024, 512), (256, 128), (64, 32), (1 << 20, 512), (resource.RLIM_INFINITY, 512)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert web_limits.most_connections() == most
        if soft != resource.RLIM_INFINITY:
            assert web_limits.most_connections() + web_limits.most_downloads() <= 5 / 8 * soft


SAVING = """
import json, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
from svlm_cli.files import whole_file
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.web import PageServer
folder = Path(sys.argv[1])
with PageServer(Board(folder), ("127.0.0.1", 0)) as server:
    print(server.url, flush=True)
    saved, failures = 0, []
    until = time.monotonic() + 60
    while not (folder / "enough").exists() and time.monotonic() < until:
        try:
            with whole_file(folder / "state") as partial:
                partial.write_text("kept")
            saved += 1
        except OSError as error:
            failures.append(str(error))
        time.sleep(0.01)
    print(json.dumps([saved, failures]), flush=True)
"""


def test_silent_connections_take_no_descriptor_from_a_save_and_write_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SAVING, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    port = int(child.stdout.readline().rstrip("/\n").rpartition(":")[2])
    silent = []
    until = time.monotonic() + 2.0
    while time.monotonic() < until:  # again and again, as they are closed
        silent.append(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.002)
    (tmp_path / "enough").touch()
    out, err = child.communicate(timeout=60)
    for each in silent:
        each.close()
    saved, failures = json.loads(out)
    assert saved > 5
    assert failures == []
    assert err == ""
