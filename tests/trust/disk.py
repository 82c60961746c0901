"""A disk after a power cut: what of a recorded run is on it.

The model, as weak as POSIX allows and weaker than any one file system:

- What was synced is there: ``fsync`` of a file for its content, ``fsync`` of a folder for the names in it.
  A sync covers what was done before it began.
- Content of a file that was not synced after it was written is there wholly, up to some byte, in some pages
  and not in others (which hold what was there before, or zeros), or not at all; the file's length likewise.
- Names (made, renamed, removed) that no ``fsync`` of their folder followed may be lost, each by itself. A
  file's own ``fsync`` does not save its name. A rename is there or not, never half; that into another folder
  is saved by the ``fsync`` of that folder.
- Data and names reach the disk in any order among what is not synced: that a file's content would come
  before the rename that puts it in place (as ext4 does it on its own) is not assumed.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

ROOT = 0
PAGE = 4096
Tree = dict[str, bytes | None]  # by path below the folder; None is a folder


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes into a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A file cut, or drawn out with zeros."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Enter:
    """A name for a file or a folder that is made, or for a file that has another one."""

    folder: int
    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Leave:
    """A name that is removed."""

    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Move:
    """A name that becomes another one, and replaces what had it."""

    folder: int
    name: str
    to_folder: int
    to_name: str
    file: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's content, or a folder's names, are on the disk: what operations before ``since`` did to it."""

    target: int
    since: int


Operation = Write | Resize | Enter | Leave | Move | Sync


@dataclass(frozen=True, slots=True)
class Recording:
    """A folder before, and what was done to it.

    Args:
        names: of each folder before, by its number: name to number of file or folder.
        contents: of each file before.
        operations: in the order in which they were done.
        folders: the numbers of all folders, also of those made later.
    """

    names: Mapping[int, Mapping[str, int]]
    contents: Mapping[int, bytes]
    operations: Sequence[Operation]
    folders: frozenset[int]


class How(Enum):
    """How much of what was not synced is there."""

    LEAST = "only what was synced"
    MOST = "everything"
    SOME = "some of it"


class Disk:
    """The states that a power cut may leave of a recording.

    Args:
        recording: of a run.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._data: dict[int, list[tuple[int, Write | Resize]]] = defaultdict(list)
        self._syncs: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for place, each in enumerate(recording.operations):
            if isinstance(each, Write | Resize):
                self._data[each.file].append((place, each))
            elif isinstance(each, Sync):
                self._syncs[each.target].append((place, each.since))

    def moments(self) -> list[int]:
        """Numbers of operations done at a cut; of writes on end to one file, the last stands for all."""
        done = self._recording.operations
        ends = [
            place
            for place in range(1, len(done))
            if not (
                isinstance(done[place], Write)
                and isinstance(done[place - 1], Write)
                and done[place].file == done[place - 1].file
            )
        ]
        return [0, *ends, len(done)]

    def cut(self, moment: int, how: How, dice: random.Random) -> Tree:
        """What is there when the power goes after so many operations."""
        share = dice.choice((0.1, 0.5, 0.9))
        names = {folder: dict(self._recording.names.get(folder, {})) for folder in self._recording.folders}
        for place, each in enumerate(self._recording.operations[:moment]):
            folder = each.to_folder if isinstance(each, Move) else getattr(each, "folder", None)
            if folder is None:
                continue
            is_there = how is How.MOST or place < self._synced(folder, moment)
            if is_there or (how is How.SOME and dice.random() < share):
                _rename(names, each)
        contents: dict[int, bytes] = {}
        for inside in list(names.values()):
            for file in inside.values():
                if file not in names and file not in contents:
                    contents[file] = self._content(file, moment, how, dice)
        return tree_from(names, contents)

    def _synced(self, target: int, moment: int) -> int:
        """Operations on a target before this one are on the disk."""
        syncs = self._syncs[target]
        over = bisect_left(syncs, (moment, 0))
        return max((since for _, since in syncs[:over]), default=0)

    def _content(self, file: int, moment: int, how: How, dice: random.Random) -> bytes:
        sure, content = self._synced(file, moment), bytearray(self._recording.contents.get(file, b""))
        done = [(place, each) for place, each in self._data[file] if place < moment]
        for place, each in done:
            if place < sure:
                _change(content, each)
        left = [each for place, each in done if place >= sure]
        if how is How.LEAST or not left:
            return bytes(content)
        if how is How.SOME:  # a file may hold a change wholly, and the next in part
            left = left[: dice.randint(1, len(left))]
        first = len(left) - 1 if dice.random() < 0.5 else 0
        for each in left[:first]:
            _change(content, each)
        before = bytes(content)
        for each in left[first:]:
            _change(content, each)
        return bytes(content) if how is How.MOST else _part(before, bytes(content), dice)


def _part(before: bytes, after: bytes, dice: random.Random) -> bytes:
    """A content on its way from one to another."""
    kind = dice.choice(("before", "after", "up to a byte", "some pages"))
    if kind in ("before", "after"):
        return before if kind == "before" else after
    if kind == "up to a byte":
        low, high = sorted((len(before), len(after)))
        size = dice.randint(low, high)
        return after[:size] if len(after) >= size else after + before[len(after) : size]
    old = before.ljust(len(after), b"\0")
    starts = range(0, len(after), PAGE)
    return b"".join(dice.choice((old, after))[start : start + PAGE] for start in starts)[: len(after)]


def _rename(names: dict[int, dict[str, int]], each: Operation) -> None:
    if isinstance(each, Enter):
        names[each.folder][each.name] = each.file
    elif isinstance(each, Leave):
        names[each.folder].pop(each.name, None)
    elif isinstance(each, Move):
        if names[each.folder].get(each.name) == each.file:
            del names[each.folder][each.name]
        names[each.to_folder][each.to_name] = each.file


def _change(content: bytearray, each: Write | Resize) -> None:
    if isinstance(each, Write):
        write_at(content, each.offset, each.data)
    else:
        resize(content, each.size)


def write_at(content: bytearray, offset: int, data: bytes) -> None:
    """As ``pwrite`` does."""
    if offset > len(content):
        resize(content, offset)
    content[offset : offset + len(data)] = data


def resize(content: bytearray, size: int) -> None:
    """As ``ftruncate`` does."""
    del content[size:]
    content.extend(bytes(size - len(content)))


def tree_from(names: Mapping[int, Mapping[str, int]], contents: Mapping[int, bytes | bytearray]) -> Tree:
    """What can be reached from the root."""

    def walk(folder: int, above: str) -> Iterator[tuple[str, bytes | None]]:
        for name, number in names[folder].items():
            yield f"{above}{name}", None if number in names else bytes(contents[number])
            if number in names:
                yield from walk(number, f"{above}{name}/")

    return dict(sorted(walk(ROOT, "")))
