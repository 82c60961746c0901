"""Files that are there whole or not at all, and claims on what several processes may want to make."""

from __future__ import annotations

import fcntl
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.2


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new name beside ``path`` to write to, of the same suffix; it takes the place of ``path`` at the end.

    Where writing fails, what was at ``path`` stays and nothing else is left. Folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def claimed(path: Path, should_stop: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Have something to oneself among all threads and processes; a claim ends with the process that holds it.

    Args:
        path: of an empty file that stands for it; it stays.
        should_stop: asked while another one has it.

    Yields:
        Whether it is claimed; False once told to stop.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if should_stop():
                    yield False
                    return
                time.sleep(_POLL_SECONDS)
            else:
                yield True
                return


def sha256_of(path: Path) -> str:
    """Of a whole file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
