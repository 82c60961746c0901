"""Several streams, one model: whose seconds are due are spoken about together.

A round takes one step with every channel whose clip is due, so none starves: who has more channels than the
machine can serve has longer rounds, and each channel leaves out seconds by its own clock and policy. What
one channel runs into ends that channel. Channels come and go between two rounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress

from svlm_cli.errors import UsageError
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.stream.channels.channel import Channel, ChannelEvent, ChannelState
from svlm_cli.stream.channels.load import ROUNDS_TO_JUDGE, Load
from svlm_cli.stream.channels.run import OpenedStream
from svlm_cli.stream.channels.running import Running
from svlm_cli.stream.channels.seeing import Seer
from svlm_cli.stream.step.shared import SharedFeeder
from svlm_cli.stream.step.together import step_together

POLL_SECONDS = 0.05
GATHER_SECONDS = 0.05  # that a channel which is due waits for others, so that they share a forward
MOST_SAVED = 4  # last states at once: each is a cache once more in memory
MOST_ENDED = 256  # states of channels that are over, to be listed


class Rounds:
    """The channels of one model; ``events`` runs them, in one thread, and all else is called from any.

    Args:
        model: what ``load_model`` gave; what it compiled or captured for single words is not used.
        stop: set from any thread to end all after the present round.
        stays: go on where no channel is left: others may come; or what says so at any time.
    """

    def __init__(
        self,
        model: VideoLanguageModel,
        stop: threading.Event | None = None,
        *,
        stays: bool | Callable[[], bool] = False,
    ) -> None:
        self._model = model
        self._stop = stop or threading.Event()
        self._stays = stays if callable(stays) else lambda: stays
        self._feeder = SharedFeeder(model)
        self._load = Load(ROUNDS_TO_JUDGE)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._new: list[tuple[Channel, OpenedStream]] = []
        self._unwanted: set[str] = set()
        self._running: dict[str, Running] = {}
        self._ended: dict[str, ChannelState] = {}
        self._closing: list[threading.Thread] = []
        self._saving = threading.Semaphore(MOST_SAVED)
        self._is_over = False

    def add(self, channel: Channel) -> None:
        """Add a channel, which begins before the next round.

        Raises:
            SvlmError: it cannot begin: a state that does not fit, settings that do not go together.
            UsageError: another of its name runs, or all is over.
        """
        opened = OpenedStream.of(
            self._model, channel.source, channel.settings, channel.trace, channel.controls
        )
        with self._lock:
            if self._is_over:
                raise UsageError("the channels have ended", "start svlm stream again")
            if channel.name in self._names_locked():
                raise UsageError(f"a channel {channel.name} runs already", "give it another name")
            self._new.append((channel, opened))
        self._wake.set()

    def remove(self, name: str) -> None:
        """End a channel before its next step and forget it; forget one that has ended.

        Raises:
            UsageError: there is none of this name.
        """
        with self._lock:
            if name in self._running:
                self._running[name].is_leaving.set()
                self._wake.set()
            elif name in self._names_locked():  # not begun: it will begin and end
                self._unwanted.add(name)
            elif self._ended.pop(name, None) is None:
                raise UsageError(
                    f"there is no channel {name}", f"there are: {', '.join(self._names_locked())}"
                )

    def states(self) -> list[ChannelState]:
        """How those stand that run, and the last that have ended."""
        with self._lock:
            return [*(run.state for run in self._running.values()), *self._ended.values()]

    def events(self) -> Generator[ChannelEvent, None, None]:
        """Run the channels until none is left.

        Yields:
            The events of every channel as ``stream_video`` has them, the last its ``EndEvent``, also where it
            ended by an error, which a ``WarningEvent`` tells before.
        """
        seer = Seer(self._wake.set)
        try:
            while self._goes_on():
                yield from self._begin_new(seer)
                left = list(self._running.values())
                for run in left:
                    yield from run.poll()
                    if run.is_over:
                        run.conclude()
                    if run.has_concluded:
                        yield from self._end(run)
                yield from self._spoken(left)
            left = list(self._running.values())
            for run in left:
                run.conclude()
            for run in left:
                yield from self._end(run)
        finally:
            seer.close()
            self._close()

    def names(self) -> list[str]:
        """Those that run or are to begin."""
        with self._lock:
            return self._names_locked()

    def __len__(self) -> int:
        return len(self.names())

    def _names_locked(self) -> list[str]:
        return [*self._running, *(channel.name for channel, _ in self._new)]

    def _goes_on(self) -> bool:
        with self._lock:
            self._is_over = self._stop.is_set() or not (self._running or self._new or self._stays())
            return not self._is_over

    def _begin_new(self, seer: Seer) -> Iterator[ChannelEvent]:
        """Every start is told before the first of them begins to read."""
        with self._lock:
            new = list(self._new)
        if not new:
            return
        for channel, opened in new:
            for event in opened.first_events():
                yield ChannelEvent(channel.name, event)
        with self._lock:
            del self._new[: len(new)]
            for channel, opened in new:
                run = Running(channel, opened, seer, self._saving, self._wake.set)
                if channel.name in self._unwanted:
                    run.is_leaving.set()
                self._running[channel.name] = run
                self._ended.pop(channel.name, None)
            self._unwanted -= {channel.name for channel, _ in new}
        self._load.judge_again()

    def _spoken(self, left: Sequence[Running]) -> Iterator[ChannelEvent]:
        """A round where it is time for one; else a moment's wait."""
        due = [run for run in left if run.is_due]
        if due and (_is_gathered(left) or max(run.waited for run in due) >= GATHER_SECONDS):
            yield from _round(due, self._feeder)
            num_live = sum(run.is_realtime for run in self._running.values())
            if told := self._load.add(due, num_live, time.perf_counter()):
                yield ChannelEvent(due[0].name, due[0].warning(told))
            return
        waits = [GATHER_SECONDS - max(run.waited for run in due)] if due else []
        waits += [early for run in left if (early := run.early_seconds) > 0]
        self._wake.wait(max(0.0, min([*waits, POLL_SECONDS])))
        self._wake.clear()

    def _end(self, run: Running) -> Iterator[ChannelEvent]:
        """The last events of a channel; behind them it is closed, beside the others."""
        yield from run.end()
        with self._lock:
            del self._running[run.name]
            if not run.is_leaving.is_set():
                self._ended[run.name] = run.state
            while len(self._ended) > MOST_ENDED:
                del self._ended[next(iter(self._ended))]
        self._close_beside(run)

    def _close_beside(self, run: Running) -> None:
        thread = threading.Thread(target=run.close, name="svlm-close", daemon=True)
        thread.start()
        self._closing = [*(each for each in self._closing if each.is_alive()), thread]

    def _close(self) -> None:
        """Close what has not come to its end, and wait for all that is being closed."""
        with self._lock:
            self._is_over = True
            unbegun, self._new = self._new, []
        for run in self._running.values():
            self._close_beside(run)
        for channel, _ in unbegun:
            with suppress(Exception):
                channel.release()
        for thread in self._closing:
            thread.join()


