"""Ctrl-C and SIGTERM while a stream runs: the first ends it cleanly, the second at once."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Self

from svlm_cli.commands.output import INTERRUPTED

TERMINATED = 128 + signal.SIGTERM
LEAVE_SECONDS = 10.0
SHOW_CURSOR = "\x1b[?25h"


class Stopper:
    """Turns signals into an event while it is open as a context manager; in the main thread only.

    Args:
        on_first: called at the first signal.

    Attributes:
        event: set by the first signal.
        code: exit code that the first signal asks for; 0 before it.
        restore: called before leaving at once; may be replaced.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.event = threading.Event()
        self.code = 0
        self.restore: Callable[[], None] = lambda: None
        self._on_first = on_first
        self._before: dict[signal.Signals, signal.Handlers | int | Callable[..., object] | None] = {}

    def stop(self, code: int) -> None:
        """As the first signal does."""
        self._handle(code - 128, None)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.code:
            self._leave()
        self.code = TERMINATED if number == signal.SIGTERM else INTERRUPTED
        # From another thread: the interrupted one may hold the event's lock, on its way into a wait.
        start_new_thread(self.event.set, ())
        self._on_first()

    def _leave(self) -> None:
        """What is written is whole at any moment, so nothing has to be closed."""
        with suppress(Exception):
            self.restore()
            terminal = sys.__stderr__  # a status line may stand in for sys.stderr
            if terminal is not None and terminal.isatty():
                terminal.write(SHOW_CURSOR + "\n")
                terminal.flush()
        os._exit(self.code)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Reloader:
    """Calls ``reload`` at each SIGHUP while it is open as a context manager; in the main thread only.

    A terminal that is closed sends SIGHUP as well: it ends the stream, as SIGTERM does.

    Args:
        reload: called in a thread of its own, once at a time; raises nothing.
        stopper: ends the stream.
    """

    def __init__(self, reload: Callable[[], None], stopper: Stopper) -> None:
        self._reload = reload
        self._stopper = stopper
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._had_terminal = _has_terminal()
        self._thread = threading.Thread(target=self._run, name="svlm-reload", daemon=True)
        self._before: signal.Handlers | int | Callable[..., object] | None = None

    def _run(self) -> None:
        while self._asked.get():
            if self._had_terminal and not _has_terminal():
                self._stopper.stop(TERMINATED)
            else:
                self._reload()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._thread.start()
            self._before = signal.signal(signal.SIGHUP, lambda *_: self._asked.put(True))
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            signal.signal(signal.SIGHUP, self._before)
            self._asked.put(False)
            self._thread.join(LEAVE_SECONDS)  # a thread that wakes as the interpreter ends aborts it


def _has_terminal() -> bool:
    return sys.__stderr__ is not None and not sys.__stderr__.closed and sys.__stderr__.isatty()
