"""``svlm`` in processes of its own, to be killed at will: forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PRELOADED = [
    "numpy.ma",
    "pydantic.types",
    "pytest",
    "svlm_cli.arena.source",
    "svlm_cli.__main__",
    "svlm_cli.cli",
    "svlm_cli.commands.stream.run",
    "svlm_cli.commands.stream.view",
    "svlm_cli.model.load",
    "svlm_cli.stream.loop",
    "svlm_cli.stream.sources",
    "svlm_cli.stream.state",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "tests.trust.forked",
]
START_SECONDS = 120


def forked(target: Callable[..., object], *arguments: object) -> ForkServerProcess:
    """A process that runs ``target``, of a module's top level."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process: ForkServerProcess = context.Process(target=target, args=arguments)
    process.start()
    return process


class Svlm:
    """One run of ``svlm``.

    Args:
        arguments: of the command line.
        log: a new file that takes what it writes to both standard streams.
    """

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        log.unlink(missing_ok=True)
        self.process = forked(_run, arguments, str(log))
        deadline = time.monotonic() + START_SECONDS
        while not log.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with suppress(ProcessLookupError):  # it may end between the question and the signal
            if self.process.is_alive():
                os.kill(self.pid, number)

    def wait(self, seconds: float = 120) -> int:
        """How it ended: its exit code, or the negative number of a signal."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"it did not end: {self.talk}")
        return self.process.exitcode

    @property
    def talk(self) -> str:
        """What it has written."""
        return self.log.read_text()


def _run(arguments: list[str], log: str) -> None:
    from svlm_cli.__main__ import main

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    sys.argv = ["svlm", *arguments]
    code: object = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:  # before it listens for one
        code = 130
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 1)
