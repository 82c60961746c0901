"""Matches spread over processes, each with a model of its own.

A worker that loses its parent ends at its next word of progress; a parent that ends takes its workers
along. One worker is this process itself.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

from svlm_cli.bench.arena.match import MatchJob, MatchResult, play
from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.model import ModelOptions
from svlm_cli.errors import SvlmError

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel

REPORT_SECONDS = 10  # of stream


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a worker says before it ends."""

    message: str


def play_all(
    model: VideoLanguageModel,
    options: ModelOptions,
    jobs: Sequence[MatchJob],
    num_workers: int,
    batch: int = 1,
) -> Generator[WorkProgress | MatchResult, None, None]:
    """Stream every match, in any order; closing the generator ends the workers.

    Args:
        model: for the work of this process.
        options: what workers open their own by.
        num_workers: 1 or more.
        batch: matches at once in each worker, in shared forwards.

    Raises:
        SvlmError: a worker failed or was killed.
    """
    num_workers = min(num_workers, len(jobs))
    if num_workers > 1:
        yield from _play_apart(options, jobs, num_workers, batch)
        return
    yield from _play_here(model, jobs, batch)


def _play_here(
    model: VideoLanguageModel, jobs: Iterable[MatchJob], batch: int
) -> Generator[WorkProgress | MatchResult, None, None]:
    from svlm_cli.stream.step.meeting import do_all

    yield from do_all(model, (partial(play, model, job) for job in jobs), batch)


def _play_apart(
    options: ModelOptions, jobs: Sequence[MatchJob], num_workers: int, batch: int
) -> Generator[WorkProgress | MatchResult, None, None]:
    waiting = deque(jobs)
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []
    busy: dict[Connection, list[MatchJob]] = {}
    try:
        for _ in range(num_workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, options, batch), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            busy[ours] = []
        for _ in range(batch):  # as evenly as they go
            for ours, jobs_of in busy.items():
                _hand_out(ours, jobs_of, waiting)
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                message = _receive(connection, busy[connection])
                yield message
                if isinstance(message, MatchResult):
                    left = [job for job in busy[connection] if job != message.job]
                    busy[connection] = left
                    _hand_out(connection, left, waiting)
                    if not left:
                        del busy[connection]
                        connection.close()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _hand_out(connection: Connection, busy: list[MatchJob], waiting: deque[MatchJob]) -> None:
    """Hand out a job, or say that there are no more; that a worker has gone is found where it is read."""
    job = waiting.popleft() if waiting else None
    if job is not None:
        busy.append(job)
    with suppress(ConnectionError):
        connection.send(job)


def _receive(connection: Connection, jobs: Sequence[MatchJob]) -> WorkProgress | MatchResult:
    where = ", ".join(f"run {job.run.name!r}, seed {job.seed}" for job in jobs)
    try:
        message = connection.recv()
    except (EOFError, ConnectionError) as error:
        raise SvlmError(
            f"a worker ended in the middle of {where}",
            "out of memory? Try fewer --workers; run again to go on from the last whole match",
        ) from error
    if isinstance(message, _Failure):
        raise SvlmError(f"{where}: {message.message}")
    assert isinstance(message, WorkProgress | MatchResult)
    return message


def _serve(connection: Connection, options: ModelOptions, batch: int) -> None:
    """The life of a worker: jobs in, their progress and results out, until nobody asks for more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends the workers
    try:
        model = options.load()
        _report(connection, _play_here(model, iter(connection.recv, None), batch))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        message = str(error) if isinstance(error, SvlmError) else f"{type(error).__name__}: {error}"
        with suppress(ConnectionError):
            connection.send(_Failure(message))


def _report(connection: Connection, events: Iterator[WorkProgress | MatchResult]) -> None:
    num_seconds = 0
    for event in events:
        if isinstance(event, WorkProgress):
            num_seconds += event.num_seconds
        if isinstance(event, MatchResult) or num_seconds >= REPORT_SECONDS:
            connection.send(WorkProgress(num_seconds))
            num_seconds = 0
        if isinstance(event, MatchResult):
            connection.send(event)
