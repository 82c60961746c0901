"""Pictures pushed over a WebSocket: the words of the file, in time, and what is left out."""

from __future__ import annotations

import http.client
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svlm_cli import Sampling, StreamSettings, load_model, open_source, stream_video
from svlm_cli.settings import Pace
from svlm_cli.stream.channels.opening import FOREIGN
from svlm_cli.types import StepEvent
from tests.stream.page.pushing import (
    Pushed,
    Sender,
    grey,
    png,
    until,
    warnings,
    words,
)

MATCH = "arena:soccer?seed=11&minutes=1&size=168x112"
DOCUMENT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
CLIENT = re.search(r"```python\n(import json, time\n.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Pushed]:
    with ExitStack() as stack:
        yield Pushed(tmp_path_factory.mktemp("pushed"), stack)


@pytest.fixture(autouse=True)
def _room(page: Pushed) -> None:
    """Whoever sent before has ended."""
    until(lambda: all(hub.has_ended for hub in page.board.hubs.values()))


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
    assert all(0 < event["lag_seconds"] < 20 for event in events if event["type"] == "step")
    assert warnings(events) == [FOREIGN]


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
    while not words(sender.events):
        sender.hear()  # the first step is over
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


def test_a_sender_that_has_ended_makes_nobody_unwell(page: Pushed) -> None:
    """Else a server of pictures were unwell from its first visitor on."""
    sender = Sender(page)
    sender.send(0, grey())
    sender.end()
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request("GET", "/health")
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())["status"]) == (200, "ok")
    connection.close()
