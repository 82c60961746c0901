"""A channel that runs: the clip that waits for its time, and what has ended it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from svlm_cli.errors import SvlmError
from svlm_cli.media.address import public_name
from svlm_cli.settings import Pace
from svlm_cli.stream.channels.channel import Channel, ChannelEvent, ChannelState, Condition
from svlm_cli.stream.channels.run import OpenedStream, StreamRun
from svlm_cli.stream.channels.seeing import Seen, Seer
from svlm_cli.stream.pipeline import SourceEnded
from svlm_cli.stream.session import Finished
from svlm_cli.stream.sight import SeenClip, SizedClip
from svlm_cli.stream.step.together import DueStep
from svlm_cli.types import StepEvent, StreamEvent, WarningEvent

CLOSE_SECONDS = 10.0  # that a channel's reader has to end, beside the others


class Running:
    """One channel from its beginning to its end; used by the thread that takes the steps.

    Args:
        channel: what was asked for.
        opened: its stream, not begun before.
        seer: shown its clips.
        saving: taken while its last state is saved.
        notify: called from any thread when it is worth polling it.

    Attributes:
        is_over: whether nothing more is to come but ``conclude`` and ``end``.
        has_concluded: whether ``end`` waits for nothing.
        is_leaving: set from any thread to end it before its next step.
    """

    def __init__(
        self,
        channel: Channel,
        opened: OpenedStream,
        seer: Seer,
        saving: threading.Semaphore,
        notify: Callable[[], None],
    ) -> None:
        self.name = channel.name
        self.opened = opened
        self.is_over = self.has_concluded = False
        self.is_leaving = threading.Event()
        self._channel = channel
        self._run: StreamRun = opened.begin(sees=False, notify=notify)
        self._seer = seer
        self._saving = saving
        self._shown: SizedClip | None = None
        self._seen: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self._clip: SeenClip | None = None
        self._error: Exception | None = None
        self._is_ended = self._is_released = False
        self._closing_words: list[StreamEvent] = []
        self._concluding: threading.Thread | None = None
        self._notify = notify
        self._opening = self._run.lacking(opened.text)
        self._due_at = 0.0
        self._last: StepEvent | None = None
        self._num_steps, self._skipped_seconds = 0, 0.0

    @property
    def step_seconds(self) -> float:
        """Of the stream, in one step."""
        return self.opened.session.settings.step_seconds

    @property
    def lag_seconds(self) -> float:
        """Of its last step."""
        return 0.0 if self._last is None else self._last.lag_seconds

    @property
    def is_realtime(self) -> bool:
        """Whether its clips are due by the clock."""
        return self.opened.session.settings.pace is Pace.REALTIME

    @property
    def early_seconds(self) -> float:
        """Until its clip is due; 0 where it has none yet, as it may have one at any moment."""
        clip = self._clip or self._shown
        return 0.0 if clip is None else self._run.early_seconds(clip)

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

    @property
    def state(self) -> ChannelState:
        """How it stands; from any thread."""
        last, error = self._last, self._error
        condition = Condition.WAITING if last is None else Condition.RUNNING
        if self._is_ended:
            condition = Condition.ENDED if error is None else Condition.FAILED
        return ChannelState(
            self.name,
            public_name(self.opened.source.name),
            condition,
            self._num_steps,
            self.opened.start_seconds if last is None else last.end_seconds,
            self.lag_seconds,
            self._skipped_seconds,
            "" if error is None else _message(error),
        )

    def poll(self) -> Iterator[ChannelEvent]:
        """Take the next clip where there is one."""
        yield from self._named(self._opening)
        self.is_over = self.is_over or self.is_leaving.is_set() or self.opened.controls.stop.is_set()
        if self._clip is not None or self.is_over:
            return
        try:
            if self._shown is None:
                self._shown, events = self._run.poll()
                yield from self._named(events)
                if self._shown is not None:
                    self._seer.show(self.opened.session.sight, self._shown, self._seen)
            elif not self._seen.empty():
                self._shown, seen = None, self._seen.get()
                if isinstance(seen, Exception):
                    raise seen
                self._clip = seen
        except SourceEnded:
            yield from self._named(self._run.warnings())
            if self._run.lost is not None:
                yield from self.fail(self._run.lost)
            self.is_over = True
        except Exception as error:
            yield from self.fail(error)

    def take(self) -> DueStep:
        """What its session is to be shown, now that it is due, and asked."""
        assert self._clip is not None
        clip, self._clip, self._due_at = self._clip, None, 0.0
        return DueStep(self.opened.session, clip, self._run.question(clip) or None)

    def asked(self, question: str, error: Exception | None) -> Iterator[ChannelEvent]:
        """A question was put, or ran into something."""
        told = self._run.lacking(question) if error is None else [self._run.not_asked(question, error)]
        yield from self._named(told)

    def spoken(self, clip: SeenClip, finished: Finished) -> Iterator[ChannelEvent]:
        """A step was taken."""
        try:
            for event in self._run.spoken(clip, finished):
                if isinstance(event, StepEvent):
                    self._last = event
                    self._num_steps += 1
                    self._skipped_seconds += event.skipped_seconds
                yield ChannelEvent(self.name, event)
        except Exception as error:
            yield from self.fail(error)

    def fail(self, error: Exception) -> Iterator[ChannelEvent]:
        """The channel ends by what it ran into; its last saved state stays where a step was under way."""
        self._error, self.is_over = error, True
        yield ChannelEvent(self.name, self.warning(_message(error)))

    def warning(self, message: str) -> WarningEvent:
        """What is to be told of it, where it stands."""
        return self._run.warning(message)

    def conclude(self) -> None:
        """Save its last state, in a thread of its own; what reads its source is told to end."""
        if self._concluding is not None:
            return
        self.is_over = True
        self._run.leave()
        self._concluding = threading.Thread(target=self._conclude, name="svlm-conclude")
        self._concluding.start()

    def _conclude(self) -> None:
        try:
            with self._saving:
                self._closing_words += self._run.last_words()
        except Exception as error:  # of its thread it would be lost
            self._closing_words.append(self.warning(_message(error)))
            self._error = self._error or error
        self.has_concluded = True
        self._notify()

    def end(self) -> Iterator[ChannelEvent]:
        """Its last events, once it has concluded; only once."""
        self.conclude()
        assert self._concluding is not None
        self._concluding.join()
        if self._is_ended:
            return
        self._is_ended = True
        yield from self._named(self._closing_words)
        end = self._run.statistics.end_event(self.opened.session.model.device)
        yield ChannelEvent(self.name, end, self._error)

    def close(self) -> None:
        """Wait for what reads its source and let all go that is the channel's alone; any number of times."""
        if self._concluding is not None:
            self._concluding.join()
        self._run.close(CLOSE_SECONDS)
        if not self._is_released:
            self._is_released = True
            self._channel.release()

    def _named(self, events: Sequence[StreamEvent] | Iterator[StreamEvent]) -> Iterator[ChannelEvent]:
        return (ChannelEvent(self.name, event) for event in events)


def _message(error: Exception) -> str:
    return error.message if isinstance(error, SvlmError) else f"{type(error).__name__}: {error}"
