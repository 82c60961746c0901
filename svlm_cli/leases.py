"""What a claim writes down: who holds it, on which machine, and until when he must be heard of."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from svlm_cli.documents import MalformedError, parse_json
from svlm_cli.text import encodable

TERM_SECONDS = 60.0
_MOST_BYTES = 4096
_LOCKS_ARE_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Lease:
    """What stands in the file of a claim.

    Args:
        pid, host, command: who holds it, for people.
        since: seconds since 1970.
        machine: the boot of the machine's kernel; its locks are known to all processes of that boot.
        numbering: the namespace that ``pid`` is a number of.
        born: when that process began, in the kernel's ticks: numbers of processes come again.
        token: a text that this claim alone has.
        term: seconds without renewal after which it may be taken over.
        renewed: how often it was.
    """

    pid: int
    host: str
    command: str
    since: float
    machine: str
    numbering: int
    born: int
    token: str
    term: float
    renewed: int = 0

    @classmethod
    def of_this_process(cls) -> Self:
        """A new one."""
        machine, numbering = _here()
        pid = os.getpid()
        command = encodable(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))[:200]
        host, token = socket.gethostname(), secrets.token_hex(8)
        return cls(pid, host, command, time.time(), machine, numbering, _born(pid), token, TERM_SECONDS)

    @property
    def who(self) -> str:
        """For people."""
        since = time.strftime("%H:%M:%S", time.localtime(self.since))
        told = f"process {self.pid} ({self.command!r}, since {since})"
        return told if self.host == socket.gethostname() else f"{told} on {self.host}"

    def shares_locks(self) -> bool:
        """Whether its process asks the same kernel for locks."""
        return self.machine == _here()[0]

    def has_ended(self) -> bool | None:
        """Whether its process is no more; None where this process cannot tell."""
        if (self.machine, self.numbering) != _here():
            return None
        return _born(self.pid) not in (0, self.born)

    def renew(self) -> Self:
        """The same, once more."""
        return replace(self, renewed=self.renewed + 1)

    def write(self, descriptor: int) -> None:
        """Put it into a file so that other machines see it."""
        content = json.dumps(asdict(self)).encode()
        os.pwrite(descriptor, content.ljust(os.fstat(descriptor).st_size), 0)
        os.fdatasync(descriptor)


def read_lease(path: Path) -> Lease | None:
    """The lease in a file; None where there is none, or not yet."""
    try:
        content: Any = parse_json(path.read_bytes()[:_MOST_BYTES])
        return Lease(**content)
    except (OSError, MalformedError, TypeError):
        return None


def lock(descriptor: int) -> bool | None:
    """Lock a file: whether nobody else has; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _LOCKS_ARE_UNKNOWN:
            return None
        raise
    return True


def age_of(path: Path) -> float | None:
    """Seconds since a file was written to, by the clock of its file system; None where it is not there."""
    probe = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        probe.write_bytes(b"now")
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _here() -> tuple[str, int]:
    """What processes have in common whose locks are one kernel's, and that know each other by number."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot, os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no Linux
        return socket.gethostname(), 0


def _born(pid: int) -> int:
    """When a process began, in ticks of the kernel; 0 where that is not to be known, -1 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return -1
    except (PermissionError, OverflowError):
        pass
    return 0
