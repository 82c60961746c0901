"""Files that survive kills and power cuts.

A file that ``whole_file`` wrote is on the disk, name and content, when the call returns: the content is
forced out before the name changes, and the folder after it (as in LWN 457667, "Ensuring data reaches disk").
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BLOCK_BYTES = 65536
_PARTIAL = re.compile(r"\..*\.[0-9a-f]{8}(\..*)?", re.DOTALL)
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


def hold_partials(paths: Iterable[Path]) -> bool:
    """Whether ``remove_partials`` may find anything of many paths; lists each of their folders once."""
    return any(map(_holds_partial, {Path(os.path.realpath(path)).parent for path in paths}))


def _holds_partial(folder: Path) -> bool:
    with suppress(OSError):
        return any(map(_PARTIAL.fullmatch, os.listdir(folder)))
    return False


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


def sha256_of(path: Path) -> str:
    """Of a whole file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
