"""The paced loop: clips from a source through a session, out as typed events."""

from __future__ import annotations

import resource
import sys
import time
from array import array
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np
import torch

from svlm_cli import __version__
from svlm_cli.media.source import Source
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import Pace, StreamSettings
from svlm_cli.stream.session import StreamSession, TraceRecord
from svlm_cli.types import EndEvent, StartEvent, StepEvent, StreamEvent, WarningEvent


def stream_video(
    model: VideoLanguageModel,
    source: Source,
    settings: StreamSettings | None = None,
    trace: Callable[[TraceRecord], None] | None = None,
) -> Generator[StreamEvent, None, None]:
    """Stream a source through a model, one event per step.

    Args:
        model: from ``load_model``.
        source: from ``open_source``; the caller closes it.
        settings: defaults where None. Where they hold neither title nor previous text, a source that
            knows how its commentary opens (an arena match) gives the previous text.
        trace: called with one record per step.

    Yields:
        A ``StartEvent``, a ``StepEvent`` per step with ``WarningEvent`` between them where something
        went wrong, and an ``EndEvent``.

    Raises:
        SourceError: the source cannot be read.
    """
    settings = settings or StreamSettings()
    if not settings.opening_text:
        settings = replace(settings, previous_text=source.opening_text(settings.start))
    session = StreamSession(model, settings, trace)
    yield _start_event(model, source, settings)
    if unknown := session.unknown_words:
        yield WarningEvent(f"the model's vocabulary lacks: {', '.join(unknown)}; it reads them as unknown")
    clips = source.clips(
        fps=settings.fps,
        step_seconds=settings.step_seconds,
        start_seconds=settings.start,
        duration_seconds=settings.duration,
    )
    clock = _Clock(settings)
    told: list[str] = []
    # The reader may hold threads and file handles: it is closed whenever this generator is.
    with closing(clips):  # type: ignore[type-var]
        for clip in clips:
            clock.wait_until_shown(clip.end_seconds)
            yield clock.timed(session.step(clip))
            # A sentence may grow (a count) until the source ends: told when new, and in its last form.
            if len(source.problems) > len(told):
                yield from _warnings(source, told)
    yield from _warnings(source, told)
    yield clock.end_event(model.device)


class _Clock:
    """Wall time against stream time, and the statistics of a run."""

    def __init__(self, settings: StreamSettings) -> None:
        self._realtime = settings.pace is Pace.REALTIME
        self._start_seconds = settings.start
        self._step_seconds = settings.step_seconds
        self._begun = time.perf_counter()
        self._totals = array("d")

    def wait_until_shown(self, end_seconds: float) -> None:
        """At realtime pace: wait until a viewer has seen everything before ``end_seconds``."""
        if self._realtime:
            time.sleep(max(0.0, -self._behind(end_seconds)))

    def timed(self, event: StepEvent) -> StepEvent:
        """The event with its lag; its total goes into the statistics."""
        self._totals.append(event.timings.total)
        lag = max(0.0, self._behind(event.end_seconds)) if self._realtime else 0.0
        return replace(event, lag_seconds=lag)

    def end_event(self, device: torch.device) -> EndEvent:
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
        )

    def _behind(self, end_seconds: float) -> float:
        return time.perf_counter() - self._begun - (end_seconds - self._start_seconds)


def _warnings(source: Source, told: list[str]) -> Generator[WarningEvent, None, None]:
    """The problems not ``told`` yet in this form; notes them."""
    problems = list(source.problems)
    yield from (WarningEvent(message) for message in problems if message not in told)
    told[:] = problems


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _start_event(model: VideoLanguageModel, source: Source, settings: StreamSettings) -> StartEvent:
    chosen = asdict(settings)
    sampling = chosen.pop("sampling")
    return StartEvent(
        version=__version__,
        source=source.name,
        model=model.name,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        settings=chosen
        | sampling
        | {"attention": model.attention, "threads": torch.get_num_threads(), "adapter": model.adapter},
    )
