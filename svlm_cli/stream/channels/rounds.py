"""Several streams, one model: whose seconds are due are spoken about together.

A round takes one step with every channel whose clip is due, so none starves: who has more channels than the
machine can serve has longer rounds, and each channel leaves out seconds by its own clock and policy. What
one channel runs into ends that channel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from svlm_cli.errors import SvlmError
from svlm_cli.media.source import Source
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import Pace, StreamSettings
from svlm_cli.stream.channels.run import OpenedStream, StreamRun
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.pipeline import SourceEnded
from svlm_cli.stream.session import Finished
from svlm_cli.stream.sight import SeenClip, SizedClip, look_together
from svlm_cli.stream.step.shared import SharedFeeder
from svlm_cli.stream.step.together import DueStep, step_together
from svlm_cli.stream.trace import TraceRecord
from svlm_cli.types import StreamEvent, WarningEvent

POLL_SECONDS = 0.005
GATHER_SECONDS = 0.05  # that a channel which is due waits for others, so that they share a forward
ROUNDS_TO_JUDGE = 12


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One of several streams.

    Args:
        name: told with its events.
        source: from ``open_source``; the caller closes it.
        settings, trace, controls: as ``stream_video`` has them; ``controls.overlap`` is taken for granted.
    """

    name: str
    source: Source
    settings: StreamSettings
    trace: Callable[[TraceRecord], None] | None = None
    controls: Controls = field(default_factory=Controls)


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """An event of one channel.

    Args:
        channel: its name.
        event: as of a stream alone.
        error: what ended the channel, with its ``EndEvent``; None where it ended well.
    """

    channel: str
    event: StreamEvent
    error: Exception | None = None


def stream_channels(
    model: VideoLanguageModel, channels: Sequence[Channel], stop: threading.Event | None = None
) -> Generator[ChannelEvent, None, None]:
    """Stream several sources through one model.

    Args:
        model: from ``load_model``; what it compiled or captured for single words is not used.
        channels: with different names.
        stop: set from any thread to end all after the present round.

    Yields:
        The events of every channel as ``stream_video`` has them, the last its ``EndEvent``, also where it
        ended by an error, which a ``WarningEvent`` tells before.

    Raises:
        SvlmError: a channel cannot begin: a state that does not fit, settings that do not go together.
    """
    stop = stop or threading.Event()
    feeder = SharedFeeder(model)
    opened = [
        (each.name, OpenedStream.of(model, each.source, each.settings, each.trace, each.controls))
        for each in channels
    ]
    for name, stream in opened:
        yield from (ChannelEvent(name, event) for event in stream.first_events())
    load = _Load(len(channels))
    with ExitStack() as stack:
        runs = [stack.enter_context(closing(_Running(name, stream))) for name, stream in opened]
        while (left := [run for run in runs if not run.is_over]) and not stop.is_set():
            for run in left:
                yield from run.poll()
                if run.is_over:
                    yield from run.end()
            due = [run for run in left if run.is_due]
            if due and (_is_gathered(left) or max(run.waited for run in due) >= GATHER_SECONDS):
                began = time.perf_counter()
                yield from _round(due, feeder)
                if told := load.add(due, time.perf_counter() - began):
                    yield ChannelEvent(due[0].name, due[0].warning(told))
            else:
                stop.wait(POLL_SECONDS)
        for run in runs:
            yield from run.end()


def _is_gathered(left: Sequence[_Running]) -> bool:
    """Whether nobody is worth waiting for: who is not due will not be within the time of gathering."""
    return all(run.is_due or run.early_seconds > GATHER_SECONDS for run in left)


def _round(due: Sequence[_Running], feeder: SharedFeeder) -> Iterator[ChannelEvent]:
    """One step of every channel that is due."""
    steps: list[tuple[_Running, DueStep]] = []
    sized = [(run.opened.session.sight, run.take()) for run in due]
    for run, seen in zip(due, look_together(sized), strict=True):
        if isinstance(seen, Exception):
            yield from run.fail(seen)
        else:
            steps.append((run, run.due_step(seen)))
    done = step_together([step for _, step in steps], feeder)
    for (run, step), outcome in zip(steps, done, strict=True):
        if step.question is not None:
            yield from run.asked(step.question, outcome.question_error)
        if outcome.finished is None:
            yield from run.fail(outcome.error or RuntimeError("the step did not finish"))
        else:
            yield from run.spoken(step.clip, outcome.finished)


