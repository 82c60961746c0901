"""One interface, three crews of this machine: the same is heard of the same jobs."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from svlm_cli.errors import ModelError, SourceError, SvlmError, UsageError
from svlm_cli.work.jobs import Backlog, Came, Crew, Ended
from svlm_cli.work.local import OneHand, Processes, Threads
from svlm_cli.work.place import HERE, Workplace, parse_place
from tests.work.hands import CannotBegin, Job, Squarer, results

MakeCrew = Callable[[], Crew]
CREWS = {
    "alone": lambda: OneHand(Squarer),
    "threads": lambda: Threads(Squarer, 2),
    "processes": lambda: Processes(Squarer, 2, lambda job: f"job {job.number}"),
}


@pytest.mark.parametrize("make", CREWS.values(), ids=CREWS)
def test_every_job_is_done_once_and_failures_are_its_own(make: MakeCrew) -> None:
    numbers = random.Random(1).sample(range(1000), 12)
    jobs = [Job(number, "fails" if number % 4 == 0 else "") for number in numbers]
    with make() as crew:
        crew.add(jobs)
        found = results(crew)
    assert found.done == {job: job.number**2 for job in jobs if not job.how}
    assert {job: str(error) for job, error in found.failed.items()} == {
        job: f"no {job.number} (try another)" for job in jobs if job.how
    }
    assert all(isinstance(error, SourceError) for error in found.failed.values())
    assert sorted(found.told) == sorted(f"told of {number}" for number in numbers)
    assert (os.getpid() in found.pids) == (make is not CREWS["processes"])
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("make", CREWS.values(), ids=CREWS)
def test_more_may_be_added_on_the_way(make: MakeCrew) -> None:
    found = []
    with make() as crew:
        crew.add([Job(0)])
        for heard in crew.events():
            if isinstance(heard, Ended):
                found.append(heard.job.number)
                crew.add([Job(heard.job.number + 1)] if heard.job.number < 5 else [])
    assert found == list(range(6))


@pytest.mark.parametrize("make", CREWS.values(), ids=CREWS)
def test_what_comes_of_a_job_comes_in_its_order_however_large(make: MakeCrew) -> None:
    with make() as crew:
        crew.add([Job(3, "talks")])
        events = [heard.event for heard in crew.events() if isinstance(heard, Came)]
    assert events[1:] == ["x" * 10, "x" * 100_000, "x" * 100, 9]


def test_no_more_processes_than_jobs() -> None:
    with Processes(Squarer, 9) as crew:
        crew.add([Job(1, seconds=0.2), Job(2, seconds=0.2)])
        assert len(results(crew).pids) <= 2


def test_a_killed_process_is_told_with_its_job_and_the_others_end() -> None:
    with Processes(Squarer, 2, lambda job: f"job {job.number}") as crew:
        crew.add([Job(1, "killed"), Job(2, seconds=30), Job(3)])
        with pytest.raises(SvlmError, match=r"a worker ended in the middle of .*job 1"):
            results(crew)
    assert multiprocessing.active_children() == []


def test_a_job_for_a_crew_that_has_lost_a_worker_is_told_alike() -> None:
    with Processes(Squarer, 2, lambda job: f"job {job.number}") as crew:
        crew.add([Job(1, "killed")])
        begun = time.monotonic()
        while multiprocessing.active_children() and time.monotonic() - begun < 20:
            time.sleep(0.05)
        crew.add([Job(2)])
        with pytest.raises(SvlmError, match=r"a worker ended in the middle of .*job 1"):
            results(crew)


def test_who_cannot_begin_says_why() -> None:
    for crew in (OneHand(CannotBegin()), Processes(CannotBegin(), 2)):
        with crew:
            crew.add([Job(1)])
            (error,) = results(crew).failed.values()
            assert isinstance(error, ModelError)
            assert str(error) == "there is no model (name one)"
    with pytest.raises(ModelError):
        Threads(CannotBegin(), 2)


def test_leaving_early_ends_the_processes() -> None:
    begun = time.monotonic()
    with Processes(Squarer, 2) as crew:
        crew.add([Job(number, seconds=60) for number in range(4)])
        next(crew.events())
    assert multiprocessing.active_children() == []
    assert time.monotonic() - begun < 30


def test_processes_end_with_a_parent_that_is_killed() -> None:
    script = """
from svlm_cli.work.local import Processes
from tests.work.hands import Job, Squarer
if __name__ == "__main__":
    crew = Processes(Squarer, 2)
    crew.add([Job(number, seconds=60) for number in range(2)])
    for heard in crew.events():
        print(heard.event[1] if hasattr(heard, "event") else 0, flush=True)
"""
    path = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=path)
    assert parent.stdout is not None
    pids: set[int] = set()
    while len(pids) < 2:
        pids |= {int(parent.stdout.readline())} - {0}
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, pids))


def test_threads_hear_that_they_shall_stop_and_outlive_a_call_of_exit() -> None:
    with Threads(Squarer, 1) as crew:
        crew.add([Job(1, "exits"), Job(2)])
        found = results(crew)
    assert [*found.done.values()] == [4]
    assert [*map(type, found.failed.values())] == [SystemExit]
    begun = time.monotonic()
    with Threads(Squarer, 1) as crew:
        crew.add([Job(1, seconds=60)])
        next(crew.events())
    crew._pool.shutdown(wait=True)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("seed", range(20))
def test_jobs_on_one_video_stay_on_one_machine(seed: int) -> None:
    """As far as can be: nobody waits while there is anything to do, and nothing is lost or doubled."""
    dice = random.Random(seed)
    backlog: Backlog[tuple[str, int]] = Backlog()
    jobs = [(f"video {number % 5}", number) for number in range(40)]
    for job in jobs:
        backlog.add(job, job[0])
    taken: dict[str, list[tuple[str, int]]] = {"a": [], "b": [], "c": []}
    while backlog:
        machine = dice.choice("abc")
        job = backlog.take(machine)
        if dice.random() < 0.1:  # its worker is lost
            backlog.add(job, job[0])
        else:
            taken[machine].append(job)
    assert sorted(job for each in taken.values() for job in each) == sorted(jobs)
    moves = sum(len({video for video, _ in each}) for each in taken.values())
    assert moves <= 5 + 4  # videos, and those whose end somebody else had to help with
    with pytest.raises(IndexError):
        backlog.take("a")


def test_what_a_machine_that_left_had_read_is_free() -> None:
    backlog: Backlog[int] = Backlog()
    for number in range(4):
        backlog.add(number, "ab"[number % 2])
    assert [backlog.take("x"), backlog.take("y")] == [0, 1]
    backlog.leave("x")
    assert [backlog.take("y"), backlog.take("y")] == [3, 2]


@pytest.mark.parametrize(
    "given", ["", "Ray", "ray:", "ray:host", "ray:host:port", "local:1", "ray:ray://h:1", "ray: h:1"]
)
def test_what_is_no_place_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="not local, ray or ray:HOST:PORT"):
        parse_place(given)


def test_places(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_place("local") == HERE
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    assert parse_place("ray") == Workplace(True)
    assert parse_place("ray:10.0.0.1:6379") == Workplace(True, "10.0.0.1:6379")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="pip install ray"):
        parse_place("ray")
