"""The far end of a cluster: what runs on a node, as an actor of Ray.

An actor does one job at a time, in a thread of its own, and is asked for what came of it so far in turns:
few messages however much a job tells, and none of them late.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from svlm_cli import __version__
from svlm_cli.claims import release_all
from svlm_cli.errors import SvlmError
from svlm_cli.work.jobs import Hand, Signals

STOP_SECONDS = 2.0
CAME, ENDED, TOLD = "came", "ended", "told"
_WORDS_SECONDS = 0.5  # between what is told on the way


@dataclass(frozen=True, slots=True)
class Errand:
    """What an actor has from who sent it.

    Args:
        folder: relative paths are of this one.
        environment: where models are found, and keys.
        threads: of the node, this actor's share; Ray itself would leave it one.
        version: svlm's version.
    """

    folder: Path
    environment: Mapping[str, str]
    threads: int = 1
    version: str = __version__


class NodeHand:
    """A hand on a node. Nothing of it raises: what goes wrong is told as why a job failed.

    Args:
        hire: makes the hand, pickled: what it needs may be missing here.
        errand: the errand of the command that the work is for.
    """

    def __init__(self, hire: bytes, errand: Errand) -> None:
        self._hire = hire
        self._errand = errand
        self._stop = threading.Event()
        self._jobs: SimpleQueue[bytes] = SimpleQueue()
        self._said: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._hand: Hand[Any, Any] | None = None
        self._is_idle = threading.Event()
        self._is_idle.set()
        logging.getLogger("svlm_cli").addHandler(_Relay(self._said))
        threading.Thread(target=self._work, daemon=True).start()

    def turn(self, job: bytes | None, seconds: float) -> list[tuple[str, Any]]:
        """Take a job, or go on with the last one, and say what came of it.

        Args:
            job: pickled; None to go on.
            seconds: the seconds to wait for the job's end at most.

        Returns:
            What came, in its order: ``CAME`` and pickled, ``TOLD`` and pickled, ``ENDED`` and the error.
        """
        if job is not None:
            self._is_idle.clear()
            self._jobs.put(job)
        until, words_until = time.monotonic() + seconds, time.monotonic() + _WORDS_SECONDS
        said: list[tuple[str, Any]] = []
        while not (said and said[-1][0] == ENDED):
            left = (words_until if said else until) - time.monotonic()
            if left <= 0:
                break
            try:
                said.append(self._said.get(timeout=left))
            except Empty:
                break
        return said

    def stop(self) -> None:
        """Call the job off; what it has claimed is let go of: by itself or, after a moment, for it."""
        self._stop.set()
        self._is_idle.wait(STOP_SECONDS)
        release_all()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            error: BaseException | None = None
            try:
                with closing(self._made().do(pickle.loads(job))) as events:  # type: ignore[type-var]  # noqa: S301
                    for event in events:
                        self._said.put((CAME, pickle.dumps(event)))
                        if self._stop.is_set():
                            raise SvlmError("stopped", "run the same command again")
            except BaseException as caught:  # libraries call exit
                error = caught
            self._is_idle.set()
            self._said.put((ENDED, None if error is None else portable(error)))

    def _made(self) -> Hand[Any, Any]:
        if self._hand is None:
            theirs = self._errand
            if theirs.version != __version__:
                raise SvlmError(
                    f"{os.uname().nodename} has svlm {__version__}, and the command is of {theirs.version}",
                    "install the same version on all nodes",
                )
            os.environ.update(theirs.environment, OMP_NUM_THREADS=str(theirs.threads))
            try:
                os.chdir(theirs.folder)
            except OSError as error:
                raise SvlmError(
                    f"{os.uname().nodename} cannot open the folder {theirs.folder}: {error.strerror}",
                    "run the command from a folder that all nodes share",
                ) from error
            signals = Signals(lambda what: self._said.put((TOLD, pickle.dumps(what))), self._stop.is_set)
            self._hand = pickle.loads(self._hire)(signals)  # noqa: S301 - from the command itself
        return self._hand


class _Relay(logging.Handler):
    """Passes warnings of this node on to the command."""

    def __init__(self, said: SimpleQueue[tuple[str, Any]]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """As logging has it."""
        self._said.put((TOLD, pickle.dumps(f"{os.uname().nodename}: {record.getMessage()}")))


def portable(error: BaseException) -> bytes:
    """An error, pickled; one that does not survive that becomes one of ours that says the same."""
    try:
        content = pickle.dumps(error)
        if str(pickle.loads(content)) == str(error):  # noqa: S301 - our own
            return content
    except Exception:  # noqa: S110 - whatever it is made of
        pass
    return pickle.dumps(SvlmError(f"{type(error).__name__}: {error}"))
