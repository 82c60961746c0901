"""Hands on this machine: this thread itself, threads that share one, or processes with one each."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from queue import SimpleQueue as ThreadQueue
from typing import Any, Generic, Self

from svlm_cli.claims import release_all
from svlm_cli.errors import SvlmError
from svlm_cli.work.jobs import Aside, Came, Ended, EventT, Hand, Heard, Hire, JobT, Signals

_LOOK_SECONDS = 0.1
_BEGUN = "begun"
_MOST_SENT_BYTES = 2048  # a pipe takes 4096 whole or not at all, whoever is killed


class OneHand(Generic[JobT, EventT]):
    """A crew of this thread: it works while its events are asked for."""

    def __init__(self, hire: Hire[JobT, EventT]) -> None:
        self._hire = hire
        self._hand: Hand[JobT, EventT] | None = None
        self._waiting: deque[JobT] = deque()
        self._told: list[Aside] = []

    def add(self, jobs: Iterable[JobT]) -> None:
        """See ``Crew``."""
        self._waiting.extend(jobs)

    def events(self) -> Generator[Heard[JobT, EventT], None, None]:
        """See ``Crew``."""
        while self._waiting:
            job = self._waiting.popleft()
            try:
                if self._hand is None:
                    self._hand = self._hire(
                        Signals(lambda what: self._told.append(Aside(what)), lambda: False)
                    )
                with closing(self._hand.do(job)) as events:  # type: ignore[type-var]
                    for event in events:
                        yield Came(job, event)
                        yield from self._told
                        self._told.clear()
            except Exception as error:
                yield Ended(job, error)
            else:
                yield Ended(job)

    def _tell(self, what: Any) -> None:
        self._told.append(Aside(what))

    def close(self) -> None:
        """See ``Crew``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Threads(Generic[JobT, EventT]):
    """A crew of threads that share one hand.

    Closing it does not wait for what hangs in a socket; this ends with the process.

    Args:
        hire: makes the hand, here.
        num_workers: threads.
    """

    def __init__(self, hire: Hire[JobT, EventT], num_workers: int) -> None:
        self._heard: ThreadQueue[Heard[JobT, EventT]] = ThreadQueue()
        self._stop = threading.Event()
        self._hand = hire(Signals(lambda what: self._heard.put(Aside(what)), self._stop.is_set))
        self._pool = ThreadPoolExecutor(num_workers)
        self._num_left = 0

    def add(self, jobs: Iterable[JobT]) -> None:
        """See ``Crew``."""
        for job in jobs:
            self._num_left += 1
            self._pool.submit(self._do, job)

    def _do(self, job: JobT) -> None:
        try:
            for event in self._hand.do(job):
                self._heard.put(Came(job, event))
        except BaseException as error:  # libraries call exit
            self._heard.put(Ended(job, error))
        else:
            self._heard.put(Ended(job))

    def events(self) -> Generator[Heard[JobT, EventT], None, None]:
        """See ``Crew``."""
        while self._num_left:
            heard = self._heard.get()
            self._num_left -= isinstance(heard, Ended)
            yield heard

    def close(self) -> None:
        """See ``Crew``."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Processes(Generic[JobT, EventT]):
    """A crew of processes with a hand each; they end with this one, however that ends.

    Args:
        hire: makes the hand of each.
        num_workers: processes, begun as there are jobs for them.
        name: what a job is called, for errors.
    """

    def __init__(self, hire: Hire[JobT, EventT], num_workers: int, name: Callable[[JobT], str] = str) -> None:
        context = multiprocessing.get_context("spawn")
        leash, self._leash = context.Pipe(duplex=False)
        self._ours = leash
        self._heard: SimpleQueue[tuple[int, Any]] = context.SimpleQueue()
        self._pool = ProcessPoolExecutor(
            num_workers, context, initializer=_begin, initargs=(leash, self._heard, hire)
        )
        self._name = name
        self._jobs: dict[int, JobT] = {}
        self._futures: dict[Future[Any], int] = {}
        self._at_work: set[int] = set()

    def add(self, jobs: Iterable[JobT]) -> None:
        """See ``Crew``."""
        for job in jobs:
            number = len(self._jobs)
            self._jobs[number] = job
            self._futures[self._submitted(number, job)] = number

    def _submitted(self, number: int, job: JobT) -> Future[Any]:
        try:
            return self._pool.submit(_do, number, job)
        except BrokenProcessPool as error:  # a worker has ended already: told with the jobs that were lost
            broken: Future[Any] = Future()
            broken.set_exception(error)
            return broken

    def events(self) -> Generator[Heard[JobT, EventT], None, None]:
        """See ``Crew``."""
        while self._futures:
            done, _ = wait(self._futures, _LOOK_SECONDS, FIRST_COMPLETED)
            while not self._heard.empty():
                number, what = self._heard.get()
                if what == _BEGUN:
                    self._at_work.add(number)
                elif number < 0:
                    yield Aside(what)
                else:
                    yield Came(self._jobs[number], pickle.loads(what))  # noqa: S301 - of our own processes
            for future in done:
                number = self._futures.pop(future)
                yield from self._ended(self._jobs[number], future)
                self._at_work.discard(number)

    def _ended(self, job: JobT, future: Future[Any]) -> Generator[Heard[JobT, EventT], None, None]:
        try:
            result = future.result()
        except BrokenProcessPool as error:
            lost = [self._jobs[number] for number in sorted(self._at_work)] or [job]
            names = " or ".join(dict.fromkeys(map(self._name, lost)))
            raise SvlmError(
                f"a worker ended in the middle of {names}",
                "out of memory? Try fewer --workers; run again to go on from what is whole",
            ) from error
        except Exception as error:
            yield Ended(job, error)
            return
        for event in result:
            yield Came(job, event)
        yield Ended(job)

    def close(self) -> None:
        """See ``Crew``."""
        self._leash.close()
        self._ours.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._heard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """What a process of the crew is: set once, by ``_begin``."""

    def __init__(self, heard: SimpleQueue[tuple[int, Any]], hire: Hire[Any, Any]) -> None:
        self.heard = heard
        self._hire = hire
        self._hand: Hand[Any, Any] | None = None

    def hand(self) -> Hand[Any, Any]:
        """Made when first needed, so that why it cannot be is told as why a job fails."""
        if self._hand is None:
            self._hand = self._hire(Signals(lambda what: self.heard.put((-1, what)), lambda: False))
        return self._hand


_worker: _Worker | None = None


def _begin(leash: Connection, heard: SimpleQueue[tuple[int, Any]], hire: Hire[Any, Any]) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends the workers
    threading.Thread(target=_leave_with, args=(leash,), daemon=True).start()
    _worker = _Worker(heard, hire)


def _leave_with(leash: Connection) -> None:
    """End this process when its parent lets go, or is no more."""
    with suppress(EOFError, OSError):
        leash.recv()
    release_all(for_good=True)
    os._exit(1)


def _do(number: int, job: Any) -> list[Any]:
    """Do a job: what comes of it is sent at once; from what is too large for that on, it is returned."""
    assert _worker is not None
    _worker.heard.put((number, _BEGUN))
    returned: list[Any] = []
    for event in _worker.hand().do(job):
        content = None if returned else pickle.dumps(event)
        if content is not None and len(content) <= _MOST_SENT_BYTES:
            _worker.heard.put((number, content))
        else:
            returned.append(event)
    return returned
