"""What programs do to a folder, as operations on a disk, from a trace of their system calls.

``strace`` tells every call that changes files, with all data and with the path behind each descriptor. What a
trace cannot tell exactly (shared writable maps, clones of blocks, holes, links) ends the recording with an
error, and so does an end that is not what then lies on the disk: nothing is guessed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.trust.calls import HANDLERS, InexactError, Open, Told, Traced
from tests.trust.disk import Recording, Tree

_TRACED = (
    "open openat openat2 creat write pwrite64 writev pwritev pwritev2 ftruncate truncate fallocate rename "
    "renameat renameat2 unlink unlinkat mkdir mkdirat rmdir link linkat symlink symlinkat fsync fdatasync "
    "dup dup2 dup3 fcntl lseek mmap copy_file_range sendfile splice ioctl clone clone3 fork vfork "
    "io_uring_setup"
)
_CALL = re.compile(r"(\w+)\((.*)\) += (.+)", re.DOTALL)
_TEXT = r'"[^"\\]*(?:\\.[^"\\]*)*"(?:\.\.\.)?'
_ARGUMENT = re.compile(rf'(?:{_TEXT}|<[^>]*>|\[(?:{_TEXT}|[^]"])*\]|[^,"<\[])+', re.DOTALL)


def can_record() -> bool:
    """Whether there is strace, and it may trace."""
    if shutil.which("strace") is None:
        return False
    tried = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=openat", "-o", os.devnull, "true"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def tree_of(folder: Path) -> Tree:
    """All that lies in a folder."""
    paths = sorted(folder.rglob("*"))
    return {str(p.relative_to(folder)): None if p.is_dir() else p.read_bytes() for p in paths}


def record(
    command: Sequence[str], folders: Sequence[Path], log: Path, env: Mapping[str, str] | None = None
) -> list[Recording]:
    """Run a command and tell what it does to each folder.

    Args:
        command: ends with exit code 0.
        folders: that are there; real paths, none within another.
        log: file for the trace.
        env: of the command.

    Raises:
        InexactError: it did what a trace does not tell.
        subprocess.CalledProcessError: it failed.
    """
    before = [tree_of(folder) for folder in folders]
    needed = "\n".join([*map(str, folders), "resumed>", "clone", "fork("])
    kept = f"{shlex.join(['grep', '-aF', needed])} > {shlex.quote(str(log))}"
    how = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", str(1 << 25), "-e", "signal=none"]
    subprocess.run(
        [*how, "-e", "trace=" + ",".join(_TRACED.split()), "-o", f"|{kept}", *command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=env,
    )
    calls = _read_calls(log)
    recordings = []
    for folder, tree in zip(folders, before, strict=True):
        traced = Traced(folder, tree)
        reader = _Reader(traced, _parents(calls))
        for call in calls:
            reader.take(call)
        told, there = traced.tree(), tree_of(folder)
        if told != there:
            other = sorted(name for name in told | there if told.get(name, 0) != there.get(name, 0))
            raise InexactError(f"{folder} is not what the trace says: {', '.join(other)}")
        recordings.append(traced.recording())
    return recordings


@dataclass(frozen=True, slots=True)
class _Call:
    """One system call; ``begun`` is how many were over when it began."""

    thread: int
    name: str
    text: str
    result: str
    begun: int


def _read_calls(log: Path) -> list[_Call]:
    """In the order in which they ended; those that failed are left out."""
    calls: list[_Call] = []
    open_calls: dict[int, tuple[str, int]] = {}
    with log.open(encoding="latin-1", newline="\n") as lines:
        for line in lines:
            pid, _, text = line.rstrip("\n").partition(" ")
            text, begun = text.lstrip(), len(calls)
            if text.endswith("<unfinished ...>"):
                open_calls[int(pid)] = text.removesuffix("<unfinished ...>"), begun
                continue
            if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
                head, begun = open_calls.pop(int(pid), ("", begun))  # not kept: of elsewhere
                text = head + text[resumed.end() :]
            found = _CALL.fullmatch(text)
            if found and not found[3].startswith(("-1", "?")):
                calls.append(_Call(int(pid), *found.groups(), begun))
    return calls


def _parents(calls: Sequence[_Call]) -> dict[int, tuple[int, bool]]:
    """Who made a thread or process, and whether it is a thread of it."""
    made = (call for call in calls if call.name in ("clone", "clone3", "fork", "vfork"))
    return {int(call.result.split()[0]): (call.thread, "CLONE_THREAD" in call.text) for call in made}


@dataclass(slots=True)
class _Reader:
    """Hands each call to what it does to a folder.

    Args:
        traced: the folder.
        parents: of threads and processes.
    """

    traced: Traced
    parents: Mapping[int, tuple[int, bool]]
    tables: dict[int, dict[int, Open]] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)  # operations before each call

    def take(self, call: _Call) -> None:
        """One more call."""
        self.counts.append(len(self.traced.operations))
        if str(self.traced.root) not in call.text + call.result:
            return
        handler = HANDLERS.get(call.name)
        if handler is None:
            raise InexactError(f"{call.name} on {self.traced.root}")
        arguments = [each.strip() for each in _ARGUMENT.findall(call.text)]
        since = self.counts[call.begun]
        handler(self.traced, Told(arguments, call.result, self._table(call.thread), since))

    def _table(self, thread: int) -> dict[int, Open]:
        """The descriptors of a process: those of its parent when it was first seen, and its own."""
        while thread in self.parents and self.parents[thread][1]:
            thread = self.parents[thread][0]
        if thread not in self.tables:
            has_parent = thread in self.parents
            self.tables[thread] = dict(self._table(self.parents[thread][0])) if has_parent else {}
        return self.tables[thread]
