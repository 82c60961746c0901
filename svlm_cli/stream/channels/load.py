"""Whether one machine keeps up with all of its channels."""

from __future__ import annotations

from collections.abc import Sequence

from svlm_cli.stream.channels.running import Running

ROUNDS_TO_JUDGE = 12


class Load:
    """Judges by the first rounds whether the channels fit; again where some are added.

    Args:
        rounds: to judge by; a fifth of them, at least two, are not counted: they make caches.
    """

    def __init__(self, rounds: int = ROUNDS_TO_JUDGE) -> None:
        self._rounds = rounds
        self.judge_again()

    def judge_again(self) -> None:
        """Others are there now."""
        self._num_rounds = 0
        self._work_seconds = self._stream_seconds = 0.0

    def add(self, due: Sequence[Running], num_channels: int, seconds: float) -> str:
        """Count a round; what is to be told of it, mostly nothing."""
        if not all(run.is_realtime for run in due) or self._num_rounds >= self._rounds:
            return ""
        self._num_rounds += 1
        if self._num_rounds > 2:
            self._work_seconds += seconds
            self._stream_seconds += sum(run.step_seconds for run in due)
        if self._num_rounds < self._rounds:
            return ""
        needed = self._work_seconds / self._stream_seconds * num_channels
        if needed <= 1:
            return ""
        fit = int(num_channels / needed)
        return (
            f"{num_channels} channels need {needed:.2f} s of work for each second: this machine keeps "
            f"about {fit} in real time; what is late follows --on-lag, in every channel alike"
        )
