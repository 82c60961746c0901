"""Hands made up for tests; of a module, so that other processes can make them too."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from svlm_cli.claims import claimed
from svlm_cli.errors import ModelError, SourceError
from svlm_cli.work.jobs import Aside, BegunAgain, Came, Crew, Ended, Signals


@dataclass(frozen=True)
class Job:
    """A number to be squared; ``how`` says what happens on the way."""

    number: int
    how: str = ""
    seconds: float = 0.0


class Squarer:
    """Says who it is, tells the number, and gives its square."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def do(self, job: Job) -> Iterator[object]:
        yield "pid", os.getpid()
        self._signals.tell(f"told of {job.number}")
        if job.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.how == "fails":
            raise SourceError(f"no {job.number}", "try another")
        if job.how == "exits":
            raise SystemExit(3)
        until = time.monotonic() + job.seconds
        while time.monotonic() < until and not self._signals.should_stop():
            time.sleep(0.01)
        if job.how == "talks":
            yield from ("x" * 10**number for number in (1, 5, 2))
        yield job.number**2


@dataclass(frozen=True)
class CannotBegin:
    """A hire whose hands cannot be made."""

    def __call__(self, signals: Signals) -> Squarer:
        raise ModelError("there is no model", "name one")


@dataclass(frozen=True)
class Sick:
    """Hands that end with their first job on one node of a cluster; on others they square."""

    node: str

    def __call__(self, signals: Signals) -> Squarer:
        import ray

        if ray.get_runtime_context().get_node_id() == self.node:
            os.kill(os.getpid(), signal.SIGKILL)
        return Squarer(signals)


@dataclass(frozen=True)
class Noting:
    """Hands that leave a file for each job and a line for each time that one is done, on a shared folder."""

    folder: Path
    seconds: float = 0.0
    heeds: bool = True  # the order to stop

    def __call__(self, signals: Signals) -> Noter:
        return Noter(self, signals)


class Noter:
    def __init__(self, hire: Noting, signals: Signals) -> None:
        self._hire = hire
        self._signals = signals

    def do(self, job: Job) -> Iterator[object]:
        folder = self._hire.folder
        with claimed(folder / f"{job.number}.txt", self._signals.should_stop) as held:
            assert held is not None
            (folder / f"{job.number}.begun").touch()
            yield "pid", os.getpid()
            until = time.monotonic() + self._hire.seconds
            while time.monotonic() < until:
                if self._hire.heeds and self._signals.should_stop():
                    raise SourceError("stopped")
                time.sleep(0.01)
            held.require()
            (folder / f"{job.number}.txt").write_text(str(job.number**2))
            yield job.number**2


@dataclass(frozen=True)
class Results:
    """What each job came to, why others failed, what was told, why some began again, and who worked."""

    done: dict[Job, object] = field(default_factory=dict)
    failed: dict[Job, BaseException] = field(default_factory=dict)
    told: list[object] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)


def results(crew: Crew) -> Results:
    """All that is heard of a crew."""
    found = Results()
    for heard in crew.events():
        match heard:
            case Came(event=("pid", pid)):
                found.pids.add(pid)
            case Came(job=job, event=event):
                assert job not in found.done
                found.done[job] = event
            case Ended(job=job, error=error) if error is not None:
                found.failed[job] = error
            case Aside(what=what):
                found.told.append(what)
            case BegunAgain(reason=reason):
                found.again.append(reason)
    return found