class _Running:
    """A channel that runs: the clip that waits for its time, and what has ended it."""

    def __init__(self, name: str, opened: OpenedStream) -> None:
        self.name = name
        self.opened = opened
        self.is_over = False
        self._run: StreamRun = opened.begin(sees=False)
        self._clip: SizedClip | None = None
        self._error: Exception | None = None
        self._is_ended = False
        self._opening = self._run.lacking(opened.text)
        self._due_at = 0.0

    @property
    def step_seconds(self) -> float:
        """Of the stream, in one step."""
        return self.opened.session.settings.step_seconds

    @property
    def is_realtime(self) -> bool:
        """Whether its clips are due by the clock."""
        return self.opened.session.settings.pace is Pace.REALTIME

    @property
    def early_seconds(self) -> float:
        """Until its clip is due; 0 where it has none yet, as it may have one at any moment."""
        return 0.0 if self._clip is None else self._run.early_seconds(self._clip)

    @property
    def is_due(self) -> bool:
        """Whether its clip is there and its time has come."""
        if self.is_over or self._clip is None or self.early_seconds > 0:
            return False
        self._due_at = self._due_at or time.perf_counter()
        return True

    @property
    def waited(self) -> float:
        """Seconds since it was first seen to be due."""
        return time.perf_counter() - self._due_at

    def poll(self) -> Iterator[ChannelEvent]:
        """Take the next clip where there is one."""
        yield from self._named(self._opening)
        self.is_over = self.is_over or self.opened.controls.stop.is_set()
        if self._clip is not None or self.is_over:
            return
        try:
            self._clip, events = self._run.poll()
            yield from self._named(events)
        except SourceEnded:
            yield from self._named(self._run.warnings())
            if self._run.lost is not None:
                yield from self.fail(self._run.lost)
            self.is_over = True
        except Exception as error:
            yield from self.fail(error)

    def take(self) -> SizedClip:
        """The clip that is due."""
        assert self._clip is not None
        clip, self._clip, self._due_at = self._clip, None, 0.0
        return clip

    def due_step(self, clip: SeenClip) -> DueStep:
        """What its session is shown and asked."""
        return DueStep(self.opened.session, clip, self._run.question(clip) or None)

    def asked(self, question: str, error: Exception | None) -> Iterator[ChannelEvent]:
        """A question was put, or ran into something."""
        told = self._run.lacking(question) if error is None else [self._run.not_asked(question, error)]
        yield from self._named(told)

    def spoken(self, clip: SeenClip, finished: Finished) -> Iterator[ChannelEvent]:
        """A step was taken."""
        yield from self._named(self._run.spoken(clip, finished))

    def fail(self, error: Exception) -> Iterator[ChannelEvent]:
        """The channel ends by what it ran into; its last saved state stays where a step was under way."""
        self._error, self.is_over = error, True
        message = error.message if isinstance(error, SvlmError) else f"{type(error).__name__}: {error}"
        yield ChannelEvent(self.name, self.warning(message))

    def warning(self, message: str) -> WarningEvent:
        """What is to be told of it, where it stands."""
        return self._run.warning(message)

    def end(self) -> Iterator[ChannelEvent]:
        """Its last events, once."""
        if self._is_ended:
            return
        self._is_ended = True
        self._run.close()
        yield from self._named(self._run.last_words())
        end = self._run.statistics.end_event(self.opened.session.model.device)
        yield ChannelEvent(self.name, end, self._error)

    def close(self) -> None:
        """Let its source go."""
        self._run.close()

    def _named(self, events: Sequence[StreamEvent] | Iterator[StreamEvent]) -> Iterator[ChannelEvent]:
        return (ChannelEvent(self.name, event) for event in events)


class _Load:
    """Whether the machine keeps up with all channels: judged once, by the first rounds.

    Args:
        num_channels: at the start.
    """

    def __init__(self, num_channels: int) -> None:
        self._num_channels = num_channels
        self._num_rounds = 0
        self._work_seconds = self._stream_seconds = 0.0

    def add(self, due: Sequence[_Running], seconds: float) -> str:
        """Count a round; what is to be told of it, mostly nothing."""
        if not all(run.is_realtime for run in due) or self._num_rounds >= ROUNDS_TO_JUDGE:
            return ""
        self._num_rounds += 1
        if self._num_rounds > 2:  # the first ones make caches
            self._work_seconds += seconds
            self._stream_seconds += sum(run.step_seconds for run in due)
        if self._num_rounds < ROUNDS_TO_JUDGE:
            return ""
        needed = self._work_seconds / self._stream_seconds * self._num_channels
        if needed <= 1:
            return ""
        fit = int(self._num_channels / needed)
        return (
            f"{self._num_channels} channels need {needed:.2f} s of work for each second: this machine keeps "
            f"about {fit} in real time; what is late follows --on-lag, in every channel alike"
        )
