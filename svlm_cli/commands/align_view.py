"""What ``svlm align`` shows while it works: a line for each video that is done with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from svlm_cli.commands.output import TalkConsole
    from svlm_cli.data.words.aligner import Aligned


class AlignView:
    """Lines on standard error, and a spinner on a terminal; a context manager that keeps the time.

    Args:
        console: the console on standard error.
        is_quiet: show failures only.
    """

    def __init__(self, console: TalkConsole, *, is_quiet: bool) -> None:
        self._console = console
        self._is_quiet = is_quiet
        self._status = console.status("listening ...")
        self._begun = 0.0
        self.wall_seconds = 0.0

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        if self._console.is_terminal and not self._is_quiet:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
        self.wall_seconds = time.monotonic() - self._begun

    def show(self, result: Aligned) -> None:
        """A line on a video that is done with."""
        from svlm_cli.data.words.aligner import AlignOutcome

        name = result.video.id
        if result.reason and (not self._is_quiet or result.outcome is AlignOutcome.FAILED):
            self._console.tell(f"{result.outcome}: {name}: {result.reason}")
        elif result.transcript is not None and not self._is_quiet:
            dropped = sum(each.num_words for each in result.transcript.dropped)
            told = f", {dropped} left out" if dropped else ""
            past = int(result.transcript.figures.get("words_past_end", 0))
            told += f"; {past} begin after the end of the video: is it the right one?" if past else ""
            self._console.tell(f"{result.outcome}: {name}: {len(result.transcript.words)} words{told}")
        if not self._is_quiet:
            for note in result.notes:
                self._console.tell(f"{name}: {note}", indent="  ")
