"""The handles of a running stream; no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from svlm_cli.stream.questions import Questions
from svlm_cli.types import Clip

if TYPE_CHECKING:
    from svlm_cli.stream.state import SavedState, StateKeeper
    from svlm_cli.stream.step.feeding import Feeder


@dataclass(frozen=True, slots=True)
class Controls:
    """The handles of a running stream; every one may be left as it is.

    Args:
        stop: set from any thread to end the stream after the present step.
        questions: the questions that are asked while it runs.
        watch: shown every clip as it was read, in the reader's thread.
        overlap: prepare the next clip while the present one is spoken about; the words are the same.
        keeper: saves the state of the stream as it goes on and when it ends.
        resume: a state to go on from.
        feeder: computes what its session asks for, None for its own; beside a shared one ``overlap`` is off.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    questions: Questions = field(default_factory=Questions)
    watch: Callable[[Clip], None] | None = None
    overlap: bool = True
    keeper: StateKeeper | None = None
    resume: SavedState | None = None
    feeder: Feeder | None = None


def watching(*watchers: Callable[[Clip], None] | None) -> Callable[[Clip], None] | None:
    """Who is shown every clip, as one; None for nobody."""
    found = [each for each in watchers if each is not None]

    def watch(clip: Clip) -> None:
        for each in found:
            each(clip)

    return watch if found else None
