"""Lines of a file by number: ``NAME_with_seeks.jsonl``, with their offsets in ``NAME_seeks.jsonl``."""

from __future__ import annotations

import os
import re
import weakref
from array import array
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from svlm_cli.documents import read_json
from svlm_cli.errors import SourceError
from svlm_cli.files import sync, whole_file

LONGEST_LINE_BYTES = 1 << 28
_LOOK_BYTES = 64


def pair_paths(folder: Path, name: str) -> tuple[Path, Path]:
    """The lines and their offsets: ``NAME_with_seeks.jsonl`` and ``NAME_seeks.jsonl``."""
    return folder / f"{name}_with_seeks.jsonl", folder / f"{name}_seeks.jsonl"


def write_lines(folder: Path, name: str, lines: Iterable[bytes], *, index_last: bool = False) -> int:
    """Write such a pair; a line, which has no line break, is forgotten once it is written.

    Where writing fails, a pair that was there stays as it was.

    Args:
        folder: to write to.
        name: the name of the pair.
        lines: the samples.
        index_last: write the offsets behind the lines as well, as one more line (LiveCC's trainer reads them
            there).

    Returns:
        How many lines were written.
    """
    path, seeks_path = pair_paths(folder, name)
    count = 0
    with whole_file(seeks_path) as partial_seeks, whole_file(path) as partial:
        with partial.open("wb") as file, partial_seeks.open("w", encoding="ascii") as seeks:
            seeks.write("[")
            for count, line in enumerate(lines, 1):
                seeks.write(f"{', ' if count > 1 else ''}{file.tell()}")
                file.write(line + b"\n")
            seeks.write("]")
            seeks.flush()
            if index_last and count:
                file.write(partial_seeks.read_bytes() + b"\n")
        # The lines take their place first; without offsets they are read all the same.
        seeks_path.unlink(missing_ok=True)
        sync(folder)
    return count


class LineFile:
    """Reads one line at a time, by number.

    It may be pickled, and used after a fork and in threads. Each process opens the file once.

    Args:
        folder: that holds the pair; where the offsets are missing, the lines are looked through once.
        name: the name of the pair.

    Raises:
        SourceError: a file is missing or the two do not belong together.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path, seeks_path = pair_paths(folder, name)
        self._descriptor: int | None = None
        if not self._path.is_file():
            raise SourceError(f"{self._path} is not there", "svlm chunk DIR --out DATASET makes it")
        self._size = self._path.stat().st_size
        if seeks_path.is_file():
            self._seeks = _read_seeks(seeks_path)
            self._end = self._end_of_last(seeks_path)
        else:
            self._seeks, self._end = _find_lines(self._path)

    def __len__(self) -> int:
        return len(self._seeks)

    def __getitem__(self, number: int) -> bytes:
        """One line, without its end.

        Raises:
            IndexError: there are not so many.
            SourceError: it cannot be read, or the offsets are not those of lines.
        """
        number = range(len(self))[number]
        return self._line(number, self.place(number))

    def place(self, number: int) -> str:
        """Where a line is, for people."""
        return f"{self._path}, sample {number}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}

    def _line(self, number: int, where: str) -> bytes:
        """The bytes of a sample, which are a line that begins and ends where the offsets say."""
        start = self._seeks[number]
        end = self._seeks[number + 1] if number + 1 < len(self._seeks) else self._end
        if end - start > LONGEST_LINE_BYTES:
            raise SourceError(f"{where}: it is longer than {LONGEST_LINE_BYTES:,} bytes")
        before = min(start, 1)
        content = self._read(start - before, end)
        line, _, rest = content[before:].partition(b"\n")
        if content[:before] not in (b"", b"\n"):
            raise SourceError(f"{where}: no line begins at byte {start}", _without(self._path))
        if rest.strip() or len(content) != end - start + before:
            raise SourceError(f"{where}: not one line from byte {start} to {end}", _without(self._path))
        return line

    def _read(self, start: int, end: int) -> bytes:
        """Bytes of the file; its place is not moved, which processes after a fork would share."""
        try:
            if self._descriptor is None:
                descriptor = os.open(self._path, os.O_RDONLY)
                weakref.finalize(self, os.close, descriptor)
                if os.fstat(descriptor).st_size != self._size:
                    raise SourceError(f"{self._path} was written anew meanwhile", "start again")
                self._descriptor = descriptor
            return os.pread(self._descriptor, end - start, start)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error}") from error

    def _end_of_last(self, seeks_path: Path) -> int:
        """Check what can be told without reading everything (the rest is told sample by sample)."""
        seeks = self._seeks
        is_rising = all(first < second for first, second in pairwise(seeks))
        if not is_rising or (len(seeks) and (seeks[0] != 0 or seeks[-1] >= self._size)):
            told = f"{seeks_path} does not belong to {self._path.name}: its numbers are no offsets in it"
            raise SourceError(told, _without(self._path))
        with self._path.open("rb") as file:
            file.seek(seeks[-1] if len(seeks) else 0)
            length = len(file.readline(LONGEST_LINE_BYTES)) if len(seeks) else 0
            more = file.read(_LOOK_BYTES)
        if more.strip() and not _is_index(more):
            told = f"{seeks_path} has {len(seeks)} offsets, {self._path.name} has more lines"
            raise SourceError(told, _without(self._path))
        return (seeks[-1] if len(seeks) else 0) + length


def _without(path: Path) -> str:
    return f"delete {path.name.replace('_with_seeks', '_seeks')}: the samples are read without it"


def _read_seeks(path: Path) -> array[int]:
    try:
        return array("Q", read_json(path))
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise SourceError(
            f"{path} is not a list of offsets: {error}", "delete it: it is done without"
        ) from error


def _find_lines(path: Path) -> tuple[array[int], int]:
    """Where the samples begin, and where the last one ends."""
    seeks, offset, end = array("Q"), 0, 0
    with path.open("rb") as file:
        for line in file:
            if line.strip() and not _is_index(line):
                seeks.append(offset)
                end = offset + len(line)
            offset += len(line)
    return seeks, end


def _is_index(line: bytes) -> bool:
    """Whether it is a list of offsets, which files of this kind may have as their last line."""
    return re.match(rb"\s*\[\s*\d", line) is not None
