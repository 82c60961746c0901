"""What both views of ``svlm stream`` share: where words and talk go, and the status on a terminal."""

from __future__ import annotations

import io
import math
import sys
from abc import ABC, abstractmethod
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from rich.console import Group
from rich.live import Live
from rich.text import Text

from svlm_cli.commands.output import TalkConsole
from svlm_cli.cue_text import timestamp
from svlm_cli.types import StepEvent

RECENT_STEPS = 600
ASK_HINT = " type a question, Enter asks it"


def clock(seconds: float) -> str:
    """``HH:MM:SS``, with milliseconds only where there are some."""
    return timestamp(seconds).removesuffix(".000")


class RecentSteps:
    """Latency of the last steps, for the status line."""

    def __init__(self) -> None:
        self._wall_seconds: deque[float] = deque(maxlen=RECENT_STEPS)
        self._stream_seconds: deque[float] = deque(maxlen=RECENT_STEPS)

    def add(self, step: StepEvent) -> None:
        """Count one step in."""
        self._wall_seconds.append(step.timings.total)
        self._stream_seconds.append(step.end_seconds - step.start_seconds)

    def percentile(self, percent: int) -> float:
        """Wall seconds that ``percent`` of the last steps stay within (nearest rank)."""
        ordered = sorted(self._wall_seconds)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    @property
    def realtime_factor(self) -> float:
        """Stream seconds per second of work."""
        return sum(self._stream_seconds) / max(sum(self._wall_seconds), 1e-9)


class TalkView(ABC):
    """A view of streams; a context manager that leaves the terminal as it found it.

    Args:
        json: JSON Lines on standard output instead of words.
        quiet: nothing on standard error but errors.
        out, err: standard output and standard error unless a test says otherwise.
    """

    def __init__(self, *, json: bool, quiet: bool, out: TextIO | None, err: TextIO | None) -> None:
        self._out = out or sys.stdout
        if json and isinstance(self._out, io.TextIOWrapper):  # JSON is UTF-8
            self._out.reconfigure(encoding="utf-8", errors="backslashreplace")
        self._console = TalkConsole(err)
        self._json = json
        self._quiet = quiet
        both = self._out.isatty() and self._console.is_terminal
        self._has_status = self._console.is_terminal and not quiet and not (json and both)
        self._owns_terminal = both and self._has_status
        self._live: Live | None = None
        self._typed: str | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing but errors is said."""
        return self._quiet

    @property
    def has_status(self) -> bool:
        """Whether a status is shown."""
        return self._has_status

    def say(self, message: str, style: str = "") -> None:
        """One line of talk, unless quiet."""
        if not self._quiet:
            self._console.tell(message, style)

    def busy(self, what: str) -> AbstractContextManager[object]:
        """A spinner on a terminal while ``what`` is done."""
        return self._console.status(Text(what)) if self._has_status else nullcontext()

    def show_typed(self, text: str) -> None:
        """Show what is being typed as a question, printable letters only; from any thread."""
        self._typed = text
        self._update()

    @abstractmethod
    def _status(self) -> list[Text]:
        """The lines of the status, without what is being typed."""

    def _start_live(self) -> None:
        if self._has_status and self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=self._owns_terminal,
            )
            self._live.start()

    def _update(self) -> None:
        if self._live is None:
            return
        lines = self._status()
        if self._typed is not None:
            # A long question shows its end: that is where its writer is.
            typed = self._typed[-max(1, self._console.width - len("ask: _") - 1) :]
            hint = "" if typed else ASK_HINT[: max(0, self._console.width - len("ask: _") - 1)]
            lines.append(Text.assemble(("ask: ", "bold"), typed, ("_", "blink"), (hint, "dim")))
        self._live.update(Group(*lines), refresh=True)

    def _stop_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
