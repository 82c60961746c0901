"""Whether one machine keeps up with all of its channels."""

from __future__ import annotations

from collections.abc import Sequence

from svlm_cli.stream.channels.running import Running

ROUNDS_TO_JUDGE = 12
ROUNDS_OF_START = 3  # they make caches
KEEPS_UP = 0.95  # of the seconds that go by, spoken about


class Load:
    """Judges by what is spoken about in a second whether the channels fit, until it has told that not.

    Args:
        rounds: the number of rounds to judge by each time.
    """

    def __init__(self, rounds: int = ROUNDS_TO_JUDGE) -> None:
        self._rounds = rounds
        self.judge_again()

    def judge_again(self) -> None:
        """Others are there now."""
        self._is_told = False
        self._num_rounds = -ROUNDS_OF_START
        self._since = self._stream_seconds = 0.0

    def add(self, due: Sequence[Running], num_channels: int, now: float) -> str:
        """Count a round that has just ended; what is to be told of it, mostly nothing.

        Args:
            due: the channels that took a step in it; one at full speed is never late.
            num_channels: those that run at real-time pace.
            now: seconds of wall time.
        """
        due = [run for run in due if run.is_realtime]
        if not due:
            return ""
        self._num_rounds += 1
        if self._is_told or self._num_rounds < 1:
            self._since, self._stream_seconds = now, 0.0
            return ""
        self._stream_seconds += sum(run.step_seconds for run in due)
        if self._num_rounds < self._rounds:
            return ""
        fit = self._stream_seconds / (now - self._since)
        self._num_rounds = 0
        is_late = all(run.lag_seconds > run.step_seconds for run in due)
        if not is_late or fit >= KEEPS_UP * num_channels:
            return ""
        self._is_told = True
        return (
            f"{num_channels} channels are more than this machine keeps in real time, about {int(fit)}; "
            "what is late follows --on-lag, in every channel alike"
        )
