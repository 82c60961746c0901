"""Stream time against wall time: a player's clock, and what to leave out when the model is late."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from svlm_cli.settings import OnLag, Pace, StreamSettings

DROP_AFTER_SECONDS = 2.0
WAIT_AT_MOST_SECONDS = 30.0
SPARE_SECONDS = 10.0
GIVE_BACK_SECONDS = 0.5
MOST_SAVED = 256


class PlayClock:
    """Says how late a step is; like a player's clock it stands still while the source has nothing.

    Unlike a player's it goes faster afterwards, until the time is made up, where a source sends what was held
    up on the way: a stream of days must not fall behind a little with every hiccup of the network. It is read
    and held from several threads.

    Args:
        settings: pace, lag policy and step.
        start_seconds: position that is due as it is made.
        clock: seconds of wall time.
    """

    def __init__(
        self,
        settings: StreamSettings,
        start_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._is_realtime = settings.pace is Pace.REALTIME
        self._step_seconds = settings.step_seconds
        self._may_lag = (
            max(DROP_AFTER_SECONDS, settings.step_seconds)
            if settings.on_lag is OnLag.DROP
            else max(WAIT_AT_MOST_SECONDS, settings.step_seconds)
        )
        self._zero = clock() - start_seconds
        self._held = 0.0
        self._spare: deque[float] = deque(maxlen=max(1, math.ceil(SPARE_SECONDS / settings.step_seconds)))
        self._lock = threading.Lock()
        self.is_stopped = False

    def behind(self, stream_seconds: float) -> float:
        """Seconds since this position was due; below 0 it is not due yet. Always 0 at full speed."""
        return self._clock() - self._zero - stream_seconds if self._is_realtime else 0.0

    def next_start(self, start_seconds: float) -> float:
        """Where to go on: whole steps later, with a step that is just over, once more is due than may wait.

        This is ``media.source.Guide``'s.
        """
        late = self.behind(start_seconds + self._step_seconds)
        if late <= self._may_lag:
            return start_seconds
        return start_seconds + math.floor(late / self._step_seconds) * self._step_seconds

    def hold(self, end_seconds: float, waited_seconds: float, ahead_seconds: float = 0.0) -> None:
        """As far as the step that ends there is late because of its source, all that follows is due later.

        What has been held so is given back, half a second a step, once the source has been further ahead for
        ten seconds. This is ``media.source.Guide``'s.
        """
        with self._lock:
            late = max(0.0, min(self.behind(end_seconds), waited_seconds))
            self._zero += late
            if math.isfinite(waited_seconds):
                self._held += late
            # Until it is due, as much more comes as there is time.
            self._spare.append(ahead_seconds + max(0.0, -self.behind(end_seconds)))
            if len(self._spare) == self._spare.maxlen:
                back = max(0.0, min(self._held, GIVE_BACK_SECONDS, min(self._spare)))
                self._zero -= back
                self._held -= back

    def stop(self) -> None:
        """Nobody wants more."""
        self.is_stopped = True


class SaveTurns:
    """Keeps the states of many streams from being copied in one moment: those who began together stay so.

    Copying one takes its stream's cache once more in memory, and time that others wait for.

    Args:
        clock: seconds of wall time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = -math.inf

    def take(self, every_seconds: float) -> bool:
        """Whether one who saves this often may do so now: 256 can, as many at once as in a second.

        Who saves rarely holds others up for a second, no longer.
        """
        pause, now = min(1.0, every_seconds / MOST_SAVED), self._clock()
        if now < self._next - 1.0:
            return False
        self._next = max(self._next, now) + pause
        return True
