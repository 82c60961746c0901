"""Whatever is refused, by whichever library, is JSON of one form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from svlm_cli.stream.page.limits import FULL
from tests.stream.page.answering import answer_to, require_error
from tests.stream.page.described import END
from tests.stream.served import START, Served, said, served

NAVIGATING = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module")
def open_page(tmp_path_factory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("open"), origins=("https://studio.example",)) as running:
        for event in (START, said(0, "kick-off"), END):
            running.hub.publish(event)
        yield running


@pytest.fixture(scope="module")
def kept_page(tmp_path_factory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("kept"), host="0.0.0.0", token="chosen") as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/static/nothing.js", {}, 404),
        ("GET", "/captions/1/2", {}, 404),
        ("GET", "/push", {}, 404),
        ("POST", "/health", {}, 405),
        ("GET", "/ask", {}, 405),
        ("PUT", "/channels", {}, 405),
        ("POST", "/static/page.js", {}, 405),
        ("GET", "/health", {"Host": "evil.example"}, 400),
        ("GET", "/", {"Host": "127.0.0.1.evil.example", "Accept": NAVIGATING}, 400),
        ("GET", "/", {"Host": "evil.example@localhost"}, 400),
        ("GET", "/words.vtt", {"Range": "bytes=99999999-"}, 416),
        ("GET", "/words.vtt", {"Range": "bytes=5-2"}, 400),
        ("POST", "/ask", {"Origin": "https://evil.example"}, 403),
        (
            "OPTIONS",
            "/ask",
            {"Origin": "https://evil.example", "Access_Control_Request_Method": "POST"},
            400,
        ),
    ],
)
def test_every_refusal_is_json(open_page: Served, method: str, path: str, headers, status: int) -> None:
    answered, body, found = open_page.request(method, path, **headers)
    assert answered == status
    told = require_error(body, found)
    assert told["hint"] or status in (400, 416)
    assert found["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:81", "127.0.0.1", "[::1]:8000", "::1"])
def test_names_of_loopback_are_answered(open_page: Served, host: str) -> None:
    assert open_page.request("GET", "/api.json", Host=host)[0] == 200


def test_a_form_is_for_browsers_that_open_a_page(kept_page: Served) -> None:
    for path in ("/", "/overlay", "/camera", "/health", "/events", "/nothing", "/static/page.js"):
        for accept in ("*/*", "application/json", NAVIGATING):
            status, body, headers = kept_page.request("GET", path, Accept=accept)
            assert status == 401
            if accept == NAVIGATING and path in ("/", "/overlay", "/camera"):
                assert headers["content-type"].startswith("text/html")
            else:
                assert "Bearer" in require_error(body, headers)["hint"]
    status, body, headers = kept_page.request("GET", "/nothing", Authorization="Bearer chosen")
    assert status == 404
    require_error(body, headers)


def test_a_failure_of_ours_is_json_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path) as page:
        monkeypatch.setattr(page.hub.pictures, "at", lambda _seconds: 1 / 0)
        status, body, headers = page.request("GET", "/picture")
        assert status == 500
        require_error(body, headers)


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / FTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"POST /ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1_0\r\n\r\n",
        b"GET /" + 70_000 * b"a",
    ],
    ids=["words", "header", "version", "tls", "length", "endless"],
)
def test_what_is_no_request_is_refused_in_json_too(open_page: Served, request_text: bytes) -> None:
    status, body, headers = answer_to(open_page.port, request_text)
    assert status == 400
    assert require_error(body, headers)["hint"]


@pytest.mark.parametrize("odd", ["1_0", "%201", "1%20", "%D9%A1", "nan", "inf", "1e999", "0x1", ""])
def test_a_second_is_written_plainly(open_page: Served, odd: str) -> None:
    status, body, headers = open_page.request("GET", f"/picture?at={odd}")
    assert status == 400
    require_error(body, headers)


def test_one_connection_too_many_is_told_in_json() -> None:
    head, _, body = FULL.partition(b"\r\n\r\n")
    fields = dict(line.decode().lower().split(": ") for line in head.split(b"\r\n")[1:])
    require_error(body, fields)
