"""A real Ray cluster of three nodes on this machine: nodes die, joining ones help, nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from svlm_cli.cli import run
from svlm_cli.data.fetch.folder import expand, fetch_all
from svlm_cli.data.fetch.one import FetchOptions, FetchProgress
from svlm_cli.data.manifest import Manifest
from svlm_cli.errors import ModelError, SourceError, SvlmError
from svlm_cli.work import cluster as crews
from svlm_cli.work.jobs import BegunAgain, Came, Ended
from svlm_cli.work.place import parse_place
from tests.work.hands import CannotBegin, Job, Noting, Sick, Squarer, results

pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
ROOT = Path(__file__).resolve().parents[2]
SMALL = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """Three nodes; a test that kills one adds another."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=SMALL)
    for _ in range(2):
        made.add_node(**{key: value for key, value in SMALL.items() if key != "include_dashboard"})
    made.wait_for_nodes()
    yield made
    made.shutdown()


def crew_on(cluster, hire, per_node: int = 1):
    place = parse_place(f"ray:{cluster.address}")
    return place.crew(
        hire,
        per_node,
        shares=False,
        with_gpu=True,
        name=lambda job: f"job {job.number}",
        near=lambda _job: "",
    )


def node_of(cluster, pid: int):
    """The node, other than the head, whose worker this process is; None for none."""
    above = {each.pid for each in psutil.Process(pid).parents()}
    for node in cluster.worker_nodes:
        if above & {each.process.pid for each in node.all_processes["raylet"]}:
            return node
    return None


def gone(pids: set[int]) -> None:
    """Workers end soon after their crew."""
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, pids))


def test_all_nodes_work_and_failures_are_of_their_jobs(cluster) -> None:
    numbers = random.Random(2).sample(range(1000), 20)
    jobs = [Job(number, "fails" if number % 4 == 0 else "", 0.1) for number in numbers]
    with crew_on(cluster, Squarer) as crew:
        crew.add(jobs)
        found = results(crew)
    assert found.done == {job: job.number**2 for job in jobs if not job.how}
    assert {job.number: str(error) for job, error in found.failed.items()} == {
        job.number: f"no {job.number} (try another)" for job in jobs if job.how
    }
    assert all(isinstance(error, SourceError) for error in found.failed.values())
    assert len(found.pids) == 3
    assert os.getpid() not in found.pids
    assert found.again == []
    gone(found.pids)


def test_a_node_that_dies_loses_nothing_and_nothing_is_done_twice(cluster, tmp_path: Path) -> None:
    jobs = [Job(number) for number in range(16)]
    done, again, dies = {}, [], None
    with crew_on(cluster, Noting(tmp_path, 1.0), 2) as crew:
        crew.add(jobs)
        for heard in crew.events():
            match heard:
                case Came(event=("pid", pid)) if dies is None and len(done) > 1:
                    dies = node_of(cluster, pid)  # in the midst of this job
                    if dies is not None:
                        cluster.remove_node(dies, allow_graceful=False)
                        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
                case Came(job=job, event=int() as event):
                    assert job.number not in done
                    done[job.number] = event
                case BegunAgain(job=job, reason=reason):
                    again.append(reason)
                    done.pop(job.number, None)  # its end was lost with the node: it is told anew
                case Ended(error=error):
                    assert error is None
    assert done == {number: number**2 for number in range(16)}
    assert {path.name: path.read_text() for path in tmp_path.glob("*.txt")} == {
        f"{number}.txt": str(number**2) for number in range(16)
    }
    assert not list(tmp_path.glob(".*"))
    assert again
    assert "begins again" in again[0]


def test_a_job_that_kills_its_workers_ends_and_the_others_are_done(cluster) -> None:
    with crew_on(cluster, Squarer) as crew:
        crew.add([Job(1, "killed"), *(Job(number) for number in range(2, 8))])
        found = results(crew)
    assert {job.number for job in found.done} == set(range(2, 8))
    (error,) = found.failed.values()
    assert "3 workers ended in the middle of job 1" in str(error)
    assert sum("job 1 begins again" in reason for reason in found.again) == 2


def test_a_worker_that_stands_still_is_lost_and_its_job_done_elsewhere(
    cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "_SILENT_SECONDS", 4.0)
    dice, jobs = random.Random(5), [Job(number, seconds=0.3) for number in range(9)]
    done, reasons, standing, at = {}, [], None, dice.randrange(1, 6)
    with crew_on(cluster, Squarer) as crew:
        crew.add(jobs)
        for heard in crew.events():
            match heard:
                case Came(event=("pid", pid)) if standing is None and len(done) >= at:
                    standing = pid
                    os.kill(pid, signal.SIGSTOP)
                case Came(job=job, event=int() as event):
                    assert job not in done
                    done[job] = event
                case BegunAgain(reason=reason):
                    reasons.append(reason)
                case Ended(error=error):
                    assert error is None
    assert done == {job: job.number**2 for job in jobs}
    assert ["nothing was heard of it for 4 s" in reason for reason in reasons] == [True]
    assert standing is not None
    gone({standing})


