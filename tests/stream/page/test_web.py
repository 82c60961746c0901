"""The page's server: who sees what, who may ask, and that nobody can hold the stream up."""

from __future__ import annotations

import io
import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import webvtt
from PIL import Image

from svlm_cli.errors import OutputError, UsageError
from svlm_cli.stream.page.answers import ASSETS
from svlm_cli.stream.page.audience import MAX_VIEWERS, VIEWER_EVENTS
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.web import parse_address
from svlm_cli.types import EndEvent, WarningEvent
from tests.stream.served import START, Served, Viewer, said, served, shown

END = EndEvent(3, 3.0, 1.0, 3.0, 0.1, 0.1, 0.1, 1, 0)


@pytest.fixture
def page(tmp_path: Path):
    with served(tmp_path) as running:
        yield running


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def take(viewer: Viewer, count: int) -> list[tuple[str, dict]]:
    return list(itertools.islice(viewer.messages(), count))


@pytest.mark.parametrize("name", ["words.vtt", "kept.svlm"])
def test_where_outputs_and_state_lie_is_not_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "of" / "somebody" / name
    hub = Board(tmp_path).add("", [tmp_path / "of", path])
    told = f"{path} was there already; nothing can be written to {path}: disk full"
    hub.publish(replace(START, source="arena:soccer"))
    hub.publish(WarningEvent(told))
    hub.publish(WarningEvent(f"{hub.words_path} ends here"))
    hub.publish(said(0))  # with it the files are made
    hub.close()
    content = hub.events_path.read_text()
    assert content.count(name) >= 2
    assert f"{name} was there already; nothing can be written to {name}: disk full" in content
    assert str(tmp_path) not in content


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("8000", ("127.0.0.1", 8000)),
        (":0", ("127.0.0.1", 0)),
        ("[::1]:9", ("::1", 9)),
        ("studio.local:9", ("studio.local", 9)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "host", "host:x", "host:70000", "host:-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address(text)


def test_a_port_that_is_taken_is_told(page: Served, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Address already in use"), served(tmp_path, port=page.port):
        pass


def test_every_viewer_gets_every_event_in_order(page: Served) -> None:
    page.hub.publish(START)
    page.hub.publish(said(0, "before"))
    viewers = [Viewer(page) for _ in range(3)]
    for index in range(1, 20):
        page.hub.publish(said(index, f"word {index}"))
    page.hub.publish(END)
    for viewer in viewers:
        events = [event for _, event in viewer.messages()]
        assert [event["type"] for event in events] == ["start", *["step"] * 20, "end"]
        assert [event["index"] for event in events[1:-1]] == list(range(20))
        viewer.close()


def test_who_comes_back_gets_what_was_missed_and_no_more(page: Served) -> None:
    page.hub.publish(START)
    viewer = Viewer(page)
    for index in range(5):
        page.hub.publish(said(index))
    seen = take(viewer, 4)
    viewer.close()
    page.hub.publish(said(5))
    again = Viewer(page, seen[-1][0])
    assert [event["index"] for _, event in take(again, 3)] == [3, 4, 5]
    again.close()
    stranger = Viewer(page, "0123abcd-4")  # of a run before this one
    assert [event["type"] for _, event in take(stranger, 3)] == ["start", "step", "step"]
    stranger.close()


def test_a_viewer_that_stops_reading_holds_nothing_up(page: Served) -> None:
    page.hub.publish(START)
    stuck, reading = Viewer(page, small_buffer=True), Viewer(page)
    take(stuck, 1)
    num_events = 4 * VIEWER_EVENTS
    received: list[dict] = []

    def read() -> None:
        received.extend(event for _, event in reading.messages())

    thread = threading.Thread(target=read)
    thread.start()
    for index in range(num_events):
        page.hub.publish(said(index, " " * 3000))  # much to send, no captions to cut
        if index % 100 == 0:  # the reader keeps up; the stuck one's queue runs over
            until(partial(lambda reached: len(received) >= reached, index))
    until(lambda: len(page.board.audience) == 1)
    page.hub.publish(END)
    thread.join(30)
    assert [event["index"] for event in received if event["type"] == "step"] == list(range(num_events))
    stuck.close()
    reading.close()


def test_viewers_are_counted_and_limited(page: Served) -> None:
    page.hub.publish(START)
    viewers = [Viewer(page) for _ in range(MAX_VIEWERS)]
    for viewer in viewers:
        take(viewer, 1)
    assert len(page.board.audience) == MAX_VIEWERS
    assert page.request("GET", "/events")[0] == 503
    for viewer in viewers:
        viewer.close()
    page.hub.publish(said(0))  # a server notices that a viewer is gone when it writes
    until(lambda: len(page.board.audience) == 0)


def test_pictures_are_kept_for_a_while(page: Served) -> None:
    page.hub.watch(shown(3, level=200))  # nobody looks on: the newest few are kept as they are
    status, body, headers = page.request("GET", "/picture?at=3.000")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(body)).getpixel((80, 45)) == pytest.approx((200, 200, 200), abs=3)
    assert page.request("GET", "/picture?at=9.000")[0] == 404
    assert page.request("GET", "/picture?at=../../etc/passwd")[0] == 400


def test_downloads_are_whole_and_of_this_stream(page: Served) -> None:
    assert page.request("GET", "/words.vtt")[0] == 404
    for event in (START, said(0, "one <b>"), said(1), said(2, "two")):
        page.hub.publish(event)
    status, body, headers = page.request("GET", "/words.vtt")
    assert status == 200
    assert "words.vtt" in headers["content-disposition"]
    cues = webvtt.from_buffer(io.StringIO(body.decode()))
    assert [cue.text for cue in cues] == ["one &lt;b&gt;", "two"]
    events = [json.loads(line) for line in page.request("GET", "/events.jsonl")[1].splitlines()]
    assert [event["type"] for event in events] == ["start", "step", "step", "step"]


def test_a_question_is_taken_once_a_second(page: Served) -> None:
    assert page.ask("Who has the ball?") == 202
    assert page.questions.take(1.0) == "Who has the ball?"
    assert page.ask("And now?") == 429


def test_half_a_surrogate_pair_is_a_question_like_any_other(page: Served) -> None:
    assert page.ask("Who\ud83d scored?") == 202
    assert page.questions.take(1.0) == "Who\ufffd scored?"


@pytest.mark.parametrize(
    ("question", "headers", "status"),
    [
        ("ok", {"Origin": "http://evil.example"}, 403),
        ("ok", {"Origin": "null"}, 403),
        ("ok", {"Origin": "http://["}, 403),
        ("ok", {"Origin": "//"}, 403),
        ("ok", {"Content_Type": "text/plain"}, 415),
        ("ok", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ("", {}, 400),
        ("   ", {}, 400),
        ("x" * 501, {}, 400),
        ("x" * 100_000, {}, 400),
        (7, {}, 400),
        (None, {}, 400),
    ],
)
def test_what_is_no_question_of_this_page(page: Served, question, headers, status) -> None:
    assert page.ask(question, **headers) == status
    assert len(page.questions) == 0


def test_broken_bodies_are_refused(page: Served) -> None:
    for body in (b"{", b"[]", b"\xff\xfe", b'"x"', b"[" * 4000):
        assert page.request("POST", "/ask", body, Content_Type="application/json")[0] == 400


def test_a_name_elsewhere_that_points_here_is_not_answered(page: Served) -> None:
    """DNS rebinding: a page of another site whose name resolves to loopback."""
    assert page.request("GET", "/", Host="evil.example")[0] == 400
    assert page.request("GET", "/", Host=f"localhost:{page.port}")[0] == 200


def test_nothing_comes_from_elsewhere(page: Served) -> None:
    for path in ("/", "/overlay", *(f"/static/{each.name}" for each in ASSETS.iterdir())):
        status, body, headers = page.request("GET", path)
        assert status == 200
        assert b"https://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
    assert page.request("GET", "/static/../web.py")[0] == 404


def test_off_loopback_everything_wants_the_token(tmp_path: Path) -> None:
    with served(tmp_path, host="0.0.0.0") as page:
        assert page.server.made_token
        token = page.server.url.partition("?token=")[2]
        assert len(token) >= 16
        paths = ("/", "/events", "/picture?at=0.000", "/words.vtt", "/events.jsonl", "/static/page.js")
        for path in paths:
            assert page.request("GET", path)[0] == 401
            assert page.request("GET", path, Cookie=f"svlm_token_{page.port}=wrong")[0] == 401
        assert page.ask("May I?") == 401
        assert page.request("GET", "/?token=wrong")[0] == 401
        status, _, headers = page.request("GET", f"/?token={token}")
        assert (status, headers["location"]) == (303, "/")
        assert "HttpOnly" in headers["set-cookie"]
        assert "SameSite=strict" in headers["set-cookie"]
        cookie = headers["set-cookie"].partition(";")[0]
        assert page.request("GET", "/", Cookie=cookie)[0] == 200
        assert page.ask("May I?", Cookie=cookie) == 202
        assert page.request("GET", "/", Authorization=f"Bearer {token}")[0] == 200


def test_a_token_of_ones_own_is_not_shown(tmp_path: Path) -> None:
    with served(tmp_path, host="0.0.0.0", token="chosen") as page:
        assert not page.server.made_token
        assert "chosen" not in page.server.url
        assert page.request("GET", "/", Authorization="Bearer chosen")[0] == 200


def test_a_page_that_cannot_write_its_files_goes_on(tmp_path: Path) -> None:
    with served(tmp_path) as page:
        (tmp_path / "events.jsonl").mkdir()
        warnings = [warning for event in (START, said(0), said(1)) for warning in page.hub.publish(event)]
        assert len(warnings) == 1
        assert "downloaded" in warnings[0].message
        viewer = Viewer(page)
        assert [event["type"] for _, event in take(viewer, 3)] == ["start", "step", "step"]
        viewer.close()


def test_the_pages_files_are_in_the_package() -> None:
    page = ("index.html", "page.css", "page.js", "common.js", "icon.svg", "api.json", "wall.html", "wall.js")
    others = ("camera.html", "camera.js", "overlay.html", "overlay.css", "overlay.js")
    assert {path.name for path in ASSETS.iterdir()} == {*page, *others}


def test_nonsense_for_what_was_seen_last_brings_all_that_is_kept(page: Served) -> None:
    page.hub.publish(START)
    for number in ("\u00b2", "9" * 5000, "-1", "1e3", ""):
        viewer = Viewer(page, f"{page.board.audience.run_id}-{number}")
        assert take(viewer, 1)[0][1]["type"] == "start"
        viewer.close()


@pytest.mark.parametrize("path", [f"/static/{odd}" for odd in ("%00", "%ff", "a" * 5000, "..%2fweb.py")])
def test_paths_that_are_none_are_not_found(page: Served, path: str) -> None:
    assert page.request("GET", path)[0] == 404


def test_viewers_are_not_told_where_the_source_lies(page: Served, tmp_path: Path) -> None:
    film = tmp_path / "private" / "cup.mp4"
    page.hub.publish(replace(START, source=str(film), model=str(tmp_path)))
    page.hub.publish(WarningEvent(f"{film} ends early"))
    page.hub.publish(END)
    viewer = Viewer(page)
    start, warning, _ = [event for _, event in viewer.messages()]
    viewer.close()
    assert (start["source"], start["model"]) == ("cup.mp4", tmp_path.name)
    assert warning["message"] == "cup.mp4 ends early"
    assert b"private" not in page.request("GET", "/events.jsonl")[1]


def test_a_file_that_grows_is_sent_as_long_as_it_was(page: Served) -> None:
    for event in (START, *(said(index, "x" * 3000) for index in range(40))):
        page.hub.publish(event)
    growing = threading.Event()

    def grow() -> None:
        for index in itertools.count(40):
            if growing.wait(0.002):  # without a pause the file outgrows whoever downloads it
                return
            page.hub.publish(said(index, " " * 3000))  # much to send, no captions to cut

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(20):
            status, body, headers = page.request("GET", "/events.jsonl")
            assert (status, len(body)) == (200, int(headers["content-length"]))
    finally:
        growing.set()
        thread.join()


def test_pages_of_one_host_keep_their_own_tokens(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        served(tmp_path / "a", host="0.0.0.0", token="one") as one,
        served(tmp_path / "b", host="0.0.0.0", token="two") as two,
    ):
        cookies = [
            page.request("GET", f"/?token={token}")[2]["set-cookie"].partition(";")[0]
            for page, token in ((one, "one"), (two, "two"))
        ]
        both = "; ".join(cookies)
        assert one.request("GET", "/", Cookie=both)[0] == 200
        assert two.request("GET", "/", Cookie=both)[0] == 200


def test_the_end_reaches_viewers_of_a_page_that_closes(tmp_path: Path) -> None:
    with served(tmp_path) as page:
        page.hub.publish(START)
        viewer = Viewer(page)
        take(viewer, 1)
        for index in range(50):
            page.hub.publish(said(index))
        page.hub.publish(END)
    assert [event["type"] for _, event in viewer.messages()][-1] == "end"
    viewer.close()
