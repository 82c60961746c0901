"""What a step tells about itself: its seconds by stage and, where asked for, its tokens and positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One step for debugging and for comparing engines (``svlm stream --trace``).

    Args:
        step: its number.
        context_ids: every token the model attends to or is fed before it speaks, in order.
        position_ids: three rows, counted from 0 over ``context_ids``.
        generated_ids: as appended to the history.
        num_cached: tokens with KV states after the step.
    """

    step: int
    context_ids: list[int]
    position_ids: list[list[float]]
    generated_ids: list[int]
    num_cached: int


class Stopwatch:
    """Seconds by stage; waits for the device where its work would run on unseen."""

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self._device = device
        self._clock = clock
        self.laps = dict.fromkeys(("prefill", "decode", "cache"), 0.0)
        self._last = clock()

    def lap(self, stage: str) -> None:
        """Count the time since the last lap to this stage."""
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()  # not of the vision tower's
        now = self._clock()
        self.laps[stage] += now - self._last
        self._last = now