def test_a_sick_node_costs_no_job(cluster) -> None:
    """What it loses is done by others, though it is always the first to have nothing to do."""
    (sick, *_) = cluster.worker_nodes
    jobs = [Job(number, seconds=0.7) for number in range(8)]
    with crew_on(cluster, Sick(sick.node_id)) as crew:
        crew.add(jobs)
        found = results(crew)
    assert found.failed == {}
    assert found.done == {job: job.number**2 for job in jobs}
    assert len(found.pids) == 2
    assert 1 <= len(found.again) <= 3


def test_nodes_that_others_keep_busy_hold_no_job(cluster) -> None:
    """And where one node is left, a job that kills its workers does not end the others."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class Blocker:
        def here(self) -> bool:
            return True

    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        blockers = [
            ray.remote(Blocker)
            .options(num_cpus=1, scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False))
            .remote()
            for node in cluster.worker_nodes
        ]
        assert len(blockers) == 2
        assert all(ray.get([blocker.here.remote() for blocker in blockers]))
        freeing = threading.Timer(40, lambda: [ray.kill(blocker) for blocker in blockers])
        freeing.start()
        with crew_on(cluster, Squarer) as crew:
            crew.add([Job(1, "killed"), *(Job(number) for number in range(2, 8))])
            found = results(crew)
        assert freeing.is_alive()
        freeing.cancel()
        assert {job.number for job in found.done} == set(range(2, 8))
        assert [job.number for job in found.failed] == [1]
    finally:
        ray.shutdown()


def test_fetch_on_a_cluster_fills_the_folder_as_it_does_here(cluster, make_video, tmp_path: Path) -> None:
    (tmp_path / "list").mkdir()
    for number in range(5):
        make_video(tmp_path / "list" / f"game {number}.mp4", seconds=1 + number / 2)
    (tmp_path / "list" / "torn.mp4").write_bytes(b"no video")
    sources = expand([str(tmp_path / "list")])
    seen: list[FetchProgress] = []
    here = list(fetch_all(sources, tmp_path / "here"))
    place = parse_place(f"ray:{cluster.address}")
    there = list(fetch_all(sources, tmp_path / "there", FetchOptions(workers=1), seen.append, place))
    assert sorted(each.problem for each in there) == sorted(each.problem for each in here)
    assert len([each for each in there if each.is_new]) == 5
    assert {each.source for each in seen} == set(sources)
    videos = [
        [(video.id, video.sha256, video.path, video.fps) for video in Manifest(tmp_path / name).videos()]
        for name in ("here", "there")
    ]
    assert videos[0] == videos[1]
    assert len(videos[0]) == 5
    again = list(fetch_all(sources, tmp_path / "there", FetchOptions(workers=1), place=place))
    assert not any(each.is_new for each in again)
    assert not list((tmp_path / "there").rglob("*.lock"))


def test_why_hands_cannot_begin_is_told(cluster) -> None:
    with crew_on(cluster, CannotBegin()) as crew:
        crew.add([Job(1)])
        (error,) = results(crew).failed.values()
    assert isinstance(error, ModelError)
    assert str(error) == "there is no model (name one)"


@pytest.mark.parametrize("command", [["fetch", "arena:soccer"], ["bench", "arena"]])
def test_an_address_without_a_cluster_is_told_and_nothing_is_made(
    tmp_path: Path, capsys, command: list[str]
) -> None:
    with pytest.raises(SvlmError, match=r"the Ray cluster at 127\.0\.0\.1:1 cannot be reached"):
        parse_place("ray:127.0.0.1:1").crew(Squarer, 1, shares=False, with_gpu=False)
    assert run([*command, "--on", "ray:127.0.0.1:1", "--out", str(tmp_path / "out")]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("how", "heeds"), [("SIGINT", True), ("SIGINT", False), ("SIGTERM", False)])
def test_who_is_told_to_end_leaves_no_process_and_no_claim(
    cluster, tmp_path: Path, how: str, heeds: bool
) -> None:
    script = f"""
from svlm_cli.__main__ import _terminate
import signal; signal.signal(signal.SIGTERM, _terminate)
import json, sys
from pathlib import Path
from svlm_cli.work.place import parse_place
from tests.work.hands import Job, Noting
place = parse_place("ray:{cluster.address}")
with place.crew(Noting(Path(sys.argv[1]), 60, {heeds}), 1, shares=False, with_gpu=False) as crew:
    crew.add([Job(number) for number in range(9)])
    for heard in crew.events():
        print(heard.event[1], flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    pids = {json.loads(process.stdout.readline()) for _ in range(3)}
    assert len(list(tmp_path.glob(".*.lock"))) == 3
    begun = time.monotonic()
    process.send_signal(getattr(signal, how))
    assert process.wait(timeout=30) == (143 if how == "SIGTERM" else -signal.SIGINT)
    gone(pids)
    assert time.monotonic() - begun < 20
    assert not list(tmp_path.glob(".*.lock"))
    assert not list(tmp_path.glob("*.txt"))
