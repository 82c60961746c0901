"""What ``svlm stream`` shows of several channels: words or JSON with their names, a status line for each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TextIO

from rich.text import Text

from svlm_cli.commands.output import emit
from svlm_cli.commands.stream.talk_view import RecentSteps, TalkView, clock
from svlm_cli.cue_text import clean_text
from svlm_cli.settings import Pace
from svlm_cli.stream.outputs.formats import event_to_json
from svlm_cli.text import as_json
from svlm_cli.types import AnswerEvent, EndEvent, StartEvent, StepEvent, StreamEvent, WarningEvent

NAME_CELLS = 20
MOST_LINES = 40
LEAST_LINES = 3
UPDATE_SECONDS = 0.2  # between two drawings for steps: a hundred channels make hundreds of them a second
LATE_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class _ChannelStatus:
    """What the status line of a channel tells."""

    recent: RecentSteps
    is_realtime: bool = False
    skipped_seconds: float = 0.0
    words: str = ""
    last: StepEvent | None = None
    end: EndEvent | None = None

    @property
    def is_late(self) -> bool:
        """Whether it runs behind its source."""
        return self.end is None and self.last is not None and self.last.lag_seconds > LATE_SECONDS

    def text(self, name: str) -> Text:
        line = Text(f"{_shortened(name):{NAME_CELLS}} ", style="bold", no_wrap=True, overflow="ellipsis")
        if self.last is None:
            return line.append("waiting" if self.end is None else "ended", "dim")
        figures = f"{clock(self.last.end_seconds)} step {self.recent.percentile(50):.2f} s "
        if self.is_realtime:
            figures += f"lag {self.last.lag_seconds:.1f} s "
        if self.skipped_seconds:
            figures += f"skipped {self.skipped_seconds:.0f} s "
        line.append("ended " if self.end is not None else "", "dim")
        return line.append(figures, "reverse red" if self.is_late else "reverse").append(f" {self.words}", "")


def _shortened(name: str) -> str:
    """A name with both ends, where it is too long: names of one kind differ at their ends."""
    if len(name) <= NAME_CELLS:
        return name
    half = NAME_CELLS // 2
    return f"{name[: half - 1]}…{name[-half:]}"


class ChannelsView(TalkView):
    """Shows the events of several channels; a context manager that leaves the terminal as it found it.

    Args:
        names: the names of the channels, in their order.
        json: JSON Lines on standard output, each with its ``channel``, instead of words.
        quiet: nothing on standard error but errors.
        out, err: standard output and standard error unless a test says otherwise.
    """

    def __init__(
        self,
        names: list[str],
        *,
        json: bool = False,
        quiet: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        super().__init__(json=json, quiet=quiet, out=out, err=err)
        self._lines = {name: _ChannelStatus(RecentSteps()) for name in names}
        self._drawn_at = -UPDATE_SECONDS
        self._lock = threading.RLock()

    def show(self, name: str, event: StreamEvent) -> None:
        """Show one event of a channel; from any thread.

        Raises:
            ReaderGone: nobody reads standard output any more.
            OutputError: standard output cannot be written.
        """
        with self._lock:
            self._show(name, event)

    def _show(self, name: str, event: StreamEvent) -> None:
        if self._json:
            emit(as_json({"channel": name, **event_to_json(event)}), self._out)
        line = self._lines.setdefault(name, _ChannelStatus(RecentSteps()))
        match event:
            case StartEvent():
                line = self._lines[name] = _ChannelStatus(RecentSteps())
                line.is_realtime = event.settings.get("pace") == Pace.REALTIME
                self.say(f"{name}: {event.source}, {event.model} on {event.device} ({event.dtype})", "dim")
            case StepEvent():
                line.last, line.skipped_seconds = event, line.skipped_seconds + event.skipped_seconds
                line.recent.add(event)
                line.words = clean_text(event.text) or line.words
                self._tell(name, event.start_seconds, clean_text(event.text))
            case AnswerEvent():
                text = f"{clean_text(event.question)} -> {clean_text(event.text) or '(no answer)'}"
                self._tell(name, event.start_seconds, text)
            case WarningEvent():
                place = "" if event.at_seconds is None else f" at {clock(event.at_seconds)}"
                self.say(f"warning, {name}{place}: {event.message}", "yellow")
            case EndEvent():
                line.end = event
        self._start_live()
        now = time.monotonic()
        if not isinstance(event, StepEvent) or now - self._drawn_at >= UPDATE_SECONDS:
            self._drawn_at = now
            self._update()

    def end(self, name: str, *, forget: bool) -> None:
        """A channel has ended; one to be forgotten loses its line, and is summed up now."""
        if forget and (line := self._lines.pop(name, None)) is not None:
            self._sum_up(name, line)
            self._update()

    def finish(self, *, stopped: bool = False) -> None:
        """Take the status lines away and print a summary of each channel."""
        self._stop_live()
        if stopped:
            self.say("stopped")
        for name, line in self._lines.items():
            self._sum_up(name, line)

    def _sum_up(self, name: str, line: _ChannelStatus) -> None:
        if (end := line.end) is not None:
            self.say(
                f"{name}: {end.steps} steps, {clock(end.stream_seconds)} in {end.wall_seconds:.1f} s, "
                f"step p50 {end.p50_step_seconds:.3f} s, p95 {end.p95_step_seconds:.3f} s, "
                f"{line.skipped_seconds:.0f} s skipped"
            )

    def _tell(self, name: str, seconds: float, words: str) -> None:
        if not words or self._json:
            return
        if self._owns_terminal:
            self._console.print(Text.assemble((clock(seconds), "cyan"), " ", (name, "bold"), "  ", words))
        else:
            emit(f"[{clock(seconds)}] {name}: {words}", self._out)

    def _status(self) -> list[Text]:
        """As many lines as leave room for words, those that are late among them; the others in one line."""
        lines = list(self._lines.items())
        room = min(MOST_LINES, max(LEAST_LINES, self._console.height // 2))
        if len(lines) <= room:
            return [line.text(name) for name, line in lines]
        first = sorted(lines, key=lambda each: not each[1].is_late)[: room - 1]
        names = {name for name, _ in first}
        rest = [line for name, line in lines if name not in names]
        parts = {
            "waiting": sum(line.last is None and line.end is None for line in rest),
            "ended": sum(line.end is not None for line in rest),
            "late": sum(line.is_late for line in rest),
        }
        told = "".join(f", {number} {what}" for what, number in parts.items() if number)
        shown = [line.text(name) for name, line in lines if name in names]
        return [*shown, Text(f"and {len(rest)} more{told}", style="dim")]

    def __enter__(self) -> ChannelsView:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_live()
