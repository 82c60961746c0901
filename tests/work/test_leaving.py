"""Whoever ends, however it ends, lets go of what it has claimed; who answers instead of Ray is told apart."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from svlm_cli.claims import Claim, release_all
from svlm_cli.commands.output import prints_are_talk
from svlm_cli.errors import OutputError
from svlm_cli.work.actor import ENDED, Errand, NodeHand
from svlm_cli.work.reach import greet
from tests.work.hands import Job, Squarer

ROOT = Path(__file__).resolve().parents[2]


def test_all_claims_of_a_process_are_let_go_of_at_once(tmp_path: Path) -> None:
    claims = [Claim(tmp_path / name) for name in "abc"]
    release_all()
    assert not list(tmp_path.iterdir())
    with Claim(tmp_path / "a"), pytest.raises(OutputError):
        claims[0].require()
    for claim in claims:
        claim.release()


def test_a_claim_just_being_taken_is_let_go_of_too(tmp_path: Path) -> None:
    script = """
import os, sys, threading, time
from pathlib import Path
from svlm_cli.claims import Claim, release_all
from svlm_cli.leases import Lease
folder, write, is_signing = Path(sys.argv[1]), Lease.write, threading.Event()
def slowly(self, descriptor):
    is_signing.set()
    time.sleep(0.3)
    write(self, descriptor)
Lease.write = slowly
def take():
    while True:
        Claim(folder / str(time.monotonic_ns()))
threading.Thread(target=take, daemon=True).start()
is_signing.wait()
release_all(for_good=True)
time.sleep(0.5)
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT, timeout=60)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_let_go_when_their_command_ends(tmp_path: Path, how: signal.Signals) -> None:
    script = """
import sys
from pathlib import Path
from svlm_cli.work.local import Processes
from tests.work.hands import Job, Noting
if __name__ == "__main__":
    crew = Processes(Noting(Path(sys.argv[1]), 60), 2)
    crew.add([Job(number) for number in range(2)])
    for heard in crew.events():
        print(heard.event[1], flush=True)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    pids = {int(parent.stdout.readline()) for _ in range(2)}
    assert len(list(tmp_path.glob(".*.lock"))) == 2
    parent.send_signal(how)
    parent.wait()
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(tmp_path.glob(".*.lock"))


def test_an_actor_has_its_share_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Ray sets it
    talk = logging.getLogger("svlm_cli")
    monkeypatch.setattr(talk, "handlers", [*talk.handlers])
    hand = NodeHand(pickle.dumps(Squarer), Errand(Path.cwd(), {}, threads=3))
    said = hand.turn(pickle.dumps(Job(5)), 10.0)
    while said[-1][0] != ENDED:
        said += hand.turn(None, 10.0)
    assert pickle.loads(said[-2][1]) == 25
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize("verbose", [False, True])
def test_pages_of_rays_logs_are_shown_to_the_verbose_alone(
    capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    with prints_are_talk(verbose=verbose):
        for name, text in (("ray_listen_error_messages", "a raylet's log"), ("other", "a word")):
            thread = threading.Thread(target=print, args=(text,), name=name)
            thread.start()
            thread.join()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == ("a raylet's log\n" if verbose else "") + "a word\n"


@pytest.mark.parametrize(
    ("answer", "is_ray"),
    [(b"\0\0\x06\4\0\0\0\0\0" + bytes(6), True), (b"HTTP/1.1 400 Bad", False), (b"", False)],
)
def test_what_is_not_ray_is_told_at_once(answer: bytes, is_ray: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(100)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        if is_ray:
            greet("127.0.0.1", port)
        else:
            with pytest.raises(OSError, match="not Ray"):
                greet("127.0.0.1", port)
        thread.join()
    assert os.environ.get("RAY_USE_TLS") is None
