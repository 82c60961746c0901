"""Several streams through one model against the same streams alone, side by side in one run.

Every stream is shown the clips of one source from a second of its own. What is counted is resizing, vision
and language; reading is each stream's own, however many there are, and is told apart. Greedy, so that a
stream says the same words in either way but for ties.
"""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.model import ModelFacts, model_facts
from svlm_cli.bench.common.records import Record, RecordFile, write_whole
from svlm_cli.bench.common.results import RESULTS_NAME
from svlm_cli.bench.common.tables import REPORT_NAME, SUMMARY_NAME, require_benchmark
from svlm_cli.bench.speed.measure import resident_bytes, warm_up_steps
from svlm_cli.bench.speed.plan import SpeedPlan
from svlm_cli.bench.speed.streams_report import StreamsRun, document, report
from svlm_cli.errors import OutputError, SourceError, UsageError
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.sources import open_source
from svlm_cli.text import as_json
from svlm_cli.types import Clip, StepEvent, WarningEvent

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.session import StreamSession

MOST_ALONE = 8  # streams that are run alone for comparison
MOST_CLIPS = 120  # of the source, held in memory


@dataclass(frozen=True, slots=True)
class StreamsStart:
    """First event: what is measured, and how many steps are left."""

    model: ModelFacts
    num_steps: int
    num_done: int
    num_runs: int


@dataclass(frozen=True, slots=True)
class StreamsEnd:
    """Last event: everything is on disk; ``summary`` is the document."""

    summary: Mapping[str, Any]


StreamsEvent = StreamsStart | WarningEvent | WorkProgress | StreamsRun | StreamsEnd


def bench_streams(
    model: VideoLanguageModel,
    plan: SpeedPlan,
    counts: Sequence[int],
    options: dict[str, object],
    out: Path,
) -> Generator[StreamsEvent, None, None]:
    """Measure what is not there yet and write the report.

    Args:
        model: loaded.
        plan: its first run's settings are those of every stream.
        counts: the numbers of streams at once.
        options: how the model was opened, for the report and to tell results apart.
        out: folder for ``results.jsonl``, ``summary.json`` and ``report.md``; what is there with the same
            fingerprint is not repeated.

    Raises:
        UsageError: there is no second left to measure behind the warm-up.
        SourceError: the source cannot be read.
        OutputError: the folder cannot be used, or somebody else writes to it.
    """
    settings = plan.runs[0].settings
    num_steps, full = plan.num_steps(settings), warm_up_steps(settings)
    if num_steps <= full:
        least = (full + 1) * settings.step_seconds
        raise UsageError(f"--seconds must be at least {least:g}: the window is full then", "try twice that")
    facts = model_facts(model)
    with RecordFile(out / RESULTS_NAME, _key) as results:
        require_benchmark(out, "streams")
        if results.others:
            raise OutputError(f"{results.path} holds lines of another benchmark", "choose another --out")
        yield from (WarningEvent(problem) for problem in results.problems)
        keys = {count: plan.key(settings, facts, options | {"streams": count}) for count in sorted(counts)}
        missing = [count for count, key in keys.items() if key not in results]
        yield StreamsStart(facts, num_steps * len(missing), len(keys) - len(missing), len(keys))
        for event in _measured(model, plan, settings, missing):
            if isinstance(event, StreamsRun):
                results.add({"key": keys[event.streams], **asdict(event)})
            yield event
        results.sort(list(keys.values()))
        done = {str(record["key"]): record for record in results}
        runs = [_run(done[key]) for key in keys.values()]
        summary = document(plan, settings, facts, options, runs)
        write_whole(out / REPORT_NAME, report(summary).encode())
        write_whole(out / SUMMARY_NAME, f"{as_json(summary, 2)}\n".encode())
    yield StreamsEnd(summary)


