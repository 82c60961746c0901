"""What ``svlm stream`` shows of several channels: words or JSON with their names, a status line for each."""

from __future__ import annotations

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


@dataclass(slots=True, eq=False)
class _ChannelStatus:
    """What the status line of a channel tells."""

    recent: RecentSteps
    is_realtime: bool = False
    skipped_seconds: float = 0.0
    words: str = ""
    last: StepEvent | None = None
    end: EndEvent | None = None

    def text(self, name: str) -> Text:
        line = Text(f"{name[:NAME_CELLS]:{NAME_CELLS}} ", style="bold", no_wrap=True, overflow="ellipsis")
        if self.last is None:
            return line.append("waiting", "dim")
        figures = f"{clock(self.last.end_seconds)} {self.recent.percentile(50):.2f} s "
        if self.is_realtime:
            figures += f"lag {self.last.lag_seconds:.1f} "
        if self.skipped_seconds:
            figures += f"skip {self.skipped_seconds:.0f} "
        line.append("ended " if self.end is not None else "", "dim")
        return line.append(figures, "reverse").append(f" {self.words}", "")


class ChannelsView(TalkView):
    """Shows the events of several channels; a context manager that leaves the terminal as it found it.

    Args:
        names: of the channels, in their order.
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

    def show(self, name: str, event: StreamEvent) -> None:
        """Show one event of a channel.

        Raises:
            ReaderGone: nobody reads standard output any more.
            OutputError: standard output cannot be written.
        """
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
        shown = [line.text(name) for name, line in list(self._lines.items())[:MOST_LINES]]
        if left := len(self._lines) - len(shown):
            shown.append(Text(f"and {left} more", style="dim"))
        return shown

    def __enter__(self) -> ChannelsView:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_live()
