"""Processes that share matches, over workers made up here."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

import pytest

from svlm_cli.bench.arena import workers
from svlm_cli.bench.arena.match import MatchJob, MatchResult
from svlm_cli.bench.arena.runs import ArenaRun
from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.model import ModelOptions
from svlm_cli.errors import SvlmError
from svlm_cli.settings import Sampling, StreamSettings

RUN = ArenaRun("streaming", StreamSettings(sampling=Sampling(greedy=True)))
JOBS = [MatchJob(RUN, seed, 2, "key") for seed in range(5)]


def result(job: MatchJob) -> MatchResult:
    return MatchResult(job, (str(os.getpid()), ""), 1.0, 2.0, 0.1, 0.2, 0.3)


def works(connection: Connection, _options: ModelOptions, _batch: int) -> None:
    try:
        while (job := connection.recv()) is not None:
            connection.send(WorkProgress(2))
            connection.send(result(job))
    except EOFError:
        return


def is_killed(connection: Connection, _options: ModelOptions, _batch: int) -> None:
    if connection.recv().seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    connection.recv()


def cannot_load(connection: Connection, _options: ModelOptions, batch: int) -> None:
    options = ModelOptions(name="/nowhere/at/all")
    workers._serve(connection, options, batch)


def play(target, num_workers: int, monkeypatch: pytest.MonkeyPatch) -> list[MatchResult]:
    monkeypatch.setattr(workers, "_serve", target)
    events = list(workers.play_all(None, ModelOptions(), JOBS, num_workers))
    assert sum(event.num_seconds for event in events if isinstance(event, WorkProgress)) == 10
    return [event for event in events if isinstance(event, MatchResult)]


def test_every_match_is_streamed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    results = play(works, 2, monkeypatch)
    assert sorted(each.job.seed for each in results) == [0, 1, 2, 3, 4]
    assert len({each.said[0] for each in results}) == 2
    assert str(os.getpid()) not in {each.said[0] for each in results}
    assert multiprocessing.active_children() == []


def test_no_more_workers_than_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    results = play(works, 9, monkeypatch)
    assert len({each.said[0] for each in results}) == 5


def test_a_killed_worker_is_named_and_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SvlmError, match="a worker ended in the middle of run 'streaming', seed 1"):
        play(is_killed, 2, monkeypatch)
    assert multiprocessing.active_children() == []


def test_a_worker_says_why_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SvlmError, match="no model folder /nowhere/at/all"):
        play(cannot_load, 2, monkeypatch)


def test_leaving_early_ends_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_serve", works)
    events = workers.play_all(None, ModelOptions(), JOBS, 2)
    next(events)
    events.close()
    assert multiprocessing.active_children() == []