def _measured(
    model: VideoLanguageModel, plan: SpeedPlan, settings: StreamSettings, counts: Sequence[int]
) -> Generator[StreamsEvent, None, None]:
    """Every number of streams at once beside as many of them alone, from their first step on."""
    if not counts:
        return
    num_steps, full = plan.num_steps(settings), warm_up_steps(settings)
    shown = HeldClips.read(plan.source, settings, num_steps)
    Together(model, settings, shown, 1).step()  # wakes the kernels
    before = _held_bytes(model)
    for count in counts:
        gc.collect()
        alone = Alone(model, settings, shown, min(MOST_ALONE, count))
        many = Together(model, settings, shown, count)
        for number in range(num_steps):
            if number == full:
                alone.forget()
                many.forget()
            alone.step()
            many.step()
            yield WorkProgress(1)
        num_bytes = _held_bytes(model) - before
        yield many.run(alone, num_bytes, many.ratio_to_floor(plan.floor_steps))


@dataclass(frozen=True, slots=True, eq=False)
class HeldClips:
    """Clips of a source in memory, and how its commentary opens.

    Args:
        clips: of its first steps.
        text: the opening text.
        read_seconds: CPU time that reading one took.
    """

    clips: Sequence[Clip]
    text: str
    read_seconds: float

    @classmethod
    def read(cls, source: str, settings: StreamSettings, num_steps: int) -> HeldClips:
        """Those that streams are shown in so many steps.

        Raises:
            SourceError: the source cannot be read, or shows not even one step.
        """
        began = time.process_time()
        with open_source(source, viewing=settings.viewing) as opened:
            text = settings.opening_text or opened.opening_text(settings.start)
            clips = opened.clips(settings.fps, settings.step_seconds, settings.start, None)
            with closing(clips):  # type: ignore[type-var]
                held = list(islice(clips, min(num_steps + MOST_ALONE, MOST_CLIPS)))
        if not held:
            raise SourceError(f"{source} shows not even one step of {settings.step_seconds:g} s")
        return cls(held, text, (time.process_time() - began) / len(held))

    def clip(self, stream: int, index: int, step_seconds: float) -> Clip:
        """What a stream is shown in its ``index``-th step."""
        start = index * step_seconds
        clip = self.clips[(index + stream) % len(self.clips)]
        return replace(clip, index=index, start_seconds=start, end_seconds=start + step_seconds)


class TimedStreams(ABC):
    """Streams with their CPU and wall time.

    Args:
        model: that of all.
        settings: those of each.
        shown: what they see, each from a clip of its own on.
        count: how many streams.
    """

    def __init__(
        self, model: VideoLanguageModel, settings: StreamSettings, shown: HeldClips, count: int
    ) -> None:
        from svlm_cli.stream.session import StreamSession

        own = replace(settings, previous_text=shown.text)
        self._sessions: list[StreamSession] = [StreamSession(model, own) for _ in range(count)]
        self._shown = shown
        self._step_seconds = settings.step_seconds
        self._index = 0
        self.forget()

    def forget(self) -> None:
        """Measure from here."""
        self.cpu_seconds, self.num_words = 0.0, 0
        self.wall_seconds: list[float] = []

    @property
    def cpu_seconds_per_stream_second(self) -> float:
        """Shared evenly."""
        seconds = len(self.wall_seconds) * self._step_seconds
        return self.cpu_seconds / seconds / len(self._sessions)

    @property
    def words_per_step(self) -> float:
        """Of a stream."""
        return self.num_words / len(self.wall_seconds) / len(self._sessions)

    def step(self) -> Sequence[StepEvent]:
        """One step of all: what each said."""
        clips = [
            self._shown.clip(stream, self._index, self._step_seconds) for stream in range(len(self._sessions))
        ]
        began, wall = time.process_time(), time.perf_counter()
        said = self._steps(clips)
        self.wall_seconds.append(time.perf_counter() - wall)
        self.cpu_seconds += time.process_time() - began
        self.num_words += sum(step.num_new_tokens for step in said)
        self._index += 1
        return said

    @abstractmethod
    def _steps(self, clips: Sequence[Clip]) -> Sequence[StepEvent]:
        """Take one step of each."""


