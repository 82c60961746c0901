"""Questions typed while a stream runs (``svlm stream --ask``)."""

from __future__ import annotations

import codecs
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Self

POLL_SECONDS = 0.1
MOST_LINE_BYTES = 65536
ENTER, ERASE, CLEAR, ESCAPE = "\r\n", "\x7f\b", "\x15", "\x1b"


def lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of a stream of bytes: what is no UTF-8 is replaced, what is beyond any length left out."""
    while line := stream.readline(MOST_LINE_BYTES):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(MOST_LINE_BYTES)
        yield line.decode("utf-8", "replace")


class Typing:
    """Reads lines from standard input in a thread while it is open as a context manager.

    On a terminal that shows a status line the letters are read one by one and shown beside it; elsewhere
    every line of standard input is a question.

    Args:
        ask: called with each line.
        show: called with what is typed so far.
        by_letter: whether standard input is a terminal that somebody else draws on.
    """

    def __init__(self, ask: Callable[[str], None], show: Callable[[str], None], *, by_letter: bool) -> None:
        self._ask = ask
        self._show = show
        self._is_closed = threading.Event()
        self._before: list[Any] | None = None
        work = self._read_letters if by_letter else self._read_lines
        self._thread = threading.Thread(target=work, name="svlm-ask", daemon=True)
        if by_letter:
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSANOW)

    def __enter__(self) -> Self:
        if self._before is not None:
            self._show("")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()
        if self._before is not None:
            self._thread.join(1.0)
        self.restore()

    def restore(self) -> None:
        """Give the terminal back as it was."""
        if self._before is not None:
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def _read_lines(self) -> None:
        if sys.stdin is None:
            return
        # A reader of its own: the interpreter aborts where it ends while a thread waits in sys.stdin.
        with suppress(OSError, ValueError):  # closed, or a terminal that is another's by now
            stream = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - no close while it is read
            for line in lines(stream):
                if self._is_closed.is_set():
                    return
                self._ask(line.strip())

    def _read_letters(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        typed = ""
        while not self._is_closed.is_set():
            if not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
                continue
            data = os.read(sys.stdin.fileno(), 1024)
            if not data:
                return
            letters = decoder.decode(data)
            if letters.startswith(ESCAPE):  # an arrow or another key without a letter
                continue
            for letter in letters:
                typed = self._typed(typed, letter)
            self._show(typed)

    def _typed(self, typed: str, letter: str) -> str:
        if letter in ENTER:
            if typed.strip():
                self._ask(typed.strip())
            return ""
        if letter in ERASE:
            return typed[:-1]
        if letter == CLEAR:
            return ""
        return typed + letter if letter.isprintable() else typed
