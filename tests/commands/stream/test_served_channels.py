"""Several channels on one page: shown, asked, added and removed over HTTP while the others run."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from svlm_cli.cli import run
from tests.stream.served import free_port

MATCH = "arena:soccer,seed={seed},minutes=inf,size=168x112"
SMALL = ["--max-new-tokens", "3", "--vision-window", "2", "--rounds", "2", "--greedy"]


class Client:
    """What a program sees of the page."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, method: str, path: str, content: object = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            body = None if content is None else json.dumps(content).encode()
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def channels(self) -> dict[str, str]:
        """Condition of each, by name; nothing while there is no page."""
        try:
            listed = json.loads(self("GET", "/channels")[1])["channels"]
        except OSError:
            return {}
        return {each["name"]: each["condition"] for each in listed}

    def until(self, is_so: Callable[[dict[str, str]], object]) -> None:
        end = time.monotonic() + 60
        while not is_so(found := self.channels()):
            assert time.monotonic() < end, found
            time.sleep(0.05)


def served_while(arguments: list[str], visit: Callable[[Client], None]) -> int:
    """Run ``svlm stream`` with a page in this process while a visitor uses it, then end it by Ctrl-C."""
    client, problems = Client(free_port()), []

    def work() -> None:
        try:
            visit(client)
        except BaseException as error:
            problems.append(error)
        os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=work)
    visitor.start()
    code = run(["stream", *arguments, *SMALL, "--json", "--serve", f"127.0.0.1:{client.port}"])
    visitor.join()
    if problems:
        raise problems[0]
    return code


def test_channels_are_added_asked_and_removed_while_others_run(tmp_path, capfd) -> None:
    sources = [MATCH.format(seed=seed) for seed in (1, 2)]
    kept = ["--out", str(tmp_path / "{name}.vtt")]

    def visit(client: Client) -> None:
        client.until(lambda found: list(found.values()) == ["running"] * 2)
        first, second = client.channels()
        assert client("GET", f"/picture?channel={first}")[0] == 200
        more = {"source": MATCH.format(seed=3), "name": "third", "title": "Cup", "fps": 2}
        assert client("POST", "/channels", more) == (201, b'{"name":"third"}')
        client.until(lambda found: found.get("third") == "running")
        status, body = client("POST", "/channels", more | {"name": "fourth"})
        assert (status, b"3 channels run already" in body) == (400, True)
        status, body = client("POST", "/ask?channel=third", {"question": "Who has the ball?"})
        assert status == 202
        until_answered(client, json.loads(body)["id"])
        assert client("DELETE", f"/channels?channel={first}")[0] == 200
        client.until(lambda found: first not in found)
        assert set(client.channels()) == {second, "third"}
        assert client("DELETE", "/channels?channel=nobody")[0] == 404
        assert client("GET", "/health")[0] == 200

    assert served_while([*sources, *kept, "--max-channels", "3"], visit) == 130
    told = capfd.readouterr()
    events = [json.loads(line) for line in told.out.splitlines()]
    assert {event["channel"] for event in events} >= {"third"}
    assert len([event for event in events if event["type"] == "end"]) == 3
    assert (tmp_path / "third.vtt").read_text().startswith("WEBVTT")


def until_answered(client: Client, number: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        lines = client("GET", "/events.jsonl?channel=third")[1].splitlines()
        answers = [event for event in map(json.loads, lines) if event["type"] == "answer"]
        if answers:
            assert [each["id"] for each in answers] == [number]
            return
        time.sleep(0.05)
    raise AssertionError("never answered")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"source": "/etc/passwd"},
        {"source": "file:///etc/passwd"},
        {"source": "-"},
        {"source": "camera:0"},
        {"source": "push:"},
        {"source": 7},
        {"source": "arena:soccer", "out": "/tmp/x.vtt"},
        {"source": "arena:soccer", "previous_text": "@/etc/passwd"},
        {"source": "arena:soccer", "save_state": "x"},
        {"source": "arena:soccer", "model": "other"},
        {"source": "arena:soccer", "name": "../x"},
        {"source": "arena:soccer", "name": "a/b"},
        {"source": "arena:soccer", "fps": "fast"},
        {"source": "arena:soccer", "fps": 1e9},
        {"source": "arena:soccer", "fps": "1000"},
        {"source": "arena:soccer?seed=nothing"},
        {"source": "http://127.0.0.1:9/none.m3u8"},
        {"source": "arena:soccer", "name": "taken"},
    ],
    ids=str,
)
def test_what_the_page_may_not_add(entry, desk) -> None:
    status, body = desk("POST", "/channels", entry)
    assert status in (400, 502)
    assert set(json.loads(body)) == {"error", "hint"}
    assert b"secret" not in body
    assert list(desk.channels()) == ["only"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The page of one channel of a file that may have more, in a stream of its own."""
    from contextlib import ExitStack

    from svlm_cli import load_model
    from svlm_cli.commands.options import ModelChoice
    from svlm_cli.commands.stream.channel_file import ChannelBook, ChannelOptions
    from svlm_cli.commands.stream.channels_view import ChannelsView
    from svlm_cli.commands.stream.fleet import Fleet
    from svlm_cli.commands.stream.serving import PageDesk, attend
    from svlm_cli.stream.channels.rounds import Rounds
    from svlm_cli.stream.page.board import Board
    from svlm_cli.stream.page.web import PageServer

    with ExitStack() as stack:
        board = Board(tmp_path_factory.mktemp("board"), is_several=True)
        kept = {"save_state": tmp_path_factory.mktemp("secret") / "{name}.svlm"}
        (kept["save_state"].parent / "taken.svlm").mkdir()
        book = ChannelBook(ChannelOptions().changed(kept), ModelChoice())
        fleet = stack.enter_context(
            Fleet(book, (view := ChannelsView(["only"], quiet=True)), lambda opened: attend(board, opened))
        )
        fleet.rounds = Rounds(load_model(device="cpu", threads=1), stays=True)
        desk = PageDesk(fleet, board, view, most=4)
        server = stack.enter_context(PageServer(board, ("127.0.0.1", 0), desk=desk))
        assert desk.add({"source": MATCH.format(seed=4), "name": "only"}) == "only"
        yield Client(int(server.url.rstrip("/").rpartition(":")[2]))
