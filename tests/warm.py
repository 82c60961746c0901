"""``svlm`` and ``python`` for scripts: programs whose work is done in forks of one that has imported all.

A script's ten commands cost a fork each, in place of three seconds of imports.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import runpy
import socket
import sys
from pathlib import Path

import pytest

from tests.trust.forked import PRELOADED, forked

PRELOADED.extend(
    [
        "svlm_cli.bench.arena.matches",
        "svlm_cli.data.chunks.chunking",
        "svlm_cli.data.words.align",
        "svlm_cli.data.fetch.folder",
        "svlm_cli.model.random_checkpoint",
        "svlm_cli.train.trainer",
        "transformers.trainer",
        "tests.warm",
    ]
)

# The program hands over its standard streams, arguments, folder and environment and gets its exit code.
CLIENT = """#!{python} -SE
import json, os, socket, sys
name, *arguments = sys.argv
if os.path.basename(name) == "svlm":
    arguments = ["-m", "svlm_cli", *arguments]
if arguments[0] not in ("-m", "-c"):
    os.execv({python!r}, [{python!r}, *arguments])
told = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as served:
    served.connect({address!r})
    socket.send_fds(served, [len(told).to_bytes(4, "big")], [0, 1, 2])
    served.sendall(told)
    sys.exit(int(served.recv(16) or b"70"))
"""


@pytest.fixture(scope="module")
def warm_programs(tmp_path_factory: pytest.TempPathFactory):
    """A folder for the front of PATH with ``svlm`` and ``python``."""
    folder = tmp_path_factory.mktemp("bin")
    address = folder / "warm"
    for name in ("svlm", "python"):
        (folder / name).write_text(CLIENT.format(python=sys.executable, address=str(address)))
        (folder / name).chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        server = forked(serve, listening)
        yield folder
        server.terminate()
        server.join()


def serve(listening: socket.socket) -> None:
    """Run what is asked, one after another, each in a fork."""
    while True:
        asked, _ = listening.accept()
        with asked:
            head, descriptors, _, _ = socket.recv_fds(asked, 4, 3)
            with asked.makefile("rb") as told:
                arguments, folder, environment = json.loads(told.read(int.from_bytes(head, "big")))
            child = os.fork()
            if child == 0:
                _work(arguments, Path(folder), environment, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            _, status = os.waitpid(child, 0)
            asked.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _work(arguments: list[str], folder: Path, environment: dict[str, str], descriptors: list[int]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        setattr(sys, name, io.TextIOWrapper(io.FileIO(number, mode, closefd=False), "utf-8"))
    multiprocessing.set_start_method(None, force=True)  # the platform's, not that of this process
    how, what, *more = arguments
    sys.modules.pop(what, None)
    sys.argv = [what if how == "-m" else how, *more]
    code: object = 0
    try:
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
