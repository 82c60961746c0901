"""Claims where locks do not reach: other machines, and file systems that know none."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from svlm_cli import claims, files, leases
from svlm_cli.claims import Claim, claimed
from svlm_cli.errors import OutputError

LONG_AGO = 61.0
# A process of a machine of its own, on a file system without locks, that claims one thing again and again.
MACHINE = """
import errno, fcntl, os, pathlib, sys, time
from svlm_cli import leases
from svlm_cli.claims import claimed

def no_locks(*_):
    raise OSError(errno.ENOLCK, "no locks")

fcntl.flock = no_locks
leases._here = lambda: (sys.argv[2], 0)
path, inside = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1] + ".inside")
for _ in range(int(sys.argv[3])):
    with claimed(path) as held:
        inside.mkdir()  # which fails if somebody else is inside
        time.sleep(0.002)
        held.require()
        inside.rmdir()
        print("once")
"""


def at(monkeypatch: pytest.MonkeyPatch, machine: str, *, with_locks: bool = False) -> None:
    """Be a process of that machine from now on; its locks are no other's."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(leases, "_here", lambda: (machine, 0))
    if not with_locks:
        monkeypatch.setattr(fcntl, "flock", no_locks)


def lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


@pytest.fixture(autouse=True)
def nothing_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By this process, every 15 s: what is said here to have grown old would be young again."""
    held = claims._Holding()
    held._is_renewing = True
    monkeypatch.setattr(claims, "_held", held)


def grow_old(path: Path) -> None:
    then = time.time() - LONG_AGO
    os.utime(path, (then, then))


def test_a_lease_holds_on_other_machines_and_goes_with_its_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "game"
    at(monkeypatch, "one")
    held = Claim(path)
    with pytest.raises(BlockingIOError):
        Claim(path)
    at(monkeypatch, "two")
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()} "):
        Claim(path)
    held.release()
    with Claim(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_who_comes_back_after_his_term_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "game"
    at(monkeypatch, "one")
    first = Claim(path)
    grow_old(lock_of(path))
    at(monkeypatch, "two")
    second = Claim(path)
    second.require()
    with pytest.raises(OutputError, match="nothing was heard of this process for 60 s, and process"):
        first.require()
    first.renew()
    second.require()
    first.release()
    second.require()
    assert [each.name for each in tmp_path.iterdir()] == [".game.lock"]
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_standing_process_keeps_on_another_machine_ends_with_its_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS keeps locks; on this machine a process that stands still keeps what it has."""
    path = tmp_path / "game"
    at(monkeypatch, "one", with_locks=True)
    first = Claim(path)
    with pytest.raises(BlockingIOError):
        Claim(path)
    at(monkeypatch, "two", with_locks=True)
    with pytest.raises(BlockingIOError):
        Claim(path)
    grow_old(lock_of(path))
    at(monkeypatch, "one", with_locks=True)
    with pytest.raises(BlockingIOError):
        Claim(path)
    at(monkeypatch, "two", with_locks=True)
    with Claim(path) as second:
        second.require()
        with pytest.raises(OutputError, match="has taken over"):
            first.require()
        first.release()
        second.require()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "game", os.pwrite

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        Claim(path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "pwrite", write)
    with Claim(path) as held:
        held.require()


def test_a_lease_is_renewed_while_its_process_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "game"
    at(monkeypatch, "one")
    with Claim(path) as held:
        grow_old(lock_of(path))
        held.renew()
        at(monkeypatch, "two")
        with pytest.raises(BlockingIOError):
            Claim(path)
        assert json.loads(lock_of(path).read_bytes())["renewed"] == 1


def test_a_process_that_ended_holds_nothing_on_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks too; where the number of its process is that of another one now, the time tells."""
    path = tmp_path / "game"
    at(monkeypatch, "one")
    for change in ({"pid": 2**22 + 1}, {"born": 17}):
        Claim(path)
        lease = json.loads(lock_of(path).read_bytes())
        lock_of(path).write_text(json.dumps(lease | change))
        with Claim(path) as held:
            held.require()


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b'{"pid": 1}', b"[" * 9000])
def test_what_is_no_lease_stops_nobody_for_long(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "game"
    lock_of(path).write_bytes(content)
    grow_old(lock_of(path))
    with Claim(path) as held:
        held.require()
    lock_of(path).write_bytes(content)
    grow_old(lock_of(path))
    at(monkeypatch, "two")
    with Claim(path) as held:
        held.require()


def test_one_of_many_machines_takes_over_and_all_get_their_turn(tmp_path: Path) -> None:
    path, turns = tmp_path / "game", 6
    with pytest.MonkeyPatch.context() as patch:
        at(patch, "gone")
        Claim(path)
    grow_old(lock_of(path))
    every = [
        subprocess.Popen(
            [sys.executable, "-c", MACHINE, str(path), str(number), str(turns)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    ended = [process.communicate(timeout=60) for process in every]
    assert [said.split() for said, _ in ended] == [["once"] * turns] * 4, ended
    assert list(tmp_path.iterdir()) == []


def test_a_wait_for_another_machine_ends_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "one")
    with Claim(tmp_path / "game"):
        at(monkeypatch, "two", with_locks=True)
        with claimed(tmp_path / "game", lambda: True) as held:
            assert held is None


def claim_while_another_tidies(path: Path, tidies: Callable[[int], bool]) -> int:
    """Claim something while somebody removes its folder, where it is empty, before lines that he chooses.

    Returns:
        How many lines that were.
    """
    own, num, removed = {claims.__file__, files.__file__}, 0, 0

    def look(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal num, removed
        if frame.f_code.co_filename not in own:
            return None
        if event == "line":
            if tidies(num):
                with suppress(OSError):
                    path.parent.rmdir()
                    removed += 1
            num += 1
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        with claimed(path) as held:
            sys.settrace(before)
            assert held is not None
            held.require()
            assert lock_of(path).exists()
    finally:
        sys.settrace(before)
    assert not lock_of(path).exists()
    return removed


def test_a_folder_that_goes_while_something_in_it_is_claimed_is_made_again(tmp_path: Path) -> None:
    """At every single line, from the first to where it is held; and at random ones, again and again."""
    path = tmp_path / "partial" / "piece"
    removals = [claim_while_another_tidies(path, lambda line, at=at: line == at) for at in range(60)]
    assert sum(removals) > 10
    for seed in range(10):
        path = tmp_path / str(seed) / "piece"
        dice = random.Random(seed)
        claim_while_another_tidies(path, lambda _, dice=dice: dice.random() < 0.1)


def test_what_can_never_be_claimed_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError), claimed(tmp_path / "file" / "piece"):
        pass


def test_a_claim_is_renewed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_held", claims._Holding())
    monkeypatch.setattr(leases, "TERM_SECONDS", 0.2)
    path, until = tmp_path / "game", time.monotonic() + 60
    with Claim(path):
        while json.loads(lock_of(path).read_bytes())["renewed"] < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
