"""How long each stage of a step takes as a stream goes on, and how far that is from the floor.

Stages run one after another here, so that their times add up; ``svlm stream`` overlaps them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.speed.plan import NamedSettings, SpeedPlan
from svlm_cli.errors import SourceError
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.sources import open_source
from svlm_cli.types import Clip, StepEvent

if TYPE_CHECKING:
    from svlm_cli.media.source import Source
    from svlm_cli.model.runtime import VideoLanguageModel

    Opener = Callable[[str], Source]

STAGES = ("read", "vision", "prefill", "decode", "cache")
WORK = ("vision", "prefill", "decode")
STEPS_BEHIND_WINDOW = 2
MAX_FPS_TRIED = 480
STEPS_PER_TRIAL = 12
TRIAL_PRECISION = 16  # the highest FPS is found to a sixteenth


@dataclass(slots=True)
class SpeedRun:
    """One run, step by step; seconds are those of the plan's clock.

    Args:
        name: as the plan calls it.
        policy, fps, step_seconds: its policy, frame rate and seconds per step.
        warm_up_steps: steps before the window is full.
        seconds: for each stage one number per step.
        num_words: tokens drawn in each step.
        num_cached: tokens with states after each step.
        engine, floor: seconds by stage of the last steps and of their floor.
        wall_seconds: the wall time of the whole run.
        cache_bytes, resident_bytes: at its end.
        peak_device_bytes: until the first floor, 0 on the CPU.
    """

    name: str
    policy: str
    fps: float
    step_seconds: float
    warm_up_steps: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    num_words: list[int] = field(default_factory=list)
    num_cached: list[int] = field(default_factory=list)
    engine: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in WORK})
    floor: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in WORK})
    wall_seconds: float = 0.0
    cache_bytes: int = 0
    resident_bytes: int = 0
    peak_device_bytes: int = 0

    def add(self, step: StepEvent) -> None:
        """Take down a step."""
        for stage in STAGES:
            self.seconds[stage].append(getattr(step.timings, stage))
        self.num_words.append(step.num_new_tokens)
        self.num_cached.append(step.num_cached_tokens)


@dataclass(frozen=True, slots=True)
class Trial:
    """One try at the highest FPS: the 95th percentile of its steps' wall time, and whether that will do."""

    fps: float
    p95_step_seconds: float
    is_real_time: bool


def warm_up_steps(settings: StreamSettings) -> int:
    """Steps before a run is in its steady state: until the window is full, and two more for lazy set-up."""
    if settings.policy.keeping.evicts:
        return max(settings.vision_turns, settings.rounds) + STEPS_BEHIND_WINDOW
    return STEPS_BEHIND_WINDOW


def measure(
    model: VideoLanguageModel,
    plan: SpeedPlan,
    named: NamedSettings,
    *,
    opener: Opener | None = None,
    is_enough: Callable[[SpeedRun], bool] = lambda _run: False,
) -> Generator[WorkProgress | SpeedRun, None, None]:
    """Stream the source once.

    Args:
        model, plan, named: what is measured.
        opener: opens the plan's source; None for what ``svlm stream`` opens.
        is_enough: says after every step but the last whether to end there, without the floor of the rest.

    Yields:
        ``WorkProgress`` of one step each, then the run.

    Raises:
        SourceError: the source cannot be read.
    """
    import torch

    from svlm_cli.bench.speed.floor import Floor, watched
    from svlm_cli.stream.session import StreamSession

    clock = plan.clock.read
    settings = named.settings
    num_steps = plan.num_steps(settings)
    seen = watched(model)
    floor = Floor(model, clock)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    run = SpeedRun(
        named.name, settings.policy.value, settings.fps, settings.step_seconds, warm_up_steps(settings)
    )
    began = time.perf_counter()
    with closing(_clips(plan.source, settings, num_steps, opener)) as clips:
        session = None
        for clip, opening in clips:
            session = session or StreamSession(seen, replace(settings, previous_text=opening), clock=clock)
            seen.forget()
            step = session.step(clip)
            run.add(step)
            if not run.floor["vision"] and model.device.type == "cuda":  # later the floor's own numbers count
                run.peak_device_bytes = torch.cuda.max_memory_allocated(model.device)
            if step.index >= num_steps - plan.floor_steps:
                for stage, seconds in floor.seconds(seen, session.cache).items():
                    run.engine[stage].append(getattr(step.timings, stage))
                    run.floor[stage].append(seconds)
            yield WorkProgress(1)
            if is_enough(run):
                break
    assert session is not None
    run.wall_seconds = time.perf_counter() - began
    run.cache_bytes, run.resident_bytes = session.cache.num_bytes, resident_bytes()
    yield run


