"""The first Ctrl-C, wherever it finds the program."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from svlm_cli.commands.output import INTERRUPTED
from svlm_cli.commands.stream.stopping import Stopper


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
