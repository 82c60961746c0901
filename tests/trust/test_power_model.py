"""The power-cut simulator itself: it records exactly, and it finds the classic faults."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trust.disk import Tree
from tests.trust.powercut import every_cut
from tests.trust.recording import InexactError, can_record, record

pytestmark = pytest.mark.skipif(not can_record(), reason="strace is not here, or may not trace")

HEAD = """
import ctypes, mmap, os, shutil, subprocess, sys, threading
here = sys.argv[1]
def sync(path):
    descriptor = os.open(path, os.O_RDONLY); os.fsync(descriptor); os.close(descriptor)
def put(name, text, how="w", synced=True):
    with open(f"{here}/{name}", how) as file:
        file.write(text); file.flush()
        if synced: os.fsync(file.fileno())
"""


def traced(folder: Path, program: str):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-S", "-c", HEAD + program, str(folder)]
    return record(command, [folder], folder.with_name("trace"))[0]


ODD = """
put("a", "x" * 10_000); put("a", "yz", "a"); put("a", "mid", "r+")
os.makedirs(f"{here}/deep/er")
with open(f"{here}/b", "wb", buffering=0) as file:
    file.write(bytes(range(256)) * 3); file.seek(1000); file.write(b'"\\\\<>],'); file.truncate(1003)
    os.pwrite(file.fileno(), b"P", 5); os.writev(file.fileno(), [b"]one", b'"two'])
    copy = os.dup(file.fileno()); os.write(copy, b"dup"); os.lseek(copy, 2, 0); file.write(b"LS")
shutil.copyfile(f"{here}/b", f"{here}/deep/c"); shutil.copyfile(sys.executable, f"{here}/deep/d")
os.copy_file_range(os.open(f"{here}/a", 0), os.open(f"{here}/e", os.O_CREAT | os.O_RDWR), 50, 7)
os.link(f"{here}/b", f"{here}/link"); os.rename(f"{here}/deep/c", f"{here}/a"); os.unlink(f"{here}/b")
thread = threading.Thread(target=put, args=("t", "thread")); thread.start(); put("m", "main"); thread.join()
with open(f"{here}/p", "ab+") as file:
    file.write(b"12345"); file.seek(0); file.read(2); file.write(b"end")
subprocess.run(["sh", "-c", f"echo one > {here}/sh; (echo two; echo three) >> {here}/sh"])
if os.fork() == 0:
    put("child", "of mine"); os._exit(0)
os.wait(); os.makedirs(f"{here}/gone/in"); open(f"{here}/gone/f", "w").close(); shutil.rmtree(f"{here}/gone")
os.posix_fallocate(os.open(f"{here}/z", os.O_CREAT | os.O_RDWR), 0, 9)
"""


def test_a_recording_ends_as_the_folder_does(tmp_path: Path) -> None:
    """``record`` itself compares the two, byte for byte."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "before").write_text("there")
    recording = traced(tmp_path / "f", ODD)
    *_, last = every_cut(recording, random.Random(1), 0)
    assert last.tree["sh"] == b"one\ntwo\nthree\n"
    assert last.tree["before"] == b"there"


def test_what_a_trace_cannot_tell_is_refused(tmp_path: Path) -> None:
    shared = """
file = open(f"{here}/m", "w+b"); file.truncate(4096)
mmap.mmap(file.fileno(), 4096)[:3] = b"abc"
"""
    with pytest.raises(InexactError, match="shared writable map"):
        traced(tmp_path / "f", shared)


def renamed_is_whole(tree: Tree) -> bool:
    return tree.get("new", b"whole") == b"whole"


def count_is_kept(tree: Tree) -> bool:
    return (tree.get("lines") or b"").count(b"line\n") >= int(tree.get("count") or 0)


def named_is_there(tree: Tree) -> bool:
    return not tree.get("index") or tree.get("d/one") == b"1"


REPLACE = 'put("tmp", "whole", synced={}); os.rename(f"{{here}}/tmp", f"{{here}}/new"); sync(here)'
COUNT = """
put("lines", ""); sync(here)
for number in range(1, 4):
    put("lines", "line\\n", "a", synced={})
    put("tmp", str(number)); os.rename(f"{{here}}/tmp", f"{{here}}/count"); sync(here)
"""
INDEX = """
os.mkdir(f"{{here}}/d"); sync(here); put("d/one", "1")
if {}: sync(f"{{here}}/d")
put("index", "d/one"); sync(here)
"""


@pytest.mark.parametrize(
    ("program", "holds"),
    [(REPLACE, renamed_is_whole), (COUNT, count_is_kept), (INDEX, named_is_there)],
    ids=["rename without fsync", "append without fsync, counted elsewhere", "no fsync of the folder"],
)
def test_the_classic_faults_are_found(program: str, holds: Callable[[Tree], bool], tmp_path: Path) -> None:
    right = traced(tmp_path / "right", program.format(True))
    assert all(holds(cut.tree) for cut in every_cut(right, random.Random(2), 20))
    wrong = traced(tmp_path / "wrong", program.format(False))
    bad = [cut for cut in every_cut(wrong, random.Random(2), 20) if not holds(cut.tree)]
    assert bad
    assert {cut.how.name for cut in bad} >= {"SOME"}


def test_an_overwritten_file_may_be_empty_torn_or_zeros(tmp_path: Path) -> None:
    recording = traced(tmp_path / "f", 'put("a", "o" * 9000); sync(here); put("a", "n" * 9000, synced=False)')
    found = {cut.tree.get("a") for cut in every_cut(recording, random.Random(3), 60)}
    assert {b"", b"o" * 9000, b"n" * 9000} <= found
    assert any(each and 0 < len(each) < 9000 and set(each) == {ord("n")} for each in found)
    assert any(each and len(each) == 9000 and b"\0" in each and b"n" in each for each in found)
    assert any(each and b"o" in each and b"n" in each for each in found)
