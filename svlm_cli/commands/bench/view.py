"""What ``svlm bench`` shows while it runs: a progress bar on a terminal, a line per match elsewhere."""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from svlm_cli.bench.arena.answers import ALL_ANSWERS
from svlm_cli.bench.arena.matches import BenchEvent, BenchStart
from svlm_cli.bench.arena.scored import LABELS, OVER_TIME, ScoredMatch
from svlm_cli.bench.common.events import WorkDone, WorkEvent, WorkProgress, WorkStart
from svlm_cli.bench.common.tables import NOTHING
from svlm_cli.commands.output import TalkConsole
from svlm_cli.types import WarningEvent


class WorkView:
    """Talks on standard error; a context manager that leaves the terminal as it found it.

    Args:
        quiet: nothing but errors.
        verbose: more about every piece of work.
    """

    unit = "pieces"

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._console = TalkConsole()
        self._quiet = quiet
        self._verbose = verbose
        self._num_done = self._num_total = 0
        self._bar = ProgressBar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("")

    def show_work(self, event: WorkEvent) -> None:
        """Show one event of work that is counted in pieces."""
        match event:
            case WorkStart():
                self.unit = event.unit
                self._begin(event.title, event.num_done, event.num_total, event.num_total - event.num_done)
            case WarningEvent():
                self.warn(event.message)
            case WorkDone():
                self._bar.advance(self._task)
                self._one_more(event.note)

    def warn(self, message: str) -> None:
        """Say what went wrong without ending the work."""
        self._say(f"warning: {message}", "yellow")

    def _one_more(self, note: str) -> None:
        self._num_done += 1
        self._bar.update(self._task, description=self._count())
        if note:
            self._say(note)

    def _begin(self, title: str, num_done: int, num_total: int, total: float) -> None:
        self._num_done, self._num_total = num_done, num_total
        there = f", {num_done} already there" if num_done else ""
        self._say(f"{title}: {num_total} {self.unit}{there}", "dim")
        self._bar.update(self._task, description=self._count(), total=total)
        self._bar.start()

    def _count(self) -> str:
        return f"{self._num_done} of {self._num_total} {self.unit}"

    def _say(self, message: str, style: str = "") -> None:
        if not self._quiet:
            self._console.tell(message, style)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._bar.stop()
        if error is not None and self._num_total:
            self._say(f"stopped: {self._count()} are whole; the same command goes on from there")


class BenchView(WorkView):
    """Shows a benchmark of the arena: a progress bar of stream seconds, a line per match."""

    unit = "matches"

    def show(self, event: BenchEvent) -> None:
        """Show one event."""
        match event:
            case BenchStart():
                self._show_start(event)
            case WarningEvent():
                self.warn(event.message)
            case WorkProgress():
                self._bar.advance(self._task, event.num_seconds)
            case ScoredMatch():
                self._show_match(event)

    def _show_start(self, start: BenchStart) -> None:
        model = start.model
        title = f"{model.name} on {model.device} ({model.dtype})"
        self._begin(title, start.num_done, start.num_matches, start.num_seconds)

    def _show_match(self, match: ScoredMatch) -> None:
        job, result = match.result.job, match.result
        names = OVER_TIME if self._verbose else OVER_TIME[:1]
        scores = [_score(match, name) for name in names]
        if job.run.is_asked:
            answers = match.answers[ALL_ANSWERS]
            scores.append(f"{answers.part} of {answers.whole} answers right")
        said = ", ".join(scores)
        self._one_more(f"{job.run.name}, seed {job.seed}: {said}, {result.realtime_factor:.1f}x real time")


def _score(match: ScoredMatch, name: str) -> str:
    percent = match.total[name].percent
    return f"{LABELS[name]} {NOTHING if percent is None else f'{percent:.2f} %'}"
