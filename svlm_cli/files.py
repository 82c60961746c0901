"""Files that survive kills and power cuts, and claims on what one process alone may write.

A file that ``whole_file`` wrote is on the disk, name and content, when the call returns: the content is
forced out before the name changes, and the folder after it (as in LWN 457667, "Ensuring data reaches disk").
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import secrets
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from svlm_cli.errors import OutputError
from svlm_cli.text import encodable, visible

_POLL_SECONDS = 0.2
_LEAVING_SECONDS = 10.0
_TELL_SECONDS = 5.0
_BLOCK_BYTES = 65536
_LOCKS_ARE_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held: set[int] = set()
_appending = threading.Lock()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new name beside ``path`` to write to, of the same suffix; it takes the place of ``path`` at the end.

    At any moment, a power cut included, there is the file of before or the new one, whole. Where writing
    fails, what was at ``path`` stays and nothing else is left. Folders are made; a link is followed.

    Raises:
        OSError: it cannot be written, or a device, pipe or folder lies at ``path``.
    """
    target = Path(os.path.realpath(path))
    make_folder(target.parent)
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "it is no ordinary file and cannot be replaced", str(path))
    partial = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield partial
        place(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def place(source: Path, target: Path) -> None:
    """Move a file, or replace another by it, on one file system; content and name are on the disk then."""
    sync(source)
    make_folder(target.parent)
    source.replace(target)
    sync(target.parent)


def append_line(path: Path, line: bytes) -> None:
    """Put a line, its end included, behind a file; it, and the file's name, are on the disk then.

    What stands behind the last line end, which somebody was writing when he was killed, is cut off. Threads
    may call this at once; processes claim the path, or its folder, first.

    Raises:
        OSError: it cannot be written whole; nothing of it is left.
    """
    make_folder(path.parent)
    with _appending:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            end = _end_of_lines(descriptor, size)
            if end < size:
                os.ftruncate(descriptor, end)
            if os.write(descriptor, line) < len(line):
                os.ftruncate(descriptor, end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync(path.parent)


def _end_of_lines(descriptor: int, size: int) -> int:
    """How long a file is up to its last line end."""
    while size:
        start = max(0, size - _BLOCK_BYTES)
        found = os.pread(descriptor, size - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0


def remove_partials(*paths: Path) -> None:
    """Remove what a ``whole_file`` of these paths left when its process was killed; claim them first."""
    names: dict[Path, list[str]] = {}
    for path in paths:
        target = Path(os.path.realpath(path))
        name = rf"\.{re.escape(target.stem)}\.[0-9a-f]{{8}}{re.escape(target.suffix)}"
        names.setdefault(target.parent, []).append(name)
    for folder, patterns in names.items():
        partial = re.compile("|".join(patterns))
        with suppress(OSError):
            for left in os.listdir(folder):
                if partial.fullmatch(left):
                    (folder / left).unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; each is on the disk when this returns."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Force a file's content, or the names in a folder, to the disk.

    Raises:
        OSError: it cannot be; a folder on a file system that knows no such call is passed over.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Force all files and names below a folder to the disk; its own name is its parent's."""
    for inner, _, names in os.walk(folder):
        for name in names:
            sync(Path(inner, name))
        sync(Path(inner))


def put_aside(path: Path) -> Path:
    """Give a file the first free name of ``path.1``, ``path.2``, ...; that name is on the disk then.

    Returns:
        Where it lies now.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
    sync(path.parent)
    return aside


class Claim:
    """One process's exclusive right to write something; it ends with the process, however that ends.

    A lock on ``.NAME.lock`` beside it, or on ``.lock`` inside; it says who holds it, and goes when it is let
    go. Processes forked later do not share it. Where the file system has no locks this is logged, and nothing
    is held back.

    Args:
        path: what is claimed, there or not, in a folder that is there.
        inside: it is a folder that is there, and all in it is claimed.

    Raises:
        BlockingIOError: somebody else, or this process already, has it; its text says who.
        OSError: the lock cannot be written.
    """

    def __init__(self, path: Path, *, inside: bool = False) -> None:
        target = Path(os.path.realpath(path))
        self._path = target / ".lock" if inside else target.with_name(f".{target.name}.lock")
        self._descriptor = self._lock()
        _held.add(self._descriptor)
        who = {"pid": os.getpid(), "host": socket.gethostname(), "command": _command(), "since": time.time()}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(who).encode(), 0)

    def _lock(self) -> int:
        until = time.monotonic() + _LEAVING_SECONDS
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, self._path):
                    return descriptor
                os.close(descriptor)  # who had it has removed it just now
            except OSError as error:
                who, is_alive = _holder(descriptor)
                if error.errno in _LOCKS_ARE_UNKNOWN:
                    logging.getLogger(__name__).warning(
                        "%s: this file system has no locks; see to it that nobody else writes there",
                        self._path.parent,
                    )
                    return descriptor
                os.close(descriptor)
                if not isinstance(error, BlockingIOError):
                    raise
                if is_alive or time.monotonic() > until:
                    raise BlockingIOError(errno.EWOULDBLOCK, who) from None
                time.sleep(_POLL_SECONDS)  # a process that was killed is still on its way out

    def release(self) -> None:
        """Let it go; twice is fine."""
        if self._descriptor >= 0:
            _held.discard(self._descriptor)
            with suppress(OSError):
                if _is_at(self._descriptor, self._path):
                    self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def claim(path: Path, what: str, *, inside: bool = False) -> Claim:
    """Claim something, or refuse at once.

    Args:
        path, inside: as ``Claim`` has them.
        what: it is, for people, e.g. "the output words.vtt".

    Raises:
        OutputError: somebody has it (says who), or it cannot be claimed.
    """
    try:
        return Claim(path, inside=inside)
    except BlockingIOError as error:
        raise OutputError(
            f"{what} is being written by {error.strerror}", "wait for it, or name another"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write beside {what}: {error.strerror}", "choose another folder") from error


@contextmanager
def claimed(path: Path, should_stop: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Claim something as soon as whoever has it, in this process or another, lets it go; a long wait is told.

    Args:
        path: as ``Claim`` has it; folders above it are made.
        should_stop: asked while another one has it.

    Yields:
        Whether it is claimed; False once told to stop.
    """
    make_folder(path.parent)
    held, tell_at = None, time.monotonic() + _TELL_SECONDS
    while held is None:
        try:
            held = Claim(path)
        except BlockingIOError as error:
            if should_stop():
                yield False
                return
            if time.monotonic() > tell_at:
                told = visible(f"{path.name}: waiting for {error.strerror}")
                logging.getLogger(__name__).warning("%s", told)
                tell_at = math.inf
            time.sleep(_POLL_SECONDS)
    with held:
        yield True


def _command() -> str:
    return encodable(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))[:200]


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> tuple[str, bool]:
    """Who a lock says has it, and whether that process may be alive."""
    try:
        who = json.loads(os.pread(descriptor, 4096, 0))
        pid, host, command, since = (who[key] for key in ("pid", "host", "command", "since"))
        told = f"process {pid} ({command!r}, since {time.strftime('%H:%M:%S', time.localtime(since))})"
        if host != socket.gethostname():
            return f"{told} on {host}", True
        os.kill(pid, 0)
        return told, True
    except ProcessLookupError:
        return f"process {pid}, which has ended", False
    except PermissionError:
        return told, True
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process", True


def _close_inherited() -> None:
    """In a forked child: a lock must end with the process that took it."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)


def sha256_of(path: Path) -> str:
    """Of a whole file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
