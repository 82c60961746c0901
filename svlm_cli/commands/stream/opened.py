"""A channel with what is written of it, and the search for a source that is not there yet."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from svlm_cli.commands.stream import run as one
from svlm_cli.commands.stream.channel_file import ChannelSpec
from svlm_cli.errors import OutputError, SourceError, SvlmError
from svlm_cli.media.address import is_live_address, public_name
from svlm_cli.media.live.connecting import UnservableError
from svlm_cli.media.live.receiver import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS
from svlm_cli.stream.channels.channel import Channel, ChannelEvent, ChannelState, Condition
from svlm_cli.stream.controls import Controls, watching
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.stream.pacing import SaveTurns
from svlm_cli.stream.questions import Questions, read_questions
from svlm_cli.types import EndEvent, StreamEvent, WarningEvent

if TYPE_CHECKING:
    from svlm_cli.commands.stream.channels_view import ChannelsView
    from svlm_cli.commands.stream.run import Talking
    from svlm_cli.media.source import Source
    from svlm_cli.types import Clip


ItemT = TypeVar("ItemT")
OPENERS = 32  # at once: some sources may not answer for long
PATIENCE_SECONDS = 2.0


class Attendant(Protocol):
    """Who looks on at one channel beside its files: a page."""

    def watch(self, clip: Clip) -> None:
        """A clip as it was read, in the reader's thread."""

    def publish(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """An event; what is to be told of publishing it comes back."""
        ...

    def lack_source(self, reason: str, *, is_over: bool) -> None:
        """There is no source yet, or (``is_over``) none will come."""


@dataclass(slots=True, eq=False)
class OpenChannel:
    """A channel with what is written of it.

    Args:
        spec: as it was asked for.
        stack: holds its source, its files and its claims.
        questions: the questions asked of it.
        source: where its clips come from, once it is open.
        writers: its files, once they are open.
        attendant: who looks on, if anybody.
        channel: None where its source could not be opened.
        absence: why it has not begun yet though its source is opened or looked for; else empty.
        failures: what went wrong, in words; none where all went well.
        has_begun: whether it was added to those that run.
        is_leaving: whether it was asked to end before its source does.
        is_closed: set once its files, its source and its claims are let go.
    """

    spec: ChannelSpec
    stack: ExitStack = field(default_factory=ExitStack)
    questions: Questions = field(default_factory=Questions)
    source: Source | None = None
    writers: Writers | None = None
    attendant: Attendant | None = None
    channel: Channel | None = None
    absence: str = ""
    failures: list[str] = field(default_factory=list)
    has_begun: bool = False
    is_leaving: bool = False
    is_closed: threading.Event = field(default_factory=threading.Event)

    @property
    def is_gone(self) -> bool:
        """Whether it is not to begin any more: it was removed, or is over, while its source was opened."""
        return self.is_leaving or self.is_closed.is_set()

    @property
    def state(self) -> ChannelState:
        """How it stands while it has not begun, or could not."""
        condition = Condition.FAILED if self.failures else Condition.WAITING
        source = public_name(self.spec.source)
        return ChannelState(self.spec.name, source, condition, error="; ".join(self.failures))

    @property
    def not_kept(self) -> list[str]:
        """What was not written as it should be, once all is."""
        lost = [] if self.writers is None else list(self.writers.failed)
        keeper = None if self.channel is None else self.channel.controls.keeper
        if keeper is not None and keeper.has_failed:
            lost.append(f"its end is not in the state {keeper.path}")
        return lost

    def may_come(self, error: SourceError) -> bool:
        """Whether a source that cannot be opened now is to be looked for."""
        is_address = is_live_address(self.spec.source) and self.spec.source != "-"
        return is_address and self.spec.live.opening_seconds > 0 and not isinstance(error, UnservableError)

    def lack_source(self, reason: str, *, is_over: bool) -> None:
        """Tell who looks on why there is nothing to see, without where the source lies."""
        if self.attendant is None:
            return
        told = f"{public_name(self.spec.source)} {reason}"
        self.attendant.lack_source(told, is_over=is_over)
        if is_over:
            start_seconds = self.spec.settings.start
            for event in (WarningEvent(told, start_seconds), never_begun(start_seconds)):
                self.attendant.publish(event)

    def fill(
        self,
        attend: Callable[[OpenChannel], Attendant | None],
        view: Talking,
        turns: SaveTurns,
        let_go: Callable[[OpenChannel], None],
    ) -> None:
        """Open its source and its files.

        Args:
            attend: gives who looks on at it.
            view: told of what is not as it was left.
            turns: those of all channels that save their states.
            let_go: called behind its end.

        Raises:
            SvlmError: one of them cannot be opened; what is open stays so until it is closed.
        """
        from svlm_cli.stream.sources import open_source

        spec, stack = self.spec, self.stack
        kept, settings = spec.kept, spec.settings
        asked = read_questions(spec.asking.ask_file) if spec.asking.ask_file else []
        self.writers = writers = kept.writers(spec.source, waits=False)
        one.claim_all(kept, stack)
        stack.enter_context(writers)
        at_once = replace(spec.live, opening_seconds=0.0)
        source = stack.enter_context(self.source or open_source(spec.source, at_once, settings.viewing))
        self.source = source
        if self.is_gone:
            raise SourceError(f"{spec.name} has been removed meanwhile")
        resume = one.resumed(kept, writers, source, view)
        for at_seconds, text in one.to_ask(asked, resume):
            self.questions.ask(text, at_seconds)
        self.attendant = attendant = self.attendant or attend(self)
        self.channel = Channel(
            spec.name,
            source,
            replace(settings, pace=spec.pace or one.fitting_pace(source)),
            writers.trace if kept.trace else None,
            Controls(
                questions=self.questions,
                watch=watching(None if attendant is None else attendant.watch, writers.watch),
                keeper=one.keeper_of(kept, writers, stack, turns),
                resume=resume,
            ),
            partial(let_go, self),
        )

    def pass_on(self, told: ChannelEvent, view: ChannelsView) -> None:
        """An event to its files, those who look on and the view."""
        for shown in [*self._written(told.event), told.event]:
            noted = [] if self.attendant is None else list(self.attendant.publish(shown))
            for each in [*noted, shown]:
                view.show(told.channel, each)
        if (error := told.error) is not None:
            self.failures.append(error.message if isinstance(error, SvlmError) else str(error))
        if isinstance(told.event, EndEvent):
            view.end(told.channel, forget=self.is_leaving)

    def _written(self, event: StreamEvent) -> list[WarningEvent]:
        """What comes of writing an event; where files cannot be created, the channel goes on without them."""
        assert self.writers is not None
        try:
            return self.writers.write(event)
        except OutputError as error:
            return [self.writers.give_up(error)]

    def is_dropped(self) -> bool:
        """Whether it was gone before it could begin; what was opened since then is let go."""
        if self.has_begun or not self.is_gone:
            return False
        self.is_closed.wait()
        self.stack.close()
        return True

    def give_up(self, why: str, told: str) -> None:
        """It will not begin: why, and what is told of its source to those who look on."""
        self.close()
        self.channel = None
        self.failures.append(why)
        self.lack_source(told, is_over=True)

    def close(self) -> None:
        """Let all go; any number of times."""
        try:
            self.stack.close()
        finally:
            self.is_closed.set()


def never_begun(at_seconds: float) -> EndEvent:
    """The end of a channel that took no step."""
    return EndEvent(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, at_seconds)


def look_for(opened: OpenChannel, take: Callable[[Source], None], may_begin: Callable[[], bool]) -> str:
    """Look for the source of a channel until it is taken, the channel is closed, or patience has an end.

    Args:
        opened: the channel; ``spec.live.opening_seconds`` is the patience.
        take: given the source, open; where it raises, the source is closed.
        may_begin: whether there is somebody to take it.

    Returns:
        Why it was given up; empty where it was not.
    """
    from svlm_cli.stream.sources import open_source

    spec, pause = opened.spec, FIRST_DELAY_SECONDS
    began, most_seconds = time.monotonic(), spec.live.opening_seconds
    at_once = replace(spec.live, opening_seconds=0.0)
    while not opened.is_closed.wait(pause * random.uniform(0.5, 1.0)):
        if not may_begin():
            continue
        pause = min(2 * pause, LONGEST_DELAY_SECONDS, max(FIRST_DELAY_SECONDS, most_seconds / 4))
        try:
            source = open_source(spec.source, at_once, spec.settings.viewing)
        except SourceError as error:
            if isinstance(error, UnservableError):
                return str(error)
            if time.monotonic() - began >= most_seconds:
                return f"its source did not come within {most_seconds:g} s: {error.message}"
            continue
        except Exception as error:  # of its thread it would be lost, and the channel would wait for ever
            return _reason(error)
        try:
            take(source)
        except Exception as error:
            source.close()
            return _reason(error)
        return ""
    return ""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SvlmError) else f"{type(error).__name__}: {error}"


def side_by_side(work: Callable[[ItemT], object], items: Iterable[ItemT]) -> None:
    """Do something with each of several channels, in a thread of its own; nobody waits for long."""
    gate = threading.Semaphore(OPENERS)

    def one(item: ItemT) -> None:
        with gate:
            work(item)

    threads = [threading.Thread(target=one, args=(each,), name="svlm-open", daemon=True) for each in items]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
