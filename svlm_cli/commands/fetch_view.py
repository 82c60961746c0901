"""What ``svlm fetch`` shows while it works: a bar for each video under way, a line for each that is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from svlm_cli.text import one_line

if TYPE_CHECKING:
    from svlm_cli.commands.output import TalkConsole
    from svlm_cli.data.fetch.folder import Fetched
    from svlm_cli.data.fetch.one import FetchProgress

TITLE_WIDTH = 40
LONGEST_TITLE = 120


class FetchView:
    """Bars on a terminal, plain lines elsewhere; a context manager.

    Args:
        console: the console on standard error.
        is_quiet: show failures only.
    """

    def __init__(self, console: TalkConsole, *, is_quiet: bool) -> None:
        self._console = console
        self._is_quiet = is_quiet
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=is_quiet or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def progress(self, progress: FetchProgress) -> None:
        """Take note of how far a video is; called from any thread."""
        if progress.is_done:
            task = self._tasks.pop(progress.source, None)
            if task is not None:
                self._bars.remove_task(task)
            return
        if progress.source not in self._tasks:
            title = escape(one_line(progress.title or progress.source)[:TITLE_WIDTH])
            self._tasks[progress.source] = self._bars.add_task(title, total=progress.total_bytes)
        self._bars.update(
            self._tasks[progress.source], completed=progress.done_bytes, total=progress.total_bytes
        )

    def show(self, result: Fetched, folder: Path) -> None:
        """A line on a video that is done with."""
        if result.video is None:
            self._console.tell(f"failed: {result.source}: {result.problem}")
        elif not self._is_quiet:
            verb = "fetched" if result.is_new else "have"
            self._console.tell(f"{verb}: {folder / result.video.path} ({result.video.title[:LONGEST_TITLE]})")
        if result.note:
            self._console.tell(f"{result.source}: {result.note}")

    def list_failures(self, failed: Sequence[Fetched]) -> None:
        """Every failure once more, where many lines may stand between."""
        self._console.print(f"{len(failed)} failed:")
        for result in failed:
            self._console.tell(f"{result.source}: {result.problem}", indent="  ")
