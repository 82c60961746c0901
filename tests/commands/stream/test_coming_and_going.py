"""Channels of a file that is read again (SIGHUP), and those added and removed by hand, while others run."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from svlm_cli import load_model, load_state
from svlm_cli.cli import run
from svlm_cli.commands.options import ModelChoice
from svlm_cli.commands.stream.channel_file import ChannelBook, ChannelOptions
from svlm_cli.commands.stream.channels_view import ChannelsView
from svlm_cli.commands.stream.fleet import Fleet
from svlm_cli.commands.stream.serving import PageDesk
from svlm_cli.errors import OutputError, SourceError, UsageError
from svlm_cli.stream import sources
from svlm_cli.stream.channels.rounds import Rounds
from svlm_cli.stream.page.board import Board

SHOWN = {"max_new_tokens": 4, "vision_window": 2, "rounds": 2, "text_window": 9, "pace": "max"}


def entry(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "source": f"arena:soccer,seed={len(name)},minutes=inf", **SHOWN, **more}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(is_so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.02)


def test_a_file_read_again_adds_removes_and_keeps(tmp_path, monkeypatch) -> None:
    book, heard = tmp_path / "channels.yaml", tmp_path / "heard"
    talk = heard.open("w", buffering=1)  # what is captured may lose a line that is being written
    monkeypatch.setattr(sys, "stderr", talk)

    def write(*entries: object) -> None:
        kept = {"out": str(tmp_path / "{name}.jsonl"), "save_state": str(tmp_path / "{name}.svlm")}
        new = tmp_path / "new"
        new.write_text(json.dumps({"defaults": kept, "channels": entries}))
        new.replace(book)

    def steps(name: str) -> list[dict]:
        return [each for each in lines(tmp_path / f"{name}.jsonl") if each["type"] == "step"]

    def ended(name: str) -> bool:
        return any(each["type"] == "end" for each in lines(tmp_path / f"{name}.jsonl"))

    problems: list[str] = []

    def change() -> None:
        try:
            until(lambda: len(steps("aa")) > 1 and len(steps("bbb")) > 1, "both begin")
            write(entry("aa"), entry("cccc"), entry("none", source=str(tmp_path / "none.mp4")))
            os.kill(os.getpid(), signal.SIGHUP)
            until(lambda: ended("bbb") and len(steps("cccc")) > 1, "one goes, one comes")
            for number, wrong in enumerate(("channels: [{source: x, fsp: 2}]", ""), 1):
                book.write_text(wrong)
                os.kill(os.getpid(), signal.SIGHUP)
                until(lambda n=number: heard.read_text().count("no channel has changed") == n, "it is told")
            write(entry("aa"), entry("cccc", query="Say it otherwise."))
            before = len(steps("aa"))
            os.kill(os.getpid(), signal.SIGHUP)
            until(lambda: (tmp_path / "cccc.jsonl.1").exists() and len(steps("cccc")) > 1, "one is replaced")
            until(lambda: len(steps("aa")) > before, "the first goes on")
        except BaseException as error:
            problems.append(str(error))
        os.kill(os.getpid(), signal.SIGINT)

    write(entry("aa"), entry("bbb"))
    thread = threading.Thread(target=change)
    thread.start()
    try:
        code = run(["stream", f"@{book}", "--threads", "1"])
    finally:
        thread.join()
        talk.close()
    assert not problems
    assert code == 130
    assert not any(each.name.startswith("svlm-") for each in threading.enumerate()), "else it may abort"
    told = heard.read_text()
    assert "1 added, 1 removed, 1 kept; none: " in told, told
    assert "did you mean fps?" in told
    assert "1 added, 0 removed, 1 kept" in told
    assert [each["index"] for each in steps("aa")] == list(range(len(steps("aa"))))
    for name in ("aa", "bbb", "cccc"):
        assert ended(name)
        assert load_state(tmp_path / f"{name}.svlm").reached_seconds == len(steps(name))
    first = [each for each in lines(tmp_path / "cccc.jsonl.1") if each["type"] == "start"]
    assert "otherwise" not in first[0]["query"]


def test_channels_by_hand(tmp_path) -> None:
    """The desk: what cannot be opened changes nothing; names, files and claims are free again afterwards."""
    fleet = Fleet(ChannelBook(ChannelOptions(), ModelChoice()), ChannelsView([], quiet=True, json=True))
    stop = threading.Event()
    with fleet:
        with pytest.raises(UsageError, match="still being loaded"):
            fleet.add(entry("early"))
        fleet.rounds = Rounds(load_model(None, device="cpu"), stop, stays=True)

        def serve() -> None:
            for told in fleet.rounds.events():
                fleet.pass_on(told)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            out = str(tmp_path / "{name}.jsonl")
            assert fleet.add(entry("one", out=out)) == "one"
            for wrong, error in (
                (entry("one"), UsageError),
                (entry("two", fsp=3), UsageError),
                (entry("two", device="cpu"), UsageError),
                (entry("two", source=str(tmp_path / "none.mp4")), SourceError),
                (entry("two", out=str(tmp_path / "one.jsonl")), UsageError),
                (entry("two", out=str(tmp_path / "none" / "x.vtt")), OutputError),
            ):
                with pytest.raises(error):
                    fleet.add(wrong)
            assert [each.name for each in fleet.states()] == ["one"]
            for _ in range(2):
                assert fleet.add(entry("two", out=out, overwrite=True)) == "two"
                until(lambda: {each.name: each for each in fleet.states()}["two"].steps > 1, "it runs")
                fleet.remove("two")
                until(lambda: len(fleet.states()) == 1, "it goes")
                assert lines(tmp_path / "two.jsonl")[-1]["type"] == "end"
            with pytest.raises(UsageError, match="no channel two"):
                fleet.remove("two")
            (left,) = fleet.states()
            assert (left.condition, left.steps > 3) == ("running", True)
        finally:
            stop.set()
            thread.join()
    assert not fleet.failed


@contextmanager
def one_runs() -> Iterator[tuple[Fleet, Callable[[], bool]]]:
    """A fleet with one channel, and whether that goes on; all is ended behind it."""
    stop = threading.Event()
    fleet = Fleet(ChannelBook(ChannelOptions(), ModelChoice()), ChannelsView([], quiet=True, json=True))
    with fleet:
        fleet.rounds = Rounds(load_model(None, device="cpu"), stop, stays=True)
        thread = threading.Thread(target=fleet.run)
        thread.start()
        fleet.add(entry("one"))

        def goes_on() -> bool:
            before = fleet.states()[0].steps
            until(lambda: not thread.is_alive() or fleet.states()[0].steps > before + 2, "the first goes on")
            return thread.is_alive()

        try:
            yield fleet, goes_on
        finally:
            stop.set()
            thread.join()


def test_no_more_run_than_may_however_many_are_added_at_once(tmp_path, monkeypatch) -> None:
    most, added, refused = 4, [], []
    with one_runs() as (fleet, goes_on):
        desk = PageDesk(fleet, Board(tmp_path, is_several=True), fleet._view, most)
        together, spec = threading.Barrier(7), ChannelBook.spec

        def at_once(book, wanted):
            together.wait(60)
            return spec(book, wanted)

        monkeypatch.setattr(ChannelBook, "spec", at_once)

        def add(number: int) -> None:
            try:
                added.append(desk.add({"source": "arena:soccer,minutes=inf", "name": f"more-{number}"}))
            except UsageError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=add, args=[number]) for number in range(7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert goes_on()
    assert len(added) == most - 1
    assert len(refused) == 7 - len(added)
    assert all("4 channels run already" in each for each in refused)


def test_a_source_that_comes_as_its_channel_is_removed_is_let_go(tmp_path, monkeypatch) -> None:
    """It does not begin, its files are free, and whoever runs beside it goes on."""
    asked, comes, tries, open_source = threading.Event(), threading.Event(), [], sources.open_source

    def late(name, *more):
        if name.startswith("http"):
            tries.append(name)
            if len(tries) == 1:
                raise SourceError("nobody is there")
            asked.set()
            assert comes.wait(60)
            name = "arena:soccer,seed=3,minutes=inf"
        return open_source(name, *more)

    monkeypatch.setattr(sources, "open_source", late)
    camera = {
        "source": "http://camera.local/live.m3u8",
        "reconnect_seconds": 60,
        "out": str(tmp_path / "c.vtt"),
    }
    with one_runs() as (fleet, goes_on):
        fleet.add(entry("camera", **camera))
        assert asked.wait(60)
        fleet.remove("camera")
        comes.set()
        until(lambda: all(each.name != "svlm-await" for each in threading.enumerate()), "nobody looks for it")
        assert goes_on()
        assert [each.name for each in fleet.states()] == ["one"]
        fleet.add(entry("other", out=camera["out"]))
        assert goes_on()
    assert not fleet.failed


def test_who_is_removed_as_it_begins_ends(tmp_path, monkeypatch) -> None:
    """Its session takes seconds to go on from a large state; meanwhile it is none of those that run yet."""
    begins, may_begin = threading.Event(), threading.Event()
    with one_runs() as (fleet, goes_on):
        add = fleet.rounds.add

        def slow(channel) -> None:
            begins.set()
            assert may_begin.wait(60)
            add(channel)

        monkeypatch.setattr(fleet.rounds, "add", slow)
        thread = threading.Thread(target=fleet.add, args=(entry("late", out=str(tmp_path / "late.jsonl")),))
        thread.start()
        try:
            assert begins.wait(60)
            fleet.remove("late")
        finally:
            may_begin.set()
            thread.join()
        until(lambda: [each.name for each in fleet.states()] == ["one"], "it ends")
        assert lines(tmp_path / "late.jsonl")[-1]["type"] == "end"
        assert goes_on()
    assert not fleet.failed
