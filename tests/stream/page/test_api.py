"""The API of docs/api.md: what is described is what is answered."""

from __future__ import annotations

import io
import json
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from svlm_cli.errors import UsageError
from svlm_cli.stream.page import figures
from svlm_cli.stream.page.guard import check_origins
from tests.stream.page.described import DOCUMENT, END, PATHS, described
from tests.stream.served import START, Served, Viewer, said, served, shown


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, names=("court-1", "court-2")) as running:
        for name, hub in running.board.hubs.items():
            hub.publish(START)
            hub.publish(said(0, f"here is {name}"))
        yield running


def got(page: Served, path: str) -> dict:
    return json.loads(page.request("GET", path)[1])


def test_what_is_described_is_there_and_the_other_way_round(page: Served) -> None:
    routes = {
        (route.path, method.lower())
        for route in page.server.app.routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD" and route.path != "/"
    }
    assert routes == {(path, method) for path, methods in PATHS.items() for method in methods}
    named = set(re.findall(r"`(?:GET|POST|DELETE) (/[a-z0-9./{}]+)", DOCUMENT))
    assert named == set(PATHS)
    assert got(page, "/api.json")["info"]["version"] != "0"


def test_an_answer_carries_the_id_of_its_question(page: Served) -> None:
    status, body, _ = page.request(
        "POST", "/ask", b'{"question": "Who?"}', Content_Type="application/json; charset=utf-8"
    )
    described("/ask", "post", status, body)
    assert page.questions.take(5.0) == "Who?"
    assert page.questions.taken_id == json.loads(body)["id"] != ""


@pytest.mark.parametrize("since", ["header", "query", "number"])
def test_who_comes_back_gets_what_is_new(page: Served, since: str) -> None:
    run = page.board.audience.run_id
    query = {"header": "", "query": f"?since={run}-2", "number": "?since=2"}[since]
    viewer = Viewer(page, f"{run}-2" if since == "header" else "", query=query)
    page.hub.publish(END)
    assert [number for number, _ in viewer.messages()] == [f"{run}-3", f"{run}-4"]
    viewer.close()


def test_only_recent_events_are_sent_where_no_more_are_wanted(page: Served) -> None:
    for index in range(2, 30):
        page.hub.publish(said(index))
    page.hub.publish(END)
    viewer = Viewer(page, query="?recent=3")
    events = [event for _, event in viewer.messages()]
    assert [event.get("index") for event in events] == [None, 28, 29, None]
    viewer.close()


@pytest.mark.parametrize(
    "path",
    [
        *(f"/picture?at={odd}" for odd in ("nan", "inf", "1e999", "", "x")),
        *(f"/events?recent={odd}" for odd in ("x", "-5", "1.5", "", "1e3", "1000000", "%c2%b2")),
        *(f"/events?since={odd}" for odd in ("zz", "", "-1", "1-", "1-2-3", "9" * 19)),
    ],
)
def test_what_is_no_value_is_told(page: Served, path: str) -> None:
    status, body, _ = page.request("GET", path)
    assert status == 400
    described(path, "get", status, body)


def test_health_tells_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path) as page:
        told = []
        hub = page.hub
        hub.figures.clock = lambda: now
        now = 100.0

        def look() -> None:
            status, body, _ = page.request("GET", "/health")
            described("/health", "get", status, body)
            told.append((status, json.loads(body).get("reason", "")))

        look()
        hub.publish(START)
        hub.publish(said(0, lag_seconds=0.25))
        look()
        assert got(page, "/health")["lag_seconds"] == 0.25
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", got(page, "/health")["last_step_utc"])
        now += figures.PATIENCE_SECONDS + 1
        look()
        hub.publish(said(1))
        look()
        hub.publish(END)
        look()
    assert told == [
        (503, "no step has been taken yet"),
        (200, ""),
        (503, "no step for 16 s"),
        (200, ""),
        (503, "the stream has ended"),
    ]


