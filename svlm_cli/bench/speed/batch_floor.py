"""The floor of several streams at once: products over the rows of all, each weight read once for all."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from svlm_cli.bench.speed.floor import Fed, Floor, WatchedModel, watched
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.stream.step.feeding import FeedPlan, PrefillPlan
from svlm_cli.stream.step.shared import Fed as Answer
from svlm_cli.stream.step.shared import SharedFeeder


class WatchedFeeder(SharedFeeder):
    """Takes down what is fed together.

    Args:
        model: runs.
        seen: takes it down.
    """

    def __init__(self, model: VideoLanguageModel, seen: WatchedModel) -> None:
        super().__init__(model)
        self._seen = seen

    def feed(self, plans: Sequence[FeedPlan]) -> list[Answer]:
        """As ``SharedFeeder``."""
        for pack in self._packs(plans):
            self._seen.shared.append(tuple(map(_fed, pack)))
        return super().feed(plans)


def _fed(plan: FeedPlan) -> Fed:
    num_new = len(plan.ids) if isinstance(plan, PrefillPlan) else 1
    return Fed(num_new, plan.cache.num_tokens)


class BatchFloor:
    """What steps of several streams took, beside what they could not do without.

    Args:
        model: that of all.

    Attributes:
        watched: the same model, for the sessions: takes down what their tower sees.
        feeder: runs it for all of them.
    """

    def __init__(self, model: VideoLanguageModel) -> None:
        self._model = model
        self.watched = watched(model)
        self.feeder = WatchedFeeder(model, self.watched)
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self._steps: list[tuple[float, WatchedModel]] = []
        self.watched.forget()

    def add(self, cpu_seconds: float, wall_seconds: float) -> None:
        """A step of all is over: what it took."""
        taken = watched(self._model)
        for name in ("grids", "fed", "shared"):
            getattr(taken, name).extend(getattr(self.watched, name))
        self.watched.forget()
        is_cpu = self._model.device.type == "cpu"
        self._steps.append((cpu_seconds if is_cpu else wall_seconds, taken))

    def ratio(self, num_steps: int, cache: StreamingCache) -> float | None:
        """The time of the last steps to their floor, the median; None of no steps.

        CPU time on a CPU, resizing included; on CUDA wall time.

        Args:
            cache: one of theirs, for the formats of keys and values.
        """
        if not num_steps:
            return None
        floor = Floor(self._model, time.process_time)
        ratios = [
            seconds / sum(floor.seconds(seen, cache).values()) for seconds, seen in self._steps[-num_steps:]
        ]
        return float(np.median(ratios))
