"""What is counted of a channel while it runs: for whoever watches over it, by hand or by a machine."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from svlm_cli.stream.channels.channel import Condition
from svlm_cli.types import EndEvent, StartEvent, StepEvent, StreamEvent

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PATIENCE_SECONDS = 15.0
PATIENCE_STEPS = 5


@dataclass(slots=True, eq=False)
class Figures:
    """Sums over the events of one channel; written by one thread, read by any.

    Args:
        clock: seconds of wall time.
        num_reconnects: says how often its source has been connected again.

    Attributes:
        source: as viewers may know it.
        foreign: whether the model is the bundled one and this no arena match.
        steps_within: how many steps took at most each of ``BOUNDS`` seconds and more than the bound before;
            the last number is that of longer ones.
        step_seconds: the time that all steps took.
        lag_seconds, cached_tokens: what the last step had.
        skipped_seconds, words, tokens: how many there were in all.
        last_words: the words of the last step that had some.
        last_step_utc: when it was told, None before.
        has_ended: whether the channel has.
        lacks_source: why there is no source, yet or any more; empty where there is one.
        may_end: whether its end is nobody's trouble: whoever sends pictures stops when they like.
    """

    clock: Callable[[], float] = time.monotonic
    num_reconnects: Callable[[], int] = lambda: 0
    source: str = ""
    foreign: bool = False
    steps_within: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    step_seconds: float = 0.0
    lag_seconds: float = 0.0
    cached_tokens: int = 0
    skipped_seconds: float = 0.0
    words: int = 0
    tokens: int = 0
    last_words: str = ""
    last_step_utc: str | None = None
    has_ended: bool = False
    lacks_source: str = ""
    may_end: bool = False
    _last_at: float = 0.0
    _patience: float = PATIENCE_SECONDS

    def add(self, event: StreamEvent) -> None:
        """Count an event in."""
        match event:
            case StartEvent():
                self.source, self.lacks_source = event.source, ""
                self.foreign = event.settings.get("foreign") is True
            case StepEvent():
                seconds = event.timings.total
                self.steps_within[bisect_left(BOUNDS, seconds)] += 1
                self.step_seconds += seconds
                self.lag_seconds, self.cached_tokens = event.lag_seconds, event.num_cached_tokens
                self.skipped_seconds += event.skipped_seconds
                self.words += len(event.text.split())
                self.tokens += event.num_new_tokens
                self.last_words = event.text or self.last_words
                self.last_step_utc, self._last_at = event.utc, self.clock()
                longest = max(seconds, event.end_seconds - event.start_seconds)
                self._patience = max(PATIENCE_SECONDS, PATIENCE_STEPS * longest)
            case EndEvent():
                self.has_ended = True

    @property
    def trouble(self) -> str:
        """Why the channel cannot be called well; empty where it can."""
        if self.lacks_source:
            return self.lacks_source
        if self.has_ended:
            return "" if self.may_end else "the stream has ended"
        if self.last_step_utc is None:
            return "no step has been taken yet"
        silent = self.clock() - self._last_at
        return f"no step for {silent:.0f} s" if silent > self._patience else ""

    @property
    def condition(self) -> Condition:
        """How the channel stands, as far as its events tell."""
        if self.has_ended:
            return Condition.FAILED if self.lacks_source else Condition.ENDED
        return Condition.WAITING if self.last_step_utc is None else Condition.RUNNING