def test_figures_are_the_sums_of_the_events(tmp_path: Path) -> None:
    chance = random.Random(7)
    with served(tmp_path, names=("a", 'b"\n')) as page:
        page.board.hubs["a"].figures.num_reconnects = lambda: 3
        expected: dict[str, list[float]] = {}
        for name, hub in page.board.hubs.items():
            steps = [
                said(index, " ".join(["word"] * chance.randint(0, 5)), lag_seconds=chance.random())
                for index in range(chance.randint(5, 20))
            ]
            for step in steps:
                hub.publish(step)
            expected[name] = [
                sum(len(step.text.split()) for step in steps),
                3 * len(steps),
                steps[-1].lag_seconds,
            ]
        text = page.request("GET", "/metrics")[1].decode()
        found = {
            (sample.name, sample.labels.get("channel")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if "le" not in sample.labels
        }
        for name, (words, tokens, lag) in expected.items():
            assert found["svlm_words_total", name] == words
            assert found["svlm_tokens_total", name] == tokens
            assert found["svlm_lag_seconds", name] == lag
            assert found["svlm_step_seconds_sum", name] == pytest.approx(0.25 * tokens / 3)
            assert found["svlm_step_seconds_count", name] == tokens / 3
        assert [found["svlm_reconnects_total", name] for name in expected] == [3, 0]
        assert found["svlm_viewers", None] == 0
        assert not [name for name, _ in found if name.endswith("_created")]
        page.board.remove("a")
        assert 'channel="a"' not in page.request("GET", "/metrics")[1].decode()


def test_a_request_is_about_the_channel_it_names(several: Served) -> None:
    for name in ("court-1", "court-2"):
        hub = several.board.hubs[name]
        assert f"here is {name}" in several.request("GET", f"/words.vtt?channel={name}")[1].decode()
        assert f"here is {name}" in several.request("GET", f"/events.jsonl?channel={name}")[1].decode()
        hub.watch(shown(0, level=40 * int(name[-1])))
        picture = Image.open(io.BytesIO(several.request("GET", f"/picture?channel={name}")[1]))
        assert picture.getpixel((80, 45))[0] == pytest.approx(40 * int(name[-1]), abs=3)
    for path in ("/words.vtt", "/events.jsonl", "/picture"):
        assert several.request("GET", path)[0] == 400
        assert several.request("GET", f"{path}?channel=court-3")[0] == 404
    body = b'{"question": "Where?"}'
    assert several.request("POST", "/ask?channel=court-2", body, Content_Type="application/json")[0] == 202
    waiting = {name: hub.questions.waiting() for name, hub in several.board.hubs.items()}
    assert waiting == {"court-1": [], "court-2": [(0.0, "Where?")]}


def test_events_of_all_channels_have_their_names(several: Served) -> None:
    everybody, one = Viewer(several), Viewer(several, query="?channel=court-2")
    hubs = several.board.hubs
    hubs["court-1"].publish(END)
    hubs["court-2"].publish(said(1, "still here"))
    hubs["court-2"].publish(END)
    assert [(event["channel"], event["type"]) for _, event in one.messages()] == [
        *[("court-2", kind) for kind in ("start", "step", "step", "end")]
    ]
    messages = everybody.messages()
    found = [next(messages) for _ in range(5)]  # the end of one channel is not the end of all
    assert [event["channel"] for _, event in found] == ["court-1"] * 2 + ["court-2"] * 2 + ["court-1"]
    numbers = [int(number.rpartition("-")[2]) for number, _ in found]
    assert numbers == sorted(numbers)
    everybody.close()
    one.close()


def test_captions_for_players_are_those_of_the_channel(several: Served) -> None:
    hub = several.board.hubs["court-2"]
    for index in range(1, 9):
        hub.publish(said(index, f"second {index}"))
    for query in ("", "?channel=court-1"):
        assert several.request("GET", f"/captions.m3u8{query}")[0] == (404 if query else 400)
    status, body, headers = several.request("GET", "/captions.m3u8?channel=court-2")
    assert (status, headers["content-type"]) == (200, "application/vnd.apple.mpegurl")
    segments = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert len(segments) >= 3
    assert all(re.fullmatch(r"captions/\d+\.vtt\?channel=court-2", line) for line in segments)
    texts = [several.request("GET", f"/{line}")[1].decode() for line in segments]
    assert all(text.startswith("WEBVTT") and text.endswith("\n\n") for text in texts)
    assert "second 2" in "".join(texts)
    for odd in (
        "9999.vtt",
        "x.vtt",
        "..%2fwords.vtt",
        "%00",
        "1" * 5000 + ".vtt",
        "0.vtt%0a",
        "²".encode().hex(),
    ):
        assert several.request("GET", f"/captions/{odd}?channel=court-2")[0] == 404


def test_the_wall_and_its_list(several: Served) -> None:
    assert b"wall.js" in several.request("GET", "/")[1]
    assert b"page.js" in several.request("GET", "/?channel=court-1")[1]
    status, body, _ = several.request("GET", "/channels")
    described("/channels", "get", status, body)
    found = json.loads(body)["channels"]
    assert [(each["name"], each["condition"], each["last_words"]) for each in found] == [
        (name, "running", f"here is {name}") for name in ("court-1", "court-2")
    ]
    assert several.request("GET", "/health")[0] == 200
    several.board.hubs["court-2"].publish(END)
    status, body, _ = several.request("GET", "/health")
    described("/health", "get", status, body)
    assert (status, json.loads(body)["reason"]) == (503, "court-2: the stream has ended")
    assert several.request("GET", "/health?channel=court-1")[0] == 200


def test_a_channel_that_goes_takes_its_viewers_and_files_with_it(several: Served, tmp_path: Path) -> None:
    viewer = Viewer(several, query="?channel=court-1")
    several.board.remove("court-1")
    assert [event["type"] for _, event in viewer.messages()] == ["start", "step"]
    assert len(list(tmp_path.rglob("words.vtt"))) == 1
    assert several.request("GET", "/words.vtt?channel=court-1")[0] == 404
    assert b"court-2" in several.request("GET", "/words.vtt")[1]  # the only one there is
    viewer.close()


def test_without_a_desk_channels_stay_as_they_are(page: Served) -> None:
    for method in ("POST", "DELETE"):
        status, body, _ = page.request(method, "/channels", b"{}", Content_Type="application/json")
        assert status == 409
        described("/channels", method, status, body)


def test_pages_of_other_origins_use_the_api_where_they_are_named(tmp_path: Path) -> None:
    body = b'{"question": "May I?"}'
    origin, other = "https://studio.example", "https://evil.example"
    with served(tmp_path, host="0.0.0.0", token="secret", origins=(origin,)) as page:
        bearer = {"Authorization": "Bearer secret"}
        asking = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
        status, _, headers = page.request("OPTIONS", "/ask", Origin=origin, **asking)
        assert (status, headers["access-control-allow-origin"]) == (200, origin)
        assert page.request("OPTIONS", "/ask", Origin=other, **asking)[0] == 400
        json_type = {"Content_Type": "application/json"}
        assert page.request("POST", "/ask", body, Origin=other, **bearer, **json_type)[0] == 403
        assert page.request("POST", "/ask", body, Origin=origin, **json_type)[0] == 401
        status, _, headers = page.request("POST", "/ask", body, Origin=origin, **bearer, **json_type)
        assert (status, headers["access-control-allow-origin"]) == (202, origin)
        assert (
            page.request("GET", "/health", Origin=origin, **bearer)[2]["access-control-allow-origin"]
            == origin
        )
        assert "access-control-allow-origin" not in page.request("GET", "/health", Origin=other, **bearer)[2]


@pytest.mark.parametrize(
    "odd", ["studio.example", "https://", "https://a/b", "null", "https://a\n", "*.example", ""]
)
def test_what_is_no_origin_is_refused_at_the_start(odd: str) -> None:
    with pytest.raises(UsageError, match="--cors"):
        check_origins([odd])
    assert check_origins(["*", "http://[::1]:80", "https://a.example:1"]) == (
        "*",
        "http://[::1]:80",
        "https://a.example:1",
    )


def test_the_overlay_is_opened_with_a_token_as_the_page_is(tmp_path: Path) -> None:
    with served(tmp_path, host="0.0.0.0", token="secret") as page:
        status, _, headers = page.request("GET", "/overlay?size=20&token=secret&color=red")
        assert (status, headers["location"]) == (303, "/overlay?size=20&color=red")
        for path in ("/overlay", "/health", "/metrics", "/channels", "/api.json", "/events?token=secret"):
            assert page.request("GET", path)[0] == 401


def test_nobody_is_held_up_by_one_who_adds_slowly(page: Served) -> None:
    """A desk that takes its time holds no event, no other request and no end of the server up."""

    answered = threading.Event()

    class SlowDesk:
        def states(self) -> list:
            return []

        def add(self, entry: dict) -> str:
            assert answered.wait(30)
            raise UsageError("no such source", "name another")

        def remove(self, name: str) -> None:
            raise AssertionError

    page.server.answers._desk = SlowDesk()
    answers: list[tuple[int, bytes]] = []

    def add() -> None:
        answers.append(
            page.request("POST", "/channels", b'{"source": "x"}', Content_Type="application/json")[:2]
        )

    adding = threading.Thread(target=add)
    adding.start()
    assert page.request("GET", "/health")[0] == 200
    answered.set()
    adding.join()
    assert answers == [(400, b'{"error":"no such source","hint":"name another"}')]
