"""What a step tells about itself: its seconds by stage and, where asked for, its tokens and positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

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
    """Seconds by stage: of a clock on the CPU, of device events on CUDA, where no lap makes the host wait."""

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self._device = device
        self._clock = clock
        self._marks: list[tuple[str, Any]] = [("", self._now())]

    def lap(self, stage: str) -> None:
        """Count the time since the last lap to this stage."""
        self._marks.append((stage, self._now()))

    @property
    def laps(self) -> dict[str, float]:
        """Seconds by stage; on CUDA this waits for the last lap."""
        seconds = dict.fromkeys(("prefill", "decode", "cache"), 0.0)
        if self._device.type == "cuda":
            self._marks[-1][1].synchronize()
        for (_, before), (stage, now) in pairwise(self._marks):
            passed = before.elapsed_time(now) / 1e3 if self._device.type == "cuda" else now - before
            seconds[stage] = seconds.get(stage, 0.0) + passed
        return seconds

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return self._clock()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event
