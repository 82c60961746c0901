"""Sources that are not there yet: waited for beside the others, told meanwhile, taken up or given up."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from svlm_cli.cli import run
from svlm_cli.media.live import connecting
from tests.media.live_servers import file_server
from tests.stream.served import free_port

from .test_coming_and_going import until
from .test_ended_sources import playlist
from .test_served_channels import MATCH, SMALL, Client, served_while

ONE = MATCH.format(seed=1)
NAMED = "@channels.yaml"


def channels(folder: Path, address: str) -> None:
    entries = [{"source": ONE, "name": "game"}, {"source": address, "name": "camera"}]
    (folder / "channels.yaml").write_text(json.dumps({"channels": entries}))


def health(client: Client) -> tuple[int, dict]:
    status, body = client("GET", "/health")
    return status, json.loads(body)


def test_a_channel_waits_for_its_source_and_begins(tmp_path, monkeypatch, make_video, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    channels(tmp_path, f"http://127.0.0.1:{port}/secret/live.m3u8")
    (tmp_path / "secret").mkdir()
    playlist(make_video(tmp_path / "a.mp4", 3.0), tmp_path / "secret")

    def visit(client: Client) -> None:
        client.until(lambda found: found == {"game": "running", "camera": "waiting"})
        status, told = health(client)
        assert (status, told["status"]) == (503, "unwell")
        assert f"http://127.0.0.1:{port}/live.m3u8 is not there yet; waiting for it" in told["reason"]
        assert "secret" not in json.dumps(told)
        server = file_server(tmp_path, port)
        try:
            client.until(lambda found: found["camera"] in ("running", "ended"))
        finally:
            server.stop()

    assert served_while([NAMED, "--reconnect-seconds", "inf", "--out", "{name}.jsonl"], visit) == 130
    events = [json.loads(line) for line in (tmp_path / "camera.jsonl").read_text().splitlines()]
    assert [each["type"] for each in events].count("step") >= 1


def test_a_source_that_never_comes_is_given_up_and_told(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    channels(tmp_path, f"http://127.0.0.1:{free_port()}/live.m3u8")

    def visit(client: Client) -> None:
        client.until(lambda found: found == {"game": "running", "camera": "failed"})
        status, told = health(client)
        assert (status, "given up" in told["reason"]) == (503, True)

    began = time.monotonic()
    assert served_while([NAMED, "--reconnect-seconds", "1"], visit) == 130
    assert time.monotonic() - began >= 1
    told = capfd.readouterr()
    assert "did not come within 1 s" in told.err
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [each["type"] for each in events if each["channel"] == "camera"] == ["warning", "warning", "end"]
    assert "did not come within 1 s" in [each for each in events if each["channel"] == "camera"][1]["message"]


def test_a_source_that_cannot_come_has_its_end_told(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    channels(tmp_path, "nowhere.mp4")

    def visit(client: Client) -> None:
        client.until(lambda found: found == {"game": "running", "camera": "failed"})
        lines = client("GET", "/events.jsonl?channel=camera")[1].splitlines()
        assert [json.loads(line)["type"] for line in lines] == ["warning", "end"]
        assert b"/" not in b"".join(lines).replace(b"/s", b"")

    assert served_while([NAMED], visit) == 130
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [each["type"] for each in events if each["channel"] == "camera"] == ["warning", "end"]


def test_nobody_waits_for_a_source_that_does_not_answer(monkeypatch, capfd) -> None:
    """An address that connects and says nothing: the others have said all before it is given up."""
    monkeypatch.setattr(connecting, "OPEN_SECONDS", 6.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/live.m3u8"
        assert run(["stream", address, ONE, "--duration", "3", *SMALL, "--json"]) == 1
    told = capfd.readouterr()
    events = [json.loads(line) for line in told.out.splitlines()]
    kinds = [(each["channel"], each["type"]) for each in events]
    (game,) = {name for name, _ in kinds} - {"live"}
    assert kinds.count((game, "step")) == 3
    assert kinds.index((game, "end")) < kinds.index(("live", "warning")) < kinds.index(("live", "end"))
    assert "1 of 2 channels failed: live" in told.err


def test_a_source_that_does_not_answer_can_be_added_and_removed(tmp_path, monkeypatch, capfd) -> None:
    """SIGHUP and Ctrl-C are free meanwhile; its end is told once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connecting, "OPEN_SECONDS", 30.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channels(tmp_path, address := f"http://127.0.0.1:{silent.getsockname()[1]}/live.m3u8")

        def change(name: str) -> None:
            entries = [{"source": ONE, "name": "game"}, {"source": address, "name": name}]
            (tmp_path / "channels.yaml").write_text(json.dumps({"channels": entries}))
            os.kill(os.getpid(), signal.SIGHUP)

        def visit(client: Client) -> None:
            for name, before in (("other", "camera"), ("third", "other")):
                client.until(lambda found, before=before: found == {"game": "running", before: "waiting"})
                change(name)
                client.until(lambda found, name=name: found == {"game": "running", name: "waiting"})

        began = time.monotonic()
        assert served_while([NAMED, "--max-channels", "4"], visit) == 130
        assert time.monotonic() - began < 25
    out, err = capfd.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    for name in ("camera", "other", "third"):
        assert [each["type"] for each in events if each["channel"] == name] == ["end"]
    assert "0 added, 1 removed, 1 kept, 1 being opened" in err


