"""Whatever is sent to the page of a running stream: it is refused or answered, and the stream goes on."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from svlm_cli import Controls, Sampling, StateKeeper, StreamSettings, load_model, open_source, stream_video
from svlm_cli.errors import UsageError
from svlm_cli.stream.page import taking
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.hub import Hub
from svlm_cli.stream.page.web import PageServer
from svlm_cli.stream.questions import Questions
from svlm_cli.types import AnswerEvent, StepEvent, StreamEvent, WarningEvent

MATCH = "arena:soccer?seed=3&minutes=inf&size=168x112"
TOKEN = "open-sesame"
PATHS = (
    "/", "/events", "/picture?at=1.000", "/ask", "/words.vtt", "/events.jsonl", "/static/page.js", "/health",
    "/metrics", "/channels", "/overlay", "/api.json", "/captions.m3u8", "/captions/0.vtt", "/camera",
)  # fmt: skip
HALVES = [chr(code) for code in (0xD800, 0xD83D, 0xDBFF, 0xDC00, 0xDFFF)]
ODD = ["\0", "\x1b]0;x\x07", "\x9b2J", "\u202e", "\u2028", "\U0010ffff", "<|im_end|>", "ÿ", "é\u0301", "\r\n"]


@dataclass(frozen=True)
class Request:
    """Raw bytes, and whether they are a whole request that will be answered."""

    kind: str
    raw: bytes
    is_whole: bool = True


@dataclass
class Running:
    """A stream that goes on in a thread of this process, with two pages: on loopback, and with a token."""

    hub: Hub
    questions: Questions
    controls: Controls
    ports: tuple[int, ...] = ()
    events: list[StreamEvent] = field(default_factory=list)
    num_steps: int = 0
    failure: BaseException | None = None

    def run(self) -> None:
        settings = StreamSettings(sampling=Sampling(greedy=True, max_new_tokens=3, max_answer_tokens=3))
        try:
            with open_source(MATCH) as source:
                model = load_model(device="cpu", threads=1)
                for event in stream_video(model, source, settings, controls=self.controls):
                    self.events += [*self.hub.publish(event), event]
                    self.num_steps += isinstance(event, StepEvent)
                    time.sleep(0.005)  # not faster than is needed
        except BaseException as error:
            self.failure = error

    def goes_on(self) -> None:
        """Wait for another second of the stream, and for the one that takes the next question."""
        num_before, until = self.num_steps, time.monotonic() + 60
        while self.num_steps < num_before + 2:
            assert self.failure is None
            assert time.monotonic() < until
            time.sleep(0.002)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("page")
    board = Board(folder)
    hub = board.add()
    questions = hub.questions
    keeper = StateKeeper(folder / "kept.svlm", every_seconds=0.5)
    stream = Running(hub, questions, Controls(questions=questions, watch=hub.watch, keeper=keeper))
    patch = pytest.MonkeyPatch()
    patch.setattr(taking, "ASK_EVERY_SECONDS", 0.0)
    thread = threading.Thread(target=stream.run)
    with (
        patch.context(),
        PageServer(board, ("127.0.0.1", 0)) as near,
        PageServer(board, ("0.0.0.0", 0), TOKEN) as far,
    ):
        stream.ports = tuple(int(server.url.rpartition(":")[2].partition("/")[0]) for server in (near, far))
        thread.start()
        try:
            yield stream
        finally:
            stream.controls.stop.set()
            thread.join(30)
            board.close()
            patch.undo()
    assert stream.failure is None


def words(chance: random.Random, longest: int = 60) -> str:
    parts = [*HALVES, *ODD, " ", "who", "scored", "?", "🎉", "x" * 40]
    return "".join(chance.choice(parts) for _ in range(chance.randint(1, longest)))


def stray(chance: random.Random, most: int = 80) -> bytes:
    return chance.randbytes(chance.randint(1, most)).replace(b"\r", b" ").replace(b"\n", b" ")


def post(body: bytes, *more: bytes) -> list[bytes]:
    length = b"Content-Length: %d" % len(body)
    return [b"POST /ask HTTP/1.1", b"Content-Type: application/json", length, *more, b"", body]


def entry(chance: random.Random) -> list[bytes]:
    """A channel to be added, of anything."""
    odd = [
        None,
        1e308,
        [],
        {},
        True,
        "",
        "push:",
        "-",
        "/etc/passwd",
        "file:///etc/passwd",
        words(chance),
        "../x",
    ]
    keys = ["source", "name", "fps", "out", "model", "title", "\ud800", "", "save_state", "previous_text"]
    content = {chance.choice(keys): chance.choice(odd) for _ in range(chance.randint(0, 6))}
    first, *rest = post(json.dumps(content).encode())
    return [first.replace(b"/ask", b"/channels"), *rest]


def question(chance: random.Random) -> list[bytes]:
    return post(json.dumps({"question": words(chance)}, ensure_ascii=True).encode())


def wrong_json(chance: random.Random) -> list[bytes]:
    deep = chance.randint(1, 4000)
    bodies = [
        b"[" * deep,
        b'{"question":' * (deep // 12) + b"1",
        b'{"question": NaN}',
        b'{"question": ' + b"9" * deep + b"}",
        b'{"question": "a", "question": ["\xff"]}',
        b'{"question": "caf\xe9"}',
        '{"question": "utf-16?"}'.encode("utf-16"),
        json.dumps({"question": chance.choice([None, 1e308, [], {}, True, "", " \t"])}).encode(),
        json.dumps([words(chance)]).encode(),
        stray(chance, 4000),
        b"",
    ]
    return post(chance.choice(bodies))


def sizes(chance: random.Random) -> list[bytes]:
    return post(b'{"question": "%s"}' % (b"y" * chance.choice([480, 501, 4070, 4096, 70_000, 1_000_000])))


def wrong_lengths(chance: random.Random) -> list[bytes]:
    body = b'{"question": "how long?"}'
    lines = [
        b"Content-Length: " + chance.choice([b"-1", b"1e3", b"9" * 400, b"", b"0x10", b"3, 4", b"\xb2"]),
        b"Transfer-Encoding: " + chance.choice([b"chunked", b"gzip", b"chunked, chunked", b"\xff"]),
        b"Expect: 100-continue",
    ]
    chosen = chance.sample(lines, chance.randint(1, 3))
    ends = [body, b"5\r\nabcde\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n\r\n"]
    return [b"POST /ask HTTP/1.1", b"Content-Type: application/json", *chosen, b"", chance.choice(ends)]


def headers(chance: random.Random) -> list[bytes]:
    values = [
        b"http://[", b"http://]:9", b"null", b"http://\xe9", b"//", b"\xb2" * 30, b"9" * 5000, b"nan",
        b"bytes=\xb2-", b"bytes=-", b"bytes=9-1", b"bytes=" + b"0-1," * 200, b"Bearer \xff\xfe", b"=;=;,",
        b'svlm_token="\\777"', b"Mon, 99 Foo 0000 99:99:99 GMT", b"", stray(chance), b"x" * 30_000,
    ]  # fmt: skip
    names = [
        b"Origin", b"Host", b"Cookie", b"Authorization", b"Last-Event-ID", b"Range", b"If-Range", b"Accept",
        b"If-None-Match", b"If-Modified-Since", b"Content-Type", b"Upgrade", b"Connection", b"X" * 300,
        b"X-Forwarded-For", b"Referer", b"Ho st",
    ]  # fmt: skip
    chosen = [chance.choice(names) + b": " + chance.choice(values) for _ in range(chance.randint(1, 6))]
    chosen += chosen[: chance.randint(0, 2)]  # some twice
    path = chance.choice(PATHS).encode()
    if path == b"/ask" and chance.random() < 0.7:
        return post(b'{"question": "whose?"}', *chosen)
    return [b"GET " + path + b" HTTP/1.1", *chosen, b"", b""]


def paths(chance: random.Random) -> list[bytes]:
    odd = [
        b"/static/../web.py", b"/static/%2e%2e/web.py", b"/static/..%2f..%2fetc/passwd", b"/static//etc/x",
        b"/static/%00", b"/%00", b"/static/%ff%fe", b"/static/" + b"a" * 5000, b"/static/" + b"a/" * 3000,
        b"//", b"/static", b"/events/", b"/\\..\\", b"/static/.", b"*", b"http://[/", b"http://other.example/",
        b"/a b", b"/static/page.js/", b"/?token=%ed%a0%bd", b"/?token=" + b"%25" * 500, b"/\xff\xfe",
        stray(chance),
    ]  # fmt: skip
    at = [b"nan", b"inf", b"-1", b"9" * 400, b"1e999", b"%ed%a0%bd", b"1.000&at=2.000", b"%", b"\xb2", b""]
    path = chance.choice([*odd, *[b"/picture?at=" + each for each in at]])
    method = chance.choice([b"GET", b"GET", b"HEAD", b"POST", b"DELETE"])
    return [method + b" " + path + b" HTTP/1.1", b"", b""]


def queries(chance: random.Random) -> list[bytes]:
    """What stands behind the question mark, in any number, for every path."""
    names = [
        b"channel",
        b"at",
        b"since",
        b"recent",
        b"size",
        b"color",
        b"lines",
        b"token",
        b"%00",
        b"\xff",
        b"",
    ]
    values = [
        b"", b"-1", b"nan", b"1e999", b"9" * 4000, b"%ed%a0%bd", b"%00", b"..%2f..%2fetc", b"\xb2", b"0",
        b"1-2", b"%f0%9f%8e%89", b"0123abcd-1", b"-", b"+1", b"1_0", b"0x1", b"%25" * 100, stray(chance),
    ]  # fmt: skip
    pairs = [chance.choice(names) + b"=" + chance.choice(values) for _ in range(chance.randint(1, 5))]
    path = chance.choice(PATHS).partition("?")[0].encode()
    asked = chance.choice([b"&", b"&", b";", b"&&"]).join(pairs).replace(b" ", b"+")
    method = chance.choice([b"GET", b"GET", b"POST", b"DELETE"])
    return [method + b" " + path + b"?" + asked + b" HTTP/1.1", b"Content-Type: application/json", b"", b""]


def methods(chance: random.Random) -> list[bytes]:
    odd = [b"TRACE", b"CONNECT", b"OPTIONS", b"PUT", b"PATCH", b"get", b"PRI", b"G\xe9T", b"X" * 5000, b""]
    path = chance.choice(PATHS).encode()
    version = chance.choice([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"HTTP/", b""])
    return [chance.choice([*odd, b"GE\0T"]) + b" " + path + b" " + version, b"", b""]


def no_http(chance: random.Random) -> list[bytes]:
    odd = [
        chance.randbytes(chance.randint(1, 3000)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(300),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + chance.randbytes(60),
        b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\nand nonsense behind what is under way\r\n\r\n",
        b"\r\n" * chance.randint(1, 50),
        b"GET /\n\n",
        b":\r\n:\r\n\r\n",
        b"\0" * 2000,
    ]
    return [chance.choice(odd)]


KINDS: tuple[Callable[[random.Random], list[bytes]], ...] = (
    question, question, wrong_json, sizes, wrong_lengths, headers, headers, paths, methods, no_http, queries,
    entry,
)  # fmt: skip


def hostile(seed: int) -> tuple[Request, bool]:
    """A request made up from a seed, and whether it goes to the page that wants the token."""
    chance = random.Random(seed)
    make = KINDS[seed % len(KINDS)]
    first, *lines = make(chance)
    is_far = chance.random() < 0.4
    own = [b"Host: localhost"] if chance.random() < 0.95 else []
    if chance.random() < 0.8:
        own.append(b"Connection: close")
    if is_far and chance.random() < 0.8:
        own.append(b"Authorization: Bearer " + TOKEN.encode())
    raw = b"\r\n".join([first, *(own if lines else []), *lines])
    if chance.random() < 0.15:
        return Request(f"half of {make.__name__}", raw[: chance.randrange(len(raw))], is_whole=False), is_far
    return Request(make.__name__, raw, make not in (wrong_lengths, no_http)), is_far


def statuses(request: Request, port: int) -> list[int]:
    """The status that is answered, where one is within reasonable time."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5.0 if request.is_whole else 0.1) as sent:
        with suppress(OSError):  # it may be refused before all is sent
            sent.sendall(request.raw)
        with suppress(OSError):
            while b"\r\n\r\n" not in answer and (piece := sent.recv(65536)):
                answer += piece
    return [int(line.split(b" ", 2)[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")][:1]


def test_the_stream_goes_on_after_each(running: Running, cases, tally, capfd) -> None:
    running.goes_on()
    kinds: dict[str, int] = {}
    for seed in cases(40, 400):
        request, is_far = hostile(seed)
        found = statuses(request, running.ports[is_far])
        assert all(status < 500 or (status == 503 and b"/health" in request.raw) for status in found), (
            seed,
            request.raw[:300],
            found,
        )
        running.goes_on()
        kinds[request.kind] = kinds.get(request.kind, 0) + 1
    assert len(kinds) >= 8, "the seeds have lost their variety"
    good = Request("good", b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert statuses(good, running.ports[0]) == [200]
    answered = [event for event in running.events if isinstance(event, AnswerEvent)]
    assert answered, "no question has reached the model"
    assert not [
        event for event in running.events if isinstance(event, WarningEvent) and "asked" in event.message
    ]
    assert capfd.readouterr().err == ""
    tally("after a hostile request the stream goes on", sum(kinds.values()))


@pytest.mark.parametrize("token", ["пароль", "two words", "line\nbreak", "\udcff"])
def test_a_token_that_cannot_be_sent_is_refused_at_the_start(token: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="token"):
        PageServer(Board(tmp_path), ("127.0.0.1", 0), token)
