"""Hands on the nodes of a Ray cluster: so many on each, with a GPU each where there are some.

Nodes that join are used and nodes that go are missed: what was under way there begins again elsewhere. What
two hands must not do at once, they claim on the folder that all nodes share (``svlm_cli.claims``).
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Self

from svlm_cli.errors import SvlmError
from svlm_cli.leases import TERM_SECONDS
from svlm_cli.work.actor import ENDED, STOP_SECONDS, TOLD, Errand, NodeHand
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
from svlm_cli.work.reach import environment, join, short

MOST_TRIES = 3  # of a job, on hands that are lost
_TURN_SECONDS = 1.0
_LOOK_SECONDS = 2.0  # between looks at the nodes
_ALONE_SECONDS = 120.0  # without a node
_QUIET_SECONDS = 30.0  # until the first word
_SILENT_SECONDS = TERM_SECONDS  # of a hand, until it is lost: what it has claimed is, too
_STARTING_SECONDS = (
    180.0  # the same before its first word: libraries that load from a slow disk let nobody speak
)
_NODE_LEFT = "its node has left the cluster"


@dataclass(slots=True, eq=False)
class _NodeWorker(Generic[JobT]):
    """An actor, and what it is at.

    Args:
        actor: the actor, as Ray has it.
        node: the id of its node.
        host: what people call the node.
        job: None where it is idle.
        has_begun: whether it has answered yet: until then it waits for a place on its node.
        has_spoken: whether anything came of its work yet.
        asked_at: when its turn began, by the crew's clock.
    """

    actor: Any
    node: str
    host: str
    job: JobT | None = None
    has_begun: bool = False
    has_spoken: bool = False
    asked_at: float = 0.0


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
        self._errand = Errand(Path.cwd(), environment())
        self._per_node = per_node
        self._with_gpu = with_gpu
        self._name = name
        self._backlog: Backlog[JobT] = Backlog()
        self._near = near
        self._workers: list[_NodeWorker[JobT]] = []
        self._turns: dict[Any, _NodeWorker[JobT]] = {}
        self._again: list[JobT] = []  # lost ones
        self._lost_on: dict[int, list[str]] = {}  # the nodes, by the job
        self._losses: Counter[str] = Counter()
        self._looked_at = self._seen_at = -1e9
        self._clock = 0.0  # seconds of waiting: it stands while this process does
        self._has_begun = False
        self._is_ours = join(address)

    def add(self, jobs: Iterable[JobT]) -> None:
        """See ``Crew``."""
        for job in jobs:
            self._backlog.add(job, self._near(job))

    def events(self) -> Generator[Heard[JobT, EventT], None, None]:
        """See ``Crew``."""
        import ray

        begun_at = self._seen_at = time.monotonic()
        while self._backlog or self._again or any(worker.job is not None for worker in self._workers):
            yield from self._recruit()
            for worker in self._workers:
                self._give(worker)
            if not self._turns:
                time.sleep(_LOOK_SECONDS)
                continue
            waits_from = time.monotonic()
            ready, _ = ray.wait(list(self._turns), timeout=_TURN_SECONDS)
            self._clock += min(time.monotonic() - waits_from, 2 * _TURN_SECONDS)
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
                self._has_begun = worker.has_begun = True
                worker.has_spoken |= bool(said)
                yield from self._heard(worker, said)

    def _give(self, worker: _NodeWorker[JobT]) -> None:
        """A job for a hand that is idle and there, if there is one for it.

        One that was lost on a node goes to another, as long as another has hands.
        """
        if worker.job is not None or not worker.has_begun:
            return
        if self._again:
            nodes = {each.node for each in self._workers if each.has_begun}
            for job in self._again:
                lost_on = self._lost_on[id(job)]
                if worker.node not in lost_on or nodes <= {*lost_on}:
                    self._again.remove(job)
                    self._ask(worker, job)
                    return
        if self._backlog:
            self._ask(worker, self._backlog.take(worker.node))

    def _ask(self, worker: _NodeWorker[JobT], job: JobT) -> None:
        worker.job = job
        self._turn(worker, pickle.dumps(job), _TURN_SECONDS)

    def _turn(self, worker: _NodeWorker[JobT], job: bytes | None, seconds: float) -> None:
        worker.asked_at = self._clock
        self._turns[worker.actor.turn.remote(job, seconds)] = worker

    def _heard(
        self, worker: _NodeWorker[JobT], said: list[tuple[str, Any]]
    ) -> Generator[Heard[JobT, EventT], None, None]:
        job = worker.job
        if said and said[-1][0] == ENDED:
            worker.job = None
            self._lost_on.pop(id(job), None)
            self._losses.pop(worker.node, None)
            self._give(worker)  # before what came is dealt with: its node need not wait for that
        elif job is not None:
            self._turn(worker, None, _TURN_SECONDS)
        for kind, content in said:
            what: Any = None if content is None else pickle.loads(content)  # noqa: S301 - of our own actors
            if kind == TOLD:
                yield Aside(what)
                continue
            assert job is not None
            yield Ended(job, what) if kind == ENDED else Came(job, what)

    def _lost(
        self, worker: _NodeWorker[JobT], error: Exception
    ) -> Generator[Heard[JobT, EventT], None, None]:
        """A hand is gone, or cannot be reached; what it did begins again, and it is not waited for."""
        job, reason = worker.job, short(error)
        self._end(worker)
        self._losses[worker.node] += 1
        self._looked_at = -1e9
        if job is None:
            yield Aside(f"a worker on {worker.host} cannot begin: {reason}")
            return
        lost_on = self._lost_on.setdefault(id(job), [])
        lost_on.append(worker.node)
        if len(lost_on) >= MOST_TRIES:
            self._losses.subtract(lost_on)  # it may be the job's fault
            del self._lost_on[id(job)]
            told = f"{MOST_TRIES} workers ended in the middle of {self._name(job)}"
            told += f", the last on {worker.host}: {reason}"
            yield Ended(job, JobLostError(told, "out of memory? Try fewer --workers"))
            return
        self._again.append(job)
        yield BegunAgain(job, f"a worker on {worker.host} is lost ({reason}); {self._name(job)} begins again")

    def _recruit(self) -> Generator[Heard[JobT, EventT], None, None]:
        """Hands on nodes that lack some; hands of nodes that are gone are let go.

        Raises:
            SvlmError: there has been no node for long, or none is left that keeps its hands.
        """
        now = time.monotonic()
        if now < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        import ray

        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        yield from self._miss({*nodes})
        able = [each for each in nodes.values() if each["Resources"].get("CPU", 0) > 0]
        for node in able:
            there = sum(worker.node == node["NodeID"] for worker in self._workers)
            if self._losses[node["NodeID"]] < MOST_TRIES * self._per_node:
                for _ in range(there, self._per_node):
                    worker = self._new_worker(node)
                    self._workers.append(worker)
                    self._turn(worker, None, 0)  # to hear when it has begun: a job need not wait for that
        if self._workers:
            self._seen_at = now
        elif able or now > self._seen_at + _ALONE_SECONDS:
            lost = "all nodes have lost their workers again and again"
            raise SvlmError(
                lost if able else f"no node of the cluster has taken work for {_ALONE_SECONDS:g} s",
                "see ray status; the same command goes on from what is whole",
            )

    def _miss(self, nodes: set[str]) -> Generator[Heard[JobT, EventT], None, None]:
        """Let go of hands that nothing is to be heard of: of nodes that are gone, and silent ones."""
        turns = {worker: turn for turn, worker in self._turns.items()}
        for worker in list(self._workers):
            is_there = worker.node in nodes
            patience = _SILENT_SECONDS if worker.has_spoken else _STARTING_SECONDS
            is_silent = worker.job is not None and self._clock > worker.asked_at + patience
            if is_there and not is_silent:
                continue
            self._turns.pop(turns.get(worker), None)
            if not is_there:
                self._backlog.leave(worker.node)
            if worker.job is None:
                self._end(worker)
                continue
            why = f"nothing was heard of it for {patience:g} s" if is_there else _NODE_LEFT
            yield from self._lost(worker, SvlmError(why))

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
