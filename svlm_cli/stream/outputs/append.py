"""A file of whole pieces, the last of which may still be replaced by a longer one."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path

from svlm_cli.errors import OutputError
from svlm_cli.files import put_aside, sync

_HINT = "name another file"


def is_file_or_none(path: Path) -> bool:
    """Whether an ordinary file is there, or nothing: what can be replaced and claimed."""
    return path.is_file() or not path.exists()


def output_target(path: Path) -> Path:
    """Where an output will lie, links followed.

    Raises:
        OutputError: there is no such folder, or something there cannot be written.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise OutputError(f"no folder {target.parent} for the output {path}", f"mkdir -p {target.parent}")
    if target.is_dir():
        raise OutputError(f"the output {path} is a folder", "name a file in it")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise OutputError(f"no permission to write {path}", "choose another folder")
    return target


def file_target(path: Path) -> Path:
    """As ``output_target``, for what can only be an ordinary file: no pipe, no device.

    Raises:
        OutputError: it cannot be.
    """
    target = output_target(path)
    if not is_file_or_none(target):
        raise OutputError(f"the output {path} is no ordinary file", "name another")
    return target


class AppendFile:
    """A file of whole pieces, the last of which may still be replaced by a longer one.

    What is behind the pieces that stay, an open piece and a footer, is written over in one ``pwrite`` with
    what takes its place: a process killed at any moment leaves a whole file. Pipes and devices get no open
    pieces.

    ``prepare`` and then ``place``, or ``reopen`` and then ``cut``: the first of each can fail and leaves what
    is there as it is, so that several files are opened all or none.

    Args:
        path: where it will lie; nothing is created or changed before.
        waits: for whoever reads a pipe; else one that nobody reads, or that is full, cannot be written.

    Raises:
        OutputError: there is no such folder, or something there cannot be replaced.
    """

    def __init__(self, path: Path, *, waits: bool = True) -> None:
        self.path = path
        self._waiting = 0 if waits else os.O_NONBLOCK
        self._descriptor = -1
        self._num_bytes = 0
        self._tail = b""
        self.touched = time.time()  # wall time of the last writing
        self._new: Path | None = None
        self._target = output_target(path)
        self._is_named = False
        self.is_ordinary = is_file_or_none(self._target)

    def prepare(self, header: bytes, footer: bytes = b"") -> None:
        """Write ``header`` and ``footer`` to a new file under a hidden name; pipes are just opened.

        Raises:
            OutputError: it cannot be created.
        """
        try:
            if self.is_ordinary:
                name = f".{self._target.stem}.{secrets.token_hex(4)}{self._target.suffix}"
                self._new = self._target.with_name(name)  # what files.remove_partials knows
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._descriptor = os.open(self._new, flags, 0o666)
                if self._target.exists():
                    os.fchmod(self._descriptor, stat.S_IMODE(self._target.stat().st_mode))
            else:
                self._descriptor = os.open(self._target, os.O_WRONLY | os.O_CLOEXEC | self._waiting)
            self.append(header, footer)
        except OSError as error:
            self.close()
            reason = "nobody reads it" if error.errno == errno.ENXIO else error.strerror
            raise OutputError(f"cannot write {self.path}: {reason}", _HINT) from error

    def place(self, *, keep: bool) -> Path | None:
        """Put the new file in place, in one rename.

        Args:
            keep: what was there before, unless it is empty, under another name.

        Returns:
            Where that lies now; None where nothing was kept.

        Raises:
            OutputError: it cannot be put there.
        """
        if self._new is None:
            return None
        aside = None
        try:
            if keep and self._target.is_file() and self._target.stat().st_size:
                aside = put_aside(self._target)
            self._new.replace(self._target)
        except OSError as error:
            if aside is not None:
                aside.replace(self._target)
            self.close()
            raise OutputError(f"cannot write {self.path}: {error.strerror}", _HINT) from error
        self._new = None
        return aside

    def reopen(self) -> bytes:
        """Open the file that is there, to go on behind what ``cut`` leaves.

        Returns:
            All it holds.

        Raises:
            OutputError: it cannot be opened.
        """
        try:
            self._descriptor = os.open(self._target, os.O_RDWR | os.O_CLOEXEC)
            self.touched = os.fstat(self._descriptor).st_mtime
            return self._target.read_bytes()
        except OSError as error:
            self.close()
            raise OutputError(f"cannot write {self.path}: {error.strerror}", _HINT) from error

    def cut(self, num_bytes: int, header: bytes, footer: bytes = b"") -> None:
        """Go on behind so many bytes of the file that was reopened, or behind ``header`` where it is none.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            touched, self._num_bytes = self.touched, num_bytes
            self.append(b"" if num_bytes else header, footer)
            os.ftruncate(self._descriptor, self._num_bytes + len(footer))
            self.touched = touched
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}", _HINT) from error

    @property
    def real_path(self) -> str:
        """Where it lies, links followed."""
        return str(self._target)

    @property
    def num_bytes(self) -> int:
        """Bytes that are whole pieces."""
        return self._num_bytes

    def append(self, piece: bytes, tail: bytes = b"") -> None:
        """Add ``piece`` whole, and behind it what the next call writes over.

        If it does not fit, what was there before stays and the error is raised.

        Raises:
            OSError: e.g. the disk is full.
        """
        if not piece and tail == self._tail:
            return
        if not self.is_ordinary:
            self._write_through(piece)
        else:
            before, after = len(self._tail), len(piece) + len(tail)
            try:
                self._put(piece + tail)
                if after < before:
                    os.ftruncate(self._descriptor, self._num_bytes + after)
            except BaseException:
                with suppress(OSError):
                    self._put(self._tail)
                    os.ftruncate(self._descriptor, self._num_bytes + before)
                raise
            self._tail = tail
        self._num_bytes += len(piece)
        self.touched = time.time()

    def _put(self, content: bytes) -> None:
        """Write behind the pieces that stay."""
        rest, place = memoryview(content), self._num_bytes
        while rest:
            written = os.pwrite(self._descriptor, rest, place)
            rest, place = rest[written:], place + written

    def _write_through(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BlockingIOError as error:
            raise OSError(error.errno, "whoever reads it does not keep up") from error

    def rotate(self, to: Path, header: bytes, footer: bytes = b"") -> None:
        """Give what is written so far another name, and begin anew.

        Raises:
            OSError: it cannot be done; then all is as it was, or the new file is missing.
        """
        self.sync()
        old, self._descriptor = self._descriptor, -1
        before = self._num_bytes, self._tail
        self._num_bytes, self._tail = 0, b""
        try:
            self.prepare(header, footer)
            self._target.rename(to)
            self.place(keep=False)
        except OutputError as error:
            self._descriptor, (self._num_bytes, self._tail) = old, before
            raise OSError(0, error.message) from error
        os.close(old)
        self._is_named = False

    def sync(self) -> None:
        """Force what was appended, and the file's name, to the disk; from any thread.

        Raises:
            OSError: it is not there; the reason names the file.
        """
        if self._descriptor < 0 or not self.is_ordinary:
            return
        try:
            os.fsync(self._descriptor)
            if not self._is_named:
                sync(self._target.parent)
                self._is_named = True
        except OSError as error:
            raise OSError(error.errno, f"{self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Close it; twice is fine. What was prepared and not put in place is removed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._new is not None:
            with suppress(OSError):
                self._new.unlink()
            self._new = None
