"""Work of many streams, each written as if it were alone, with what they compute in shared forwards.

Every piece of work runs in a thread of its own and asks its ``Place`` to see clips and to feed plans; there
it waits. Once all wait, one thread computes what they asked for, together, and all go on. Who comes when
decides nothing: the same work in the same order makes the same forwards.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.stream.sight import SeenClip, Sight, SizedClip, look_together
from svlm_cli.stream.step.feeding import Feeder, FeedPlan
from svlm_cli.stream.step.shared import SharedFeeder

EventT = TypeVar("EventT")
Answer = torch.Tensor | SeenClip | Exception


class MeetingClosed(BaseException):
    """Raised where a piece of work waits when all is to end."""


@dataclass(frozen=True, slots=True, eq=False)
class _Unseen:
    """A clip to be seen."""

    sight: Sight
    clip: SizedClip


class Place:
    """Where one piece of work asks and waits; used by its thread. This is a ``Feeder``."""

    def __init__(self, ask: Callable[[FeedPlan | _Unseen], None]) -> None:
        self._ask = ask
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    def prepare(self, cache: StreamingCache) -> None:
        """Nothing is made ahead for a shared forward."""

    def feed(self, plan: FeedPlan) -> torch.Tensor:
        """As ``LoneFeeder.feed``, in a forward with what others ask for."""
        logits = self._answer(plan)
        assert isinstance(logits, torch.Tensor)
        return logits

    def look(self, sight: Sight, clip: SizedClip) -> SeenClip:
        """As ``Sight.look``, in a call with what others show."""
        seen = self._answer(_Unseen(sight, clip))
        assert isinstance(seen, SeenClip)
        return seen

    def give(self, answer: Answer | None) -> None:
        """Let the thread go on; None: nobody wants more."""
        self._answers.put(answer)

    def _answer(self, asked: FeedPlan | _Unseen) -> torch.Tensor | SeenClip:
        self._ask(asked)
        answer = self._answers.get()
        if answer is None:
            raise MeetingClosed
        if isinstance(answer, Exception):
            raise answer
        return answer


Work = Callable[[Feeder | None], Iterator[EventT]]


@dataclass(frozen=True, slots=True, eq=False)
class _Told(Generic[EventT]):
    """What a thread says: an event, what it asks for, or (neither) that its work is done, or has failed."""

    seat: int
    event: EventT | None = None
    asked: FeedPlan | _Unseen | None = None
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Seat(Generic[EventT]):
    """A thread, and what it waits for."""

    place: Place
    work: queue.SimpleQueue[Work[EventT] | None] = field(default_factory=queue.SimpleQueue)
    asked: FeedPlan | _Unseen | None = None
    is_idle: bool = True


def do_all(
    model: VideoLanguageModel, works: Iterable[Work[EventT]], size: int
) -> Generator[EventT, None, None]:
    """Do pieces of work, in order, ``size`` at once: see ``Meeting``; one at once is each by itself."""
    if size > 1:
        yield from Meeting[EventT](model, size).do(works)
        return
    for work in works:
        with closing(work(None)) as events:  # type: ignore[type-var]
            yield from events


class Meeting(Generic[EventT]):
    """Does pieces of work, several at once.

    Args:
        model: computes for all.
        size: how many at once.
    """

    def __init__(self, model: VideoLanguageModel, size: int) -> None:
        self._feeder = SharedFeeder(model)
        self._told: queue.SimpleQueue[_Told[EventT]] = queue.SimpleQueue()
        self._seats = [self._seat(number) for number in range(size)]

    def do(self, works: Iterable[Work[EventT]]) -> Generator[EventT, None, None]:
        """Do all of it, in this order, and pass every event on.

        Args:
            works: each called with its place, in a thread of its own; may be made as it is asked for.

        Raises:
            Exception: what one of them ran into; the others end where they are.
        """
        threads = [
            threading.Thread(target=self._serve, args=(number,), name="svlm-batch", daemon=True)
            for number in range(len(self._seats))
        ]
        for thread in threads:
            thread.start()
        left = iter(works)
        try:
            while True:
                for seat in self._seats:
                    if seat.is_idle and (work := next(left, None)) is not None:
                        seat.is_idle = False
                        seat.work.put(work)
                yield from self._heard()
                if all(seat.is_idle for seat in self._seats):
                    return
                self._meet()
        finally:
            for seat in self._seats:
                seat.place.give(None)
                seat.work.put(None)
            for thread in threads:
                thread.join()

    def _seat(self, number: int) -> _Seat[EventT]:
        return _Seat(Place(lambda asked: self._told.put(_Told(number, asked=asked))))

    def _heard(self) -> Iterator[EventT]:
        """Events, until every thread waits or has nothing to do."""
        while any(not seat.is_idle and seat.asked is None for seat in self._seats):
            told = self._told.get()
            seat = self._seats[told.seat]
            if told.error is not None:
                raise told.error
            if told.event is not None:
                yield told.event
            elif told.asked is not None:
                seat.asked = told.asked
            else:
                seat.is_idle = True

    def _meet(self) -> None:
        """Compute what is asked for and hand it out.

        Clips wait until nobody has anything to feed, or half of all wait for theirs: together they cost less.
        """
        shown = [seat for seat in self._seats if isinstance(seat.asked, _Unseen)]
        fed = [seat for seat in self._seats if seat.asked is not None and seat not in shown]
        if fed:
            self._hand(fed, self._feeder.feed([seat.asked for seat in fed]))  # type: ignore[misc]
        if shown and (not fed or 2 * len(shown) >= len(self._seats)):
            clips = [seat.asked for seat in shown]
            self._hand(shown, look_together([(each.sight, each.clip) for each in clips]))  # type: ignore[union-attr]

    @staticmethod
    def _hand(seats: Sequence[_Seat[EventT]], answers: Sequence[Answer]) -> None:
        for seat, answer in zip(seats, answers, strict=True):
            seat.asked = None
            seat.place.give(answer)

    def _serve(self, number: int) -> None:
        """The life of a thread: a piece of work after another."""
        seat = self._seats[number]
        while (work := seat.work.get()) is not None:
            error = None
            try:
                with closing(work(seat.place)) as events:  # type: ignore[type-var]
                    for event in events:
                        self._told.put(_Told(number, event=event))
            except MeetingClosed:
                return
            except BaseException as failure:
                error = failure
            self._told.put(_Told(number, error=error))
            if error is not None:
                return
