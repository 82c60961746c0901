"""The first Ctrl-C, wherever it finds the program."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from svlm_cli import __main__
from svlm_cli.cli import run
from svlm_cli.commands.output import INTERRUPTED
from svlm_cli.commands.stream.fleet import Fleet
from svlm_cli.commands.stream.stopping import Stopper
from tests.stream.served import free_port


@pytest.fixture
def patience() -> Iterator[None]:
    """A test that hangs in its main thread fails after ten seconds."""

    def ends(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, ends)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("patience")
def test_a_signal_on_the_way_into_a_wait_does_not_hang() -> None:
    """The pace waits for the event five times a second, and its lock is held for a moment each time."""
    told: list[str] = []
    with Stopper(lambda: told.append("stopping")) as stopper:
        with stopper.event._cond:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGINT)
        assert stopper.event.wait(5)
    assert (told, stopper.code) == (["stopping"], INTERRUPTED)


@pytest.fixture
def ignored() -> Iterator[None]:
    """As a shell without job control starts what runs in the background; all is as it was afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("patience", "ignored")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wait_for_a_source_ends_whatever_was_inherited(number: signal.Signals, capsys) -> None:
    source = f"http://127.0.0.1:{free_port()}/live.m3u8"

    def waits(_: Sequence[str]) -> int:
        threading.Thread(target=lambda: (time.sleep(0.7), os.kill(os.getpid(), number))).start()
        return run(["stream", source, "--reconnect-seconds", "inf"])

    with pytest.raises(SystemExit) as ended:
        __main__.main(waits)
    assert ended.value.code == 128 + number


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_channels_are_opened(number: signal.Signals, monkeypatch, capsys) -> None:
    """No model is loaded for what is to end; a file that is to be read again is asked for later."""
    monkeypatch.setattr(Fleet, "open_all", lambda *_: signal.raise_signal(number))
    monkeypatch.setattr(Fleet, "ready", [None])
    loads: list[bool] = []
    monkeypatch.setattr("svlm_cli.commands.stream.run.loaded", lambda *_: loads.append(True) or 1 / 0)
    code = run(["stream", "arena:soccer?seed=1", "arena:soccer?seed=2"])
    assert (code, loads) == ((1, [True]) if number == signal.SIGHUP else (128 + number, []))
