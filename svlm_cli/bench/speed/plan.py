"""What ``svlm bench fps`` measures; no torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from svlm_cli import __version__
from svlm_cli.bench.common.settings import changes
from svlm_cli.digest import digest
from svlm_cli.errors import UsageError
from svlm_cli.settings import Reader, StreamSettings, whole

if TYPE_CHECKING:
    from svlm_cli.bench.common.model import ModelFacts


class SpeedClock(StrEnum):
    """What is counted: time that passes, or this process's on the CPU where others share the machine."""

    WALL = "wall"
    CPU = "cpu"

    @property
    def read(self) -> Callable[[], float]:
        """The function that tells it, in seconds."""
        return time.perf_counter if self is SpeedClock.WALL else time.process_time


@dataclass(frozen=True, slots=True)
class NamedSettings:
    """One run: how it is called, its settings, and what the paper prints for it."""

    name: str
    settings: StreamSettings
    paper: str | None = None


@dataclass(frozen=True, slots=True)
class SpeedPlan:
    """What is measured.

    Args:
        source: as the user named it.
        runs: runs with different names.
        num_seconds: the seconds of the source that each run shows.
        floor_steps: steps at the end of a run that are followed by the floor; 0 for none.
        clock: the clock of all figures but the highest FPS, which is always of wall time.

    Raises:
        UsageError: fewer seconds than a step, or than the floor needs.
    """

    source: str
    runs: tuple[NamedSettings, ...]
    num_seconds: float
    floor_steps: int
    clock: SpeedClock

    def __post_init__(self) -> None:
        for run in self.runs:
            if self.num_steps(run.settings) < 1:
                raise UsageError(f"--seconds {self.num_seconds:g} is less than a step")

    @property
    def protocol(self) -> str:
        """As tables show it."""
        shown = f"{self.num_seconds:g} s of {self.source}"
        return f"stages one after another, {self.clock.value} time, {shown}"

    def num_steps(self, settings: StreamSettings) -> int:
        """Steps of a run."""
        return whole(self.num_seconds / settings.step_seconds) or int(
            self.num_seconds / settings.step_seconds
        )

    def key(self, settings: StreamSettings, facts: ModelFacts, options: dict[str, object]) -> str:
        """The fingerprint of everything that a result hangs on."""
        content = {
            "version": __version__,
            "model": facts.fingerprint,
            "source": self.source,
            "num_seconds": self.num_seconds,
            "floor_steps": self.floor_steps,
            "clock": self.clock.value,
            "settings": repr(settings),
            **changes(settings),
            **({} if settings.reader is Reader.AUTO else {"reader": settings.reader.value}),
            **options,
        }
        return digest(content)