def find_max_fps(
    model: VideoLanguageModel,
    source: str,
    settings: StreamSettings,
    *,
    opener: Opener | None = None,
    first_pairs: int = 1,
) -> Generator[Trial, None, None]:
    """Search the highest FPS at which a full window keeps real time: doubled until not, then halved between.

    Real time: the 95th percentile of a step's wall time, reading included, is at most the step's length.

    Args:
        model, source, settings: what is streamed, at other rates than ``settings`` names.
        opener: opens the source; None for what ``svlm stream`` opens.
        first_pairs: frame pairs of a step to begin with.
    """
    import numpy as np

    from svlm_cli.stream.session import StreamSession

    per_step = 2 / settings.step_seconds  # two frames make a temporal patch
    good, bad, count = 0, 0, first_pairs
    while not bad or bad - good > max(1, good // TRIAL_PRECISION):
        tried = replace(settings, fps=count * per_step)
        num_steps = warm_up_steps(tried) + STEPS_PER_TRIAL
        totals: list[float] = []
        with closing(_clips(source, tried, num_steps, opener)) as clips:
            session = None
            for clip, opening in clips:
                session = session or StreamSession(model, replace(tried, previous_text=opening))
                totals.append(session.step(clip).timings.total)
        p95 = float(np.percentile(totals[-STEPS_PER_TRIAL:], 95))
        is_real_time = p95 <= settings.step_seconds
        yield Trial(tried.fps, p95, is_real_time)
        good, bad = (count, bad) if is_real_time else (good, count)
        if tried.fps * 2 > MAX_FPS_TRIED and not bad:
            return
        count = (good + bad) // 2 if bad else 2 * count


def resident_bytes() -> int:
    """Memory this process holds now; its peak where the system does not tell."""
    import os
    import resource

    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_to_json(run: SpeedRun) -> dict[str, Any]:
    """Plain values; ``run_from_json`` is the way back."""
    return {name: getattr(run, name) for name in SpeedRun.__dataclass_fields__}


def run_from_json(values: Mapping[str, Any]) -> SpeedRun:
    """A run from what ``run_to_json`` gave.

    Raises:
        KeyError, TypeError: it is something else.
    """
    return SpeedRun(**{name: values[name] for name in SpeedRun.__dataclass_fields__})


def _clips(
    source: str, settings: StreamSettings, num_steps: int, opener: Opener | None
) -> Generator[tuple[Clip, str], None, None]:
    """Clips of a source, from its beginning again where it is over, each with how the commentary opens."""
    length, num_shown = settings.step_seconds, 0
    while num_shown < num_steps:
        num_before = num_shown
        with opener(source) if opener else open_source(source, viewing=settings.viewing) as opened:
            text = settings.opening_text or opened.opening_text(settings.start)
            clips = opened.clips(settings.fps, length, settings.start, None)
            for clip in islice(clips, num_steps - num_shown):
                start = settings.start + num_shown * length
                yield replace(clip, index=num_shown, start_seconds=start, end_seconds=start + length), text
                num_shown += 1
        if num_shown == num_before:
            raise SourceError(f"{source} shows not even one step of {length:g} s")