class Alone(TimedStreams):
    """One after another."""

    def __len__(self) -> int:
        return len(self._sessions)

    def _steps(self, clips: Sequence[Clip]) -> Sequence[StepEvent]:
        return [session.step(clip) for session, clip in zip(self._sessions, clips, strict=True)]


class Together(TimedStreams):
    """Together."""

    def __init__(
        self, model: VideoLanguageModel, settings: StreamSettings, shown: HeldClips, count: int
    ) -> None:
        from svlm_cli.bench.speed.batch_floor import BatchFloor

        self._floor = BatchFloor(model)
        super().__init__(self._floor.watched, settings, shown, count)

    def forget(self) -> None:
        """Measure from here."""
        super().forget()
        self._floor.forget()

    def step(self) -> Sequence[StepEvent]:
        """One step of all: what each said."""
        cpu_seconds = self.cpu_seconds
        said = super().step()
        self._floor.add(self.cpu_seconds - cpu_seconds, self.wall_seconds[-1])
        return said

    def ratio_to_floor(self, num_steps: int) -> float | None:
        """As ``BatchFloor.ratio``, of the last steps."""
        return self._floor.ratio(num_steps, self._sessions[0].cache)

    def _steps(self, clips: Sequence[Clip]) -> Sequence[StepEvent]:
        from svlm_cli.stream.sight import SeenClip, look_together
        from svlm_cli.stream.step.together import DueStep, step_together

        sized = [
            (session.sight, session.sight.resize(clip))
            for session, clip in zip(self._sessions, clips, strict=True)
        ]
        due = []
        for session, seen in zip(self._sessions, look_together(sized), strict=True):
            if not isinstance(seen, SeenClip):
                raise seen
            due.append(DueStep(session, seen))
        said = []
        for done in step_together(due, self._floor.feeder):
            if done.finished is None:
                raise done.error or RuntimeError("a step did not finish")
            said.append(done.finished[1])
        return said

    def run(self, alone: Alone, num_bytes: int, ratio_to_floor: float | None) -> StreamsRun:
        """What was measured."""
        import numpy as np

        count = len(self._sessions)
        p50, p95, p99 = np.percentile(self.wall_seconds, [50, 95, 99])
        caches = [session.cache.num_bytes for session in self._sessions]
        return StreamsRun(
            streams=count,
            steps=len(self.wall_seconds),
            step_seconds=self._step_seconds,
            cpu_seconds_per_stream_second=self.cpu_seconds_per_stream_second,
            alone_cpu_seconds_per_stream_second=alone.cpu_seconds_per_stream_second,
            alone_streams=len(alone),
            words_per_step=self.words_per_step,
            alone_words_per_step=alone.words_per_step,
            step_p50_seconds=float(p50),
            step_p95_seconds=float(p95),
            step_p99_seconds=float(p99),
            bytes_per_channel=max(0, num_bytes) // (count + len(alone)),
            cache_bytes_per_channel=sum(caches) // count,
            read_cpu_seconds_per_stream_second=self._shown.read_seconds / self._step_seconds,
            ratio_to_floor=ratio_to_floor,
        )


def _held_bytes(model: VideoLanguageModel) -> int:
    """Memory in which caches lie that is held now: the device's, or this process's."""
    import torch

    return torch.cuda.memory_allocated(model.device) if model.device.type == "cuda" else resident_bytes()


def _key(record: Record) -> str:
    _run(record)
    return str(record["key"])


def _run(record: Record) -> StreamsRun:
    known = {"ratio_to_floor": None, **record}  # earlier builds did not measure it
    return StreamsRun(**{name: known[name] for name in StreamsRun.__dataclass_fields__})
