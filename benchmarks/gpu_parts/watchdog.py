"""Work in a process of its own: forked, as all is imported already, and ended when its time is over."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .record import Record, Skipped

DONE, FAILED, TOO_LATE, SKIPPED = "done", "failed", "too late", "skipped"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
Work = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece of work: how it ended, why, what it left."""

    status: str
    reason: str
    wall_seconds: float
    values: dict[str, Any]
    checks: list[dict[str, Any]]


class Guarded:
    """Work that runs beside this process; this one must not have computed on several threads before.

    Args:
        work: fills a record.
        path: for its record.
        limit_seconds: after which it is killed with all that it has started.
    """

    def __init__(self, work: Work, path: Path, limit_seconds: float) -> None:
        self._path = path
        self._limit = limit_seconds
        self._began = time.monotonic()
        record = Record(path, self._began + limit_seconds)
        self._process = multiprocessing.get_context("fork").Process(target=_run, args=(work, record))
        self._process.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and its group, as SIGSTOP to have it wait; nothing where it is over."""
        if self._process.is_alive() and self._process.pid is not None:
            _send(self._process.pid, number)

    def end(self) -> None:
        """Kill it, where it is not over."""
        if self._process.is_alive():
            _kill(self._process.pid)
        self._process.join()

    def wait(self) -> Outcome:
        """Until it is over, or over its time."""
        try:
            self._process.join(max(0.0, self._began + self._limit - time.monotonic()))
        except BaseException:  # as Ctrl-C, which reaches this process alone
            _kill(self._process.pid)
            raise
        is_late = self._process.exitcode is None
        if is_late:
            _kill(self._process.pid)
            self._process.join()
        left = json.loads(self._path.read_text()) if self._path.is_file() else {"values": {}, "checks": []}
        problem = self._path.with_suffix(".problem")
        status, reason = json.loads(problem.read_text()) if problem.is_file() else (DONE, "")
        if is_late:
            status, reason = TOO_LATE, f"ended after {self._limit:.0f} s"
        elif status == DONE and self._process.exitcode != 0:
            status, reason = FAILED, f"the process died (exit code {self._process.exitcode})"
        bad = [each["name"] for each in left["checks"] if not each["holds"]]
        if status == DONE and bad:
            status, reason = FAILED, f"does not hold: {', '.join(bad)}"
        return Outcome(status, reason, time.monotonic() - self._began, left["values"], left["checks"])


def _run(work: Work, record: Record) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent()
    problem = record.path.with_suffix(".problem")
    try:
        work(record)
    except Skipped as skipped:
        problem.write_text(json.dumps((SKIPPED, str(skipped))))
    except BaseException as error:
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        problem.write_text(json.dumps((FAILED, f"{type(error).__name__}: {first}"[:300])))


def _die_with_parent() -> None:
    """Whatever ends the parent, nobody goes on with the device; where the system is not Linux it may."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill(pid: int | None) -> None:
    """End a process and its group; its children may have groups of their own, which end with their parent."""
    if pid is None:
        return
    for child in _children(pid):
        _kill(child)
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    """To a process and its group; to itself alone where it has no group of its own yet."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number)
        return
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _children(pid: int) -> list[int]:
    """Ids of the processes that a process has started, where the system tells."""
    try:
        told = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(each) for line in told for each in line.split()]
