"""The figures of a whole run: steps, speed, memory."""

from __future__ import annotations

import resource
import sys
import time
from array import array

import numpy as np
import torch

from svlm_cli.types import EndEvent, StepEvent


class Statistics:
    """Counts steps from when it is made; eight bytes for each.

    Args:
        step_seconds: the length of the stream's steps.
        reached_seconds: where it stands before its first step.
    """

    def __init__(self, step_seconds: float, reached_seconds: float = 0.0) -> None:
        self._step_seconds = step_seconds
        self._begun = time.perf_counter()
        self._totals = array("d")
        self._reached = reached_seconds

    def add(self, step: StepEvent) -> None:
        """Count a step."""
        self._totals.append(step.timings.total)
        self._reached = step.end_seconds

    def end_event(self, device: torch.device) -> EndEvent:
        """What there is to say of the run."""
        wall = time.perf_counter() - self._begun
        seconds = len(self._totals) * self._step_seconds
        p50, p95, p99 = np.percentile(self._totals, [50, 95, 99]) if self._totals else (0.0, 0.0, 0.0)
        return EndEvent(
            steps=len(self._totals),
            stream_seconds=seconds,
            wall_seconds=wall,
            realtime_factor=seconds / wall if wall > 0 else 0.0,
            p50_step_seconds=float(p50),
            p95_step_seconds=float(p95),
            p99_step_seconds=float(p99),
            peak_rss_bytes=_peak_rss_bytes(),
            peak_device_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
            at_seconds=self._reached,
        )


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