@pytest.mark.parametrize("how", ["page", "file"])
def test_a_channel_that_is_added_waits_as_others_do(how, tmp_path, monkeypatch, make_video, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    port, name = free_port(), "camera"
    address = f"http://127.0.0.1:{port}/live.m3u8"
    (tmp_path / "channels.yaml").write_text(json.dumps({"channels": [{"source": ONE, "name": "game"}]}))
    playlist(make_video(tmp_path / "a.mp4", 3.0), tmp_path)

    def visit(client: Client) -> None:
        client.until(lambda found: found == {"game": "running"})
        if how == "page":
            assert client("POST", "/channels", {"source": address, "name": name})[0] == 201
        else:
            channels(tmp_path, address)
            os.kill(os.getpid(), signal.SIGHUP)
        client.until(lambda found: found == {"game": "running", name: "waiting"})
        lacks = "is not there yet; waiting for it"
        until(lambda: lacks in health(client)[1].get("reason", ""), "it was tried once")
        server = file_server(tmp_path, port)
        try:
            client.until(lambda found: found[name] in ("running", "ended"))
        finally:
            server.stop()

    assert served_while([NAMED, "--reconnect-seconds", "inf", "--max-channels", "4"], visit) == 130
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    told = [each["type"] for each in events if each["channel"] == name]
    assert (told[0], told.count("start"), told.count("end"), told[-1]) == ("warning", 1, 1, "end")


def test_what_is_still_waited_for_ends_with_the_others(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    channels(tmp_path, f"http://127.0.0.1:{free_port()}/live.m3u8")

    def visit(client: Client) -> None:
        client.until(lambda found: found == {"game": "running", "camera": "waiting"})

    assert served_while([NAMED, "--reconnect-seconds", "inf"], visit) == 130
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [each["type"] for each in events if each["channel"] == "camera"] == ["warning", "end"]


def test_health_is_503_before_there_can_be_channels(tmp_path) -> None:
    """The page of pictures that are pushed is there before the model is."""
    seen: list[tuple[int, dict]] = []

    def visit(client: Client) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and (not seen or seen[-1][0] == 503):
            with suppress(OSError):
                seen.append(health(client))

    assert served_while(["push:"], visit) == 130
    assert seen[0][0] == 503
    assert {told["reason"] for status, told in seen if status == 503} <= {
        "the channels are being opened",
        "the model is being loaded",
    }
    assert seen[-1] == (200, {"status": "ok", "channels": {}})


def test_a_page_is_there_before_its_source(tmp_path, make_video) -> None:
    port = free_port()
    playlist(make_video(tmp_path / "a.mp4", 8.0), tmp_path)

    def visit(client: Client) -> None:
        client.until(bool)
        status, told = health(client)
        assert (status, told["reason"]) == (503, f"http://127.0.0.1:{port}/live.m3u8 is not there yet")
        server = file_server(tmp_path, port)
        try:
            client.until(lambda found: next(iter(found.values())) == "running")
        finally:
            server.stop()

    source = f"http://127.0.0.1:{port}/live.m3u8"
    assert served_while([source, "--reconnect-seconds", "inf", "--pace", "realtime"], visit) == 130