def stream_channels(
    model: VideoLanguageModel, channels: Sequence[Channel], stop: threading.Event | None = None
) -> Generator[ChannelEvent, None, None]:
    """Stream several sources through one model.

    Args:
        model, stop: as ``Rounds`` has them.
        channels: channels with different names.

    Yields:
        As ``Rounds.events``.

    Raises:
        SvlmError: a channel cannot begin: a state that does not fit, settings that do not go together.
    """
    rounds = Rounds(model, stop)
    for channel in channels:
        rounds.add(channel)
    yield from rounds.events()


def _is_gathered(left: Sequence[Running]) -> bool:
    """Whether nobody is worth waiting for: who is not due will not be within the time of gathering."""
    return all(run.is_due or run.is_over or run.early_seconds > GATHER_SECONDS for run in left)


def _round(due: Sequence[Running], feeder: SharedFeeder) -> Iterator[ChannelEvent]:
    """One step of every channel that is due."""
    steps = [run.take() for run in due]
    for run, step, outcome in zip(due, steps, step_together(steps, feeder), strict=True):
        if step.question is not None:
            yield from run.asked(step.question, outcome.question_error)
        if outcome.finished is None:
            yield from run.fail(outcome.error or RuntimeError("the step did not finish"))
        else:
            yield from run.spoken(step.clip, outcome.finished)
