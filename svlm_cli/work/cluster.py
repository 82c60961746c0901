"""Hands on the nodes of a Ray cluster: so many on each, with a GPU each where there are some.

Nodes that join are used and nodes that go are missed: what was under way there begins again elsewhere. What
two hands must not do at once, they claim on the folder that all nodes share (``svlm_cli.claims``).
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Self

from svlm_cli.errors import SvlmError
from svlm_cli.work.actor import CAME, ENDED, STOP_SECONDS, Errand, NodeHand
from svlm_cli.work.jobs import (
    Aside,
    Backlog,
    BegunAgain,
    Came,
    Ended,
    EventT,
    Heard,
    Hire,
    JobLostError,
    JobT,
)

MOST_TRIES = 3  # of a job, on hands that are lost
_TURN_SECONDS = 1.0
_LOOK_SECONDS = 2.0  # between looks at the nodes
_ALONE_SECONDS = 120.0  # without a node
_QUIET_SECONDS = 30.0  # until the first word
_REACH_SECONDS = 10.0
_SETTINGS = b"\x04"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _SETTINGS + bytes(5)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SENT = ("SVLM_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL")


@dataclass(slots=True, eq=False)
class _NodeWorker(Generic[JobT]):
    """An actor, and what it is at.

    Args:
        actor: the actor, as Ray has it.
        node: the id of its node.
        host: what people call the node.
        job: None where it is idle.
    """

    actor: Any
    node: str
    host: str
    job: JobT | None = None


class Cluster(Generic[JobT, EventT]):
    """A crew on a Ray cluster.

    Args:
        hire: makes each hand, on its node.
        address: ``HOST:PORT`` of the cluster; empty for the one that this machine belongs to, else for one
            of this machine alone that begins and ends with the crew.
        per_node: hands on each node.
        with_gpu: each has a GPU, or a share of one, where its node has some.
        near: what a job reads: jobs that read the same go to the same node, if it can be; empty for none.
        name: what a job is called, for people.

    Raises:
        SvlmError: the cluster cannot be reached.
    """

    def __init__(
        self,
        hire: Hire[JobT, EventT],
        address: str,
        per_node: int,
        *,
        with_gpu: bool,
        near: Callable[[JobT], str],
        name: Callable[[JobT], str],
    ) -> None:
        self._hire = pickle.dumps(hire)
        self._errand = Errand(Path.cwd(), _environment())
        self._per_node = per_node
        self._with_gpu = with_gpu
        self._name = name
        self._backlog: Backlog[JobT] = Backlog()
        self._near = near
        self._workers: list[_NodeWorker[JobT]] = []
        self._turns: dict[Any, _NodeWorker[JobT]] = {}
        self._tries: Counter[int] = Counter()
        self._losses: Counter[str] = Counter()
        self._looked_at = self._seen_at = -1e9
        self._has_begun = False
        self._is_ours = _join(address)

    def add(self, jobs: Iterable[JobT]) -> None:
        """See ``Crew``."""
        for job in jobs:
            self._backlog.add(job, self._near(job))

    def events(self) -> Generator[Heard[JobT, EventT], None, None]:
        """See ``Crew``."""
        import ray

        begun_at = self._seen_at = time.monotonic()
        while self._backlog or self._turns:
            yield from self._recruit()
            for worker in self._workers:
                if worker.job is None and self._backlog:
                    worker.job = self._backlog.take(worker.node)
                    self._ask(worker, worker.job)
            if not self._turns:
                time.sleep(_LOOK_SECONDS)
                continue
            ready, _ = ray.wait(list(self._turns), timeout=_TURN_SECONDS)
            if not ready and not self._has_begun and time.monotonic() > begun_at + _QUIET_SECONDS:
                self._has_begun = True
                yield Aside("no worker has begun yet: are all nodes busy? ray status tells")
            for turn in ready:
                worker = self._turns.pop(turn)
                try:
                    said = ray.get(turn)
                except ray.exceptions.RayError as error:
                    yield from self._lost(worker, error)
                    continue
                self._has_begun = True
                yield from self._heard(worker, said)

    def _ask(self, worker: _NodeWorker[JobT], job: JobT | None) -> None:
        given = None if job is None else pickle.dumps(job)
        self._turns[worker.actor.turn.remote(given, _TURN_SECONDS)] = worker

    def _heard(
        self, worker: _NodeWorker[JobT], said: list[tuple[str, Any]]
    ) -> Generator[Heard[JobT, EventT], None, None]:
        job = worker.job
        assert job is not None
        if said and said[-1][0] == ENDED:
            worker.job = None
            self._tries.pop(id(job), None)
            self._losses.pop(worker.node, None)
            if self._backlog:  # before what came is dealt with: its node need not wait for that
                worker.job = self._backlog.take(worker.node)
                self._ask(worker, worker.job)
        else:
            self._ask(worker, None)
        for kind, content in said:
            what: Any = None if content is None else pickle.loads(content)  # noqa: S301 - of our own actors
            if kind == ENDED:
                yield Ended(job, what)
            else:
                yield Came(job, what) if kind == CAME else Aside(what)

    def _lost(
        self, worker: _NodeWorker[JobT], error: Exception
    ) -> Generator[Heard[JobT, EventT], None, None]:
        """A hand is gone, or cannot be reached; what it did begins again, and it is not waited for."""
        job = worker.job
        assert job is not None
        self._end(worker)
        self._losses[worker.node] += 1
        self._tries[id(job)] += 1
        self._looked_at = -1e9
        if self._tries[id(job)] >= MOST_TRIES:
            told = f"{self._tries.pop(id(job))} workers ended in the middle of {self._name(job)}"
            told += f", the last on {worker.host}: {_short(error)}"
            yield Ended(job, JobLostError(told, "out of memory? Try fewer --workers"))
            return
        self._backlog.add(job, self._near(job), first=True)
        yield BegunAgain(
            job, f"a worker on {worker.host} is lost ({_short(error)}); {self._name(job)} begins again"
        )

    def _recruit(self) -> Generator[Heard[JobT, EventT], None, None]:
        """Hands on nodes that lack some; hands of nodes that are gone are let go.

        Raises:
            SvlmError: there has been no node for long.
        """
        now = time.monotonic()
        if now < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        import ray

        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        for worker in [each for each in self._workers if each.node not in nodes]:
            self._backlog.leave(worker.node)
            turns = [turn for turn, at_it in self._turns.items() if at_it is worker]
            for turn in turns:
                del self._turns[turn]
            if worker.job is None:
                self._end(worker)
            else:
                yield from self._lost(worker, SvlmError("its node has left the cluster"))
        able = [each for each in nodes.values() if each["Resources"].get("CPU", 0) > 0]
        for node in able:
            there = sum(worker.node == node["NodeID"] for worker in self._workers)
            if self._losses[node["NodeID"]] < MOST_TRIES * self._per_node:
                self._workers += [self._new_worker(node) for _ in range(there, self._per_node)]
        if self._workers:
            self._seen_at = now
        elif now > self._seen_at + _ALONE_SECONDS:
            raise SvlmError(
                f"no node of the cluster has taken work for {_ALONE_SECONDS:g} s",
                "see ray status; the same command goes on from what is whole",
            )

    def _new_worker(self, node: dict[str, Any]) -> _NodeWorker[JobT]:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        has, share = node["Resources"], self._per_node
        made = ray.remote(NodeHand).options(
            num_cpus=min(1.0, has["CPU"] / share),
            num_gpus=min(1.0, has.get("GPU", 0) / share) if self._with_gpu else 0,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,  # a turn, and the order to stop
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        )
        threads = max(1, int(has["CPU"]) // share)
        actor = made.remote(self._hire, replace(self._errand, threads=threads))
        return _NodeWorker(actor, node["NodeID"], node["NodeManagerHostname"])

    def _end(self, worker: _NodeWorker[JobT]) -> None:
        import ray

        self._workers.remove(worker)
        with suppress(Exception):  # it has gone already, or its node has
            ray.kill(worker.actor)

    def close(self) -> None:
        """See ``Crew``."""
        import ray

        with suppress(Exception):  # of Ray's, on its own way out
            ending = [each.actor.stop.remote() for each in self._workers if each.job is not None]
            if ending:
                ray.wait(ending, num_returns=len(ending), timeout=STOP_SECONDS + 1)
        for worker in list(self._workers):
            self._end(worker)
        self._turns.clear()
        if self._is_ours:
            self._is_ours = False
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _join(address: str) -> bool:
    """Connect to a cluster, unless this process is.

    Returns:
        Whether the connection is ours to end.

    Raises:
        SvlmError: it cannot be reached.
    """
    import ray

    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS", "")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        with _own_end():
            if not address:
                with suppress(ConnectionError):
                    ray.init(address="auto", **quiet)
                    return True
                ray.init(include_dashboard=False, **quiet)
                return True
            host, _, port = address.rpartition(":")
            if port.isdecimal():
                _greet(host.strip("[]"), int(port))
            ray.init(address=address, **quiet)
    except Exception as error:  # gRPC's, Ray's and Python's own
        where = f"the Ray cluster at {address}" if address else "Ray"
        raise SvlmError(
            f"{where} cannot be reached: {_short(error)}",
            "see ray status there; give HOST:PORT as ray start --head prints it",
        ) from error
    return True


def _greet(host: str, port: int) -> None:
    """See that whoever answers there speaks HTTP/2, as Ray does: Ray itself would try for minutes.

    Raises:
        OSError: nobody answers, or in another language.
    """
    with socket.create_connection((host, port), _REACH_SECONDS) as link:
        if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
            link.sendall(_HTTP2)
            if link.recv(9)[3:4] != _SETTINGS:
                raise OSError("what answers there is not Ray")


@contextmanager
def _own_end() -> Iterator[None]:
    """What SIGTERM does stays as it is: Ray would take it over."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _SENT or name.startswith("HF_")}


def _short(error: BaseException) -> str:
    """The line of an error that says most; of Ray's on hands that cannot be made, the last one."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1 if "creation task" in lines[0] else 0][:200]
