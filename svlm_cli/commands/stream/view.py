"""What ``svlm stream`` shows: words or JSON on standard output, status and summary on standard error."""

from __future__ import annotations

from typing import TextIO

from rich.filesize import decimal
from rich.text import Text

from svlm_cli.commands.output import emit
from svlm_cli.commands.stream.talk_view import RecentSteps, TalkView, clock
from svlm_cli.cue_text import clean_text
from svlm_cli.settings import Pace
from svlm_cli.stream.outputs.formats import json_line
from svlm_cli.types import AnswerEvent, EndEvent, StartEvent, StepEvent, StreamEvent, WarningEvent

MAX_DOTS = 60
BAR_CELLS = 24
NARROW_BAR_CELLS = 12
WIDE_COLUMNS = 140
BAR_PARTS = (("sink", "▓", "magenta"), ("text", "▒", "blue"), ("frames", "░", "yellow"))


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"


def cache_bar(step: StepEvent, num_cells: int = BAR_CELLS, *, has_labels: bool = True) -> Text:
    """The cached tokens of a step as a bar of sink, text and frames."""
    num_text = max(0, step.num_cached_tokens - step.num_vision_tokens - step.num_sink_tokens)
    parts = zip((step.num_sink_tokens, num_text, step.num_vision_tokens), BAR_PARTS, strict=True)
    bar, filled, tokens = Text(), 0, 0
    for num_tokens, (name, cell, style) in parts:
        tokens += num_tokens
        end = round(num_cells * tokens / max(step.num_cached_tokens, 1))
        bar.append(cell * (end - filled), style)
        if has_labels:
            bar.append(f" {name} {num_tokens:,} ", "dim")
        filled = end
    return bar


class StreamView(TalkView):
    """Shows the events of one stream; a context manager that leaves the terminal as it found it.

    Args:
        json: JSON Lines on standard output instead of words.
        quiet: nothing on standard error but errors.
        verbose: the timings of every step on standard error.
        out, err: standard output and standard error unless a test says otherwise.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        super().__init__(json=json, quiet=quiet, out=out, err=err)
        self._verbose = verbose
        self._recent = RecentSteps()
        self._num_silent = 0
        self._num_steps = 0
        self._skipped_seconds = 0.0
        self._is_realtime = False
        self._last: StepEvent | None = None
        self._end: EndEvent | None = None

    def show(self, event: StreamEvent) -> None:
        """Show one event.

        Raises:
            ReaderGone: nobody reads standard output any more.
            OutputError: standard output cannot be written.
        """
        if self._json:
            emit(json_line(event), self._out)
        match event:
            case StartEvent():
                self._show_start(event)
            case StepEvent():
                self._show_step(event)
            case AnswerEvent():
                self._show_answer(event)
            case WarningEvent():
                place = "" if event.at_seconds is None else f" at {clock(event.at_seconds)}"
                self.say(f"warning{place}: {event.message}", "yellow")
            case EndEvent():
                self._end = event

    def _show_start(self, start: StartEvent) -> None:
        self.say(
            f"svlm {start.version}: {start.source}, {start.model} on {start.device} ({start.dtype})", "dim"
        )
        if shown := start.settings.get("shown"):
            self.say(f"pictures: {shown}", "dim")
        self._is_realtime = start.settings.get("pace") == Pace.REALTIME
        self._start_live()

    def _show_step(self, step: StepEvent) -> None:
        self._last = step
        self._num_steps += 1
        self._skipped_seconds += step.skipped_seconds
        self._recent.add(step)
        words = clean_text(step.text)
        self._num_silent = 0 if words else self._num_silent + 1
        if words and not self._json:
            self._show_words(clock(step.start_seconds), words)
        if self._verbose:
            timings = step.timings
            parts = ", ".join(
                f"{name} {getattr(timings, name):.3f}"
                for name in ("read", "vision", "prefill", "decode", "cache")
            )
            self.say(f"step {step.index}: {timings.total:.3f} s ({parts})", "dim")
        self._update()

    def _show_words(self, time: str, words: str) -> None:
        if self._owns_terminal:
            self._console.print(Text.assemble((time, "cyan"), "  ", words))
        else:
            emit(f"[{time}] {words}", self._out)

    def _show_answer(self, answer: AnswerEvent) -> None:
        time, question = clock(answer.start_seconds), clean_text(answer.question)
        text = clean_text(answer.text) or "(no answer)"
        if self._owns_terminal:
            self._console.print(
                Text.assemble((time, "cyan"), "  ", (f"{question} ", "bold"), (text, "green"))
            )
        elif not self._json:
            emit(f"[{time}] {question} -> {text}", self._out)

    def _status(self) -> list[Text]:
        lines = []
        if self._num_silent:
            lines.append(Text("·" * min(self._num_silent, MAX_DOTS), style="dim"))
        if self._last is not None:
            lines.append(self._status_line(self._last))
        return lines

    def _status_line(self, step: StepEvent) -> Text:
        if self._console.width < WIDE_COLUMNS:
            return self._short_status_line(step)
        status = (
            f"{clock(step.end_seconds)}  step p50 {self._recent.percentile(50):.3f} s, "
            f"p95 {self._recent.percentile(95):.3f} s  {self._recent.realtime_factor:.1f}x real time  "
        )
        if self._is_realtime:
            status += f"lag {step.lag_seconds:.1f} s  "
        if self._skipped_seconds:
            status += f"{self._skipped_seconds:.0f} s skipped  "
        line = Text(f"{status}{step.num_cached_tokens:,} tokens ", no_wrap=True, overflow="ellipsis")
        line.stylize("reverse", 0, len(line) - 1)
        return line.append_text(cache_bar(step))

    def _short_status_line(self, step: StepEvent) -> Text:
        """The same for 80 columns: seconds per step at p50/p95, lag, skipped seconds, tokens, bar."""
        p50, p95 = self._recent.percentile(50), self._recent.percentile(95)
        status = f"{clock(step.end_seconds)} {p50:.2f}/{p95:.2f} s {self._recent.realtime_factor:.1f}x "
        if self._is_realtime:
            status += f"lag {step.lag_seconds:.1f} "
        if self._skipped_seconds:
            status += f"skip {self._skipped_seconds:.0f} "
        line = Text(f"{status}{step.num_cached_tokens:,} tokens ", no_wrap=True, overflow="ellipsis")
        line.stylize("reverse", 0, len(line) - 1)
        return line.append_text(cache_bar(step, NARROW_BAR_CELLS, has_labels=False))

    def finish(self, failed_outputs: tuple[str, ...] = (), *, stopped: bool = False) -> None:
        """Take the status line away and print the summary."""
        self._stop_live()
        if stopped:
            self._say_stopped()
        if self._end is None:
            return
        end = self._end
        summary = (
            f"{_steps(end.steps)}, {clock(end.stream_seconds)} in {end.wall_seconds:.1f} s: "
            f"{end.realtime_factor:.2f}x real time, step p50 {end.p50_step_seconds:.3f} s, "
            f"p95 {end.p95_step_seconds:.3f} s, peak memory {decimal(end.peak_rss_bytes)}"
        )
        if end.peak_device_bytes:
            summary += f" and {decimal(end.peak_device_bytes)} on the device"
        if failed_outputs:
            summary += f"; outputs that failed: {', '.join(failed_outputs)}"
        self.say(summary)

    def __enter__(self) -> StreamView:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._stop_live()
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._say_stopped()

    def _say_stopped(self) -> None:
        reached = (
            f" after {_steps(self._num_steps)}, at {clock(self._last.end_seconds)}" if self._last else ""
        )
        self.say(f"stopped{reached}")
