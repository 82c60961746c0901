"""What ``svlm bench fps`` shows while it runs: a progress bar on a terminal, a line per run elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.speed.fps import SpeedEvent, SpeedStart
from svlm_cli.bench.speed.measure import SpeedRun, Trial
from svlm_cli.commands.output import TalkConsole
from svlm_cli.types import WarningEvent


class SpeedView:
    """Talks on standard error; a context manager that leaves the terminal as it found it.

    Args:
        quiet: nothing but errors.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = TalkConsole()
        self._quiet = quiet
        self._bar = ProgressBar(
            TextColumn("steps"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("")

    def show(self, event: SpeedEvent) -> None:
        """Show one event."""
        match event:
            case SpeedStart():
                there = f", {event.num_done} runs already there" if event.num_done else ""
                model = event.model
                self._say(f"{model.name} on {model.device} ({model.dtype}){there}", "dim")
                self._bar.update(self._task, total=event.num_steps)
                self._bar.start()
            case WarningEvent():
                self._say(f"warning: {event.message}", "yellow")
            case WorkProgress():
                self._bar.advance(self._task, event.num_seconds)
            case SpeedRun():
                pace = len(event.num_words) * event.step_seconds / event.wall_seconds
                self._say(
                    f"{event.name}, {event.fps:g} FPS: {len(event.num_words)} steps, {pace:.2f}x real time"
                )
            case Trial():
                verdict = "in time" if event.is_real_time else "too slow"
                self._say(f"{event.fps:g} FPS: step p95 {event.p95_step_seconds:.3f} s, {verdict}")

    def _say(self, message: str, style: str = "") -> None:
        if not self._quiet:
            self._console.tell(message, style)

    def __enter__(self) -> SpeedView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if error is not None:
            self._say("stopped: runs that are whole are kept; the same command goes on from there")
