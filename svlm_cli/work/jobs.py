"""Jobs, who does them, and what is heard of them: one interface for one machine and for many.

A *hand* does jobs one after the other and yields what comes of them on the way, the result last. It is made
where it works, by a *hire*: a function that can be sent to another process. A *crew* is several hands.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from svlm_cli.errors import SvlmError

JobT = TypeVar("JobT")
TakenT = TypeVar("TakenT", contravariant=True)
EventT = TypeVar("EventT")
GivenT = TypeVar("GivenT", covariant=True)


@dataclass(frozen=True, slots=True)
class Came(Generic[JobT, EventT]):
    """Something came of a job."""

    job: JobT
    event: EventT


@dataclass(frozen=True, slots=True)
class Ended(Generic[JobT]):
    """A job is done with; ``error`` says why it failed."""

    job: JobT
    error: BaseException | None = None


class JobLostError(SvlmError):
    """A job whose hands were lost so often that it is given up."""


@dataclass(frozen=True, slots=True)
class BegunAgain(Generic[JobT]):
    """A job's hand was lost: what came of the job so far comes again; ``reason`` is a sentence."""

    job: JobT
    reason: str


@dataclass(frozen=True, slots=True)
class Aside:
    """Something a hand tells beside its jobs, by ``Signals.tell``; a sentence is for people."""

    what: Any


Heard = Came[JobT, EventT] | Ended[JobT] | BegunAgain[JobT] | Aside


@dataclass(frozen=True, slots=True)
class Signals:
    """What a hand and its crew have in common.

    Args:
        tell: passes something on as ``Aside``; from any thread.
        should_stop: whether the work has been called off; asked now and then.
    """

    tell: Callable[[Any], None]
    should_stop: Callable[[], bool]


UNHEARD = Signals(lambda _what: None, lambda: False)


class Hand(Protocol[TakenT, GivenT]):
    """Who does jobs."""

    def do(self, job: TakenT, /) -> Iterator[GivenT]:
        """Do a job; what is yielded last is its result."""


Hire = Callable[[Signals], Hand[JobT, EventT]]


class Crew(Protocol[JobT, EventT]):
    """Several hands; a context manager that ends them."""

    def add(self, jobs: Iterable[JobT]) -> None:
        """More to do, in the order in which it shall begin; in the midst of ``events`` too."""

    def events(self) -> Generator[Heard[JobT, EventT], None, None]:
        """What is heard of the jobs until all are done with; closing it leaves them to ``close``.

        Raises:
            SvlmError: there are no hands any more.
        """

    def close(self) -> None:
        """End all hands, and what they do; more than once is fine."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Backlog(Generic[JobT]):
    """Jobs that wait, in their order; those that read the same stay on the machine that read it first."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[JobT]] = {}
        self._free: OrderedDict[str, None] = OrderedDict()  # of those that wait, what no machine has read
        self._own: dict[str, OrderedDict[str, None]] = {}  # what each machine has
        self._homes: dict[str, str] = {}
        self._num = 0

    def __len__(self) -> int:
        return self._num

    def add(self, job: JobT, near: str) -> None:
        """One more; ``near``: what it reads, empty for nothing that others read."""
        if near not in self._waiting:
            self._waiting[near] = deque()
            self._queue_of(near)[near] = None
        self._waiting[near].append(job)
        self._num += 1

    def take(self, machine: str) -> JobT:
        """The next job for a machine: of what it has read, else of what nobody has, else any.

        Raises:
            IndexError: none waits.
        """
        near = next(iter(self._own.get(machine) or self._free), None)
        if near is None:
            near = max(self._waiting, key=lambda each: len(self._waiting[each]), default=None)
        if near is None:
            raise IndexError("no job waits")
        if near and near not in self._homes:
            del self._free[near]
            self._homes[near] = machine
            self._queue_of(near)[near] = None
        jobs = self._waiting[near]
        job = jobs.popleft()
        self._num -= 1
        if not jobs:
            del self._waiting[near], self._queue_of(near)[near]
        return job

    def leave(self, machine: str) -> None:
        """A machine is gone: what it has read is nobody's, and waits no longer than it has."""
        self._homes = {near: home for near, home in self._homes.items() if home != machine}
        self._free = OrderedDict([*self._own.pop(machine, {}).items(), *self._free.items()])

    def _queue_of(self, near: str) -> OrderedDict[str, None]:
        home = self._homes.get(near)
        return self._free if home is None else self._own.setdefault(home, OrderedDict())
