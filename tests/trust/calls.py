"""A traced folder, and what each system call does to it."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.trust.disk import (
    ROOT,
    Enter,
    Leave,
    Move,
    Operation,
    Recording,
    Resize,
    Sync,
    Tree,
    Write,
    resize,
    tree_from,
    write_at,
)

_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\.\.\.)?', re.DOTALL)
_DESCRIPTOR = re.compile(r"(\w+)<(.*)>(\(deleted\))?", re.DOTALL)


class InexactError(Exception):
    """A call whose effect a trace does not tell."""


@dataclass(slots=True)
class Open:
    """An open file, which several descriptors may share."""

    file: int
    appends: bool
    offset: int = 0


@dataclass(slots=True)
class Traced:
    """A folder as calls change it, and what they do as operations."""

    root: Path
    before: Tree
    names: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    contents: dict[int, bytearray] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    start: tuple[dict[int, dict[str, int]], dict[int, bytes]] = ({}, {})

    def __post_init__(self) -> None:
        for path, content in self.before.items():
            folder, name = self._place(self.root / path)
            self.names[folder][name] = self._new(content is None)
            if content is not None:
                self.contents[self.names[folder][name]][:] = content
        names = {folder: dict(inside) for folder, inside in self.names.items()}
        self.start = names, {file: bytes(content) for file, content in self.contents.items()}

    def recording(self) -> Recording:
        names, contents = self.start
        return Recording(names, contents, tuple(self.operations), frozenset(self.names))

    def tree(self) -> Tree:
        return tree_from(self.names, self.contents)

    def _new(self, is_folder: bool) -> int:
        number = len(self.names) + len(self.contents)
        if is_folder:
            self.names[number] = {}
        else:
            self.contents[number] = bytearray()
        return number

    def inside(self, path: str) -> bool:
        return path == str(self.root) or path.startswith(f"{self.root}/")

    def _place(self, path: Path) -> tuple[int, str]:
        folder = ROOT
        *above, name = path.relative_to(self.root).parts
        for part in above:
            folder = self.names[folder][part]
        return folder, name

    def find(self, path: str) -> int | None:
        """The number of a file or folder, if the path leads to one."""
        if Path(path) == self.root:
            return ROOT
        folder, name = self._place(Path(path))
        return self.names[folder].get(name)

    def enter(self, path: str, *, is_folder: bool = False, file: int | None = None) -> int:
        folder, name = self._place(Path(path))
        number = self._new(is_folder) if file is None else file
        self.names[folder][name] = number
        self.operations.append(Enter(folder, name, number))
        return number

    def leave(self, path: str) -> None:
        folder, name = self._place(Path(path))
        del self.names[folder][name]
        self.operations.append(Leave(folder, name))

    def move(self, path: str, to: str) -> None:
        (folder, name), (to_folder, to_name) = self._place(Path(path)), self._place(Path(to))
        file = self.names[folder].pop(name)
        self.names[to_folder][to_name] = file
        self.operations.append(Move(folder, name, to_folder, to_name, file))

    def write(self, file: int, offset: int, data: bytes) -> None:
        write_at(self.contents[file], offset, data)
        self.operations.append(Write(file, offset, data))

    def resize(self, file: int, size: int) -> None:
        if len(self.contents[file]) != size:
            resize(self.contents[file], size)
            self.operations.append(Resize(file, size))


@dataclass(frozen=True, slots=True)
class Told:
    """What a call says: its arguments and result, whose descriptors, and operations before it began."""

    arguments: list[str]
    result: str
    table: dict[int, Open]
    since: int

    def text(self, place: int) -> bytes:
        found = _STRING.fullmatch(self.arguments[place])
        if found is None or found[2]:
            raise InexactError(f"data is left out of the trace: {self.arguments[place][:80]}")
        return codecs.escape_decode(found[1].encode("latin-1"))[0]

    def path(self, place: int) -> str:
        return os.fsdecode(self.text(place))

    def path_at(self, place: int) -> str:
        """Of a descriptor of a folder and a name below it."""
        return str(Path(_behind(self.arguments[place])[1], self.path(place + 1)))

    def opened(self, place: int, traced: Traced) -> Open | None:
        """The open file of a descriptor, where it is in the folder."""
        number, path, _ = _behind(self.arguments[place])
        if not traced.inside(path):
            return None
        found = self.table.get(number)
        if found is None:
            raise InexactError(f"descriptor {number} of {path} was not seen to be opened")
        return found

    def amount(self) -> int:
        return int(self.result.split()[0], 0)


def _behind(argument: str) -> tuple[int, str, bool]:
    """Number and path of a descriptor, and whether the path is gone."""
    found = _DESCRIPTOR.fullmatch(argument)
    if found is None:
        return -1, "", False
    number = -1 if found[1] == "AT_FDCWD" else int(found[1])
    path = os.fsdecode(codecs.escape_decode(found[2].encode("latin-1"))[0])
    return number, path, found[3] is not None


def _open(traced: Traced, told: Told, flags: str) -> None:
    number, path, _ = _behind(told.result)
    if not traced.inside(path):
        return
    if "O_TMPFILE" in flags:
        raise InexactError("a file without a name")
    file = traced.find(path)
    if file is None:
        if "O_CREAT" not in flags:
            raise InexactError(f"{path} is not known")
        file = traced.enter(path)
    elif "O_TRUNC" in flags:
        traced.resize(file, 0)
    told.table[number] = Open(file, "O_APPEND" in flags)


def _copy_descriptor(traced: Traced, told: Told) -> None:
    number, path, _ = _behind(told.result)
    if traced.inside(path):
        found = told.opened(0, traced)
        assert found is not None
        told.table[number] = found


def _fcntl(traced: Traced, told: Told) -> None:
    if "F_DUPFD" in told.arguments[1]:
        _copy_descriptor(traced, told)


def _write(traced: Traced, told: Told, place: int | None = None) -> None:
    """``write``, and ``pwrite64``, whose place is given."""
    opened = told.opened(0, traced)
    if opened is None:
        return
    _put(traced, opened, told.text(1)[: told.amount()], place)


def _write_many(traced: Traced, told: Told) -> None:
    opened = told.opened(0, traced)
    if opened is None:
        return
    parts = [found for each in told.arguments[1:] for found in _STRING.finditer(each)]
    if any(found[2] for found in parts):
        raise InexactError("data is left out of the trace")
    data = b"".join(codecs.escape_decode(found[1].encode("latin-1"))[0] for found in parts)
    _put(traced, opened, data[: told.amount()], None)


def _put(traced: Traced, opened: Open, data: bytes, place: int | None) -> None:
    if opened.appends:
        traced.write(opened.file, len(traced.contents[opened.file]), data)
        opened.offset = len(traced.contents[opened.file])
        return
    traced.write(opened.file, opened.offset if place is None else place, data)
    if place is None:
        opened.offset += len(data)


def _send(traced: Traced, told: Told, target: int, source: int, place: str) -> None:
    """Bytes copied within the kernel, from a stated place of another file."""
    opened = told.opened(target, traced)
    if opened is None:
        return
    start = re.match(r"\[(\d+)\]", place)
    if start is None:
        raise InexactError("a copy from an unknown place")
    _, path, _ = _behind(told.arguments[source])
    file = traced.find(path) if traced.inside(path) else None
    content = Path(path).read_bytes() if file is None else bytes(traced.contents[file])
    _put(traced, opened, content[int(start[1]) :][: told.amount()], None)


def _seek(traced: Traced, told: Told) -> None:
    opened = told.opened(0, traced)
    if opened is not None:
        opened.offset = told.amount()


def _cut(traced: Traced, told: Told) -> None:
    opened = told.opened(0, traced)
    if opened is not None:
        traced.resize(opened.file, int(told.arguments[1]))


def _cut_path(traced: Traced, told: Told) -> None:
    file = traced.find(told.path(0)) if traced.inside(told.path(0)) else None
    if file is not None:
        traced.resize(file, int(told.arguments[1]))


def _allocate(traced: Traced, told: Told) -> None:
    opened = told.opened(0, traced)
    if opened is None:
        return
    if told.arguments[1] != "0":
        raise InexactError(f"fallocate {told.arguments[1]}")
    end = int(told.arguments[2]) + int(told.arguments[3])
    traced.resize(opened.file, max(end, len(traced.contents[opened.file])))


def _sync(traced: Traced, told: Told) -> None:
    opened = told.opened(0, traced)
    if opened is not None:
        traced.operations.append(Sync(opened.file, told.since))


def _map(traced: Traced, told: Told) -> None:
    if len(told.arguments) < 5 or "MAP_SHARED" not in told.arguments[3]:
        return
    if "PROT_WRITE" in told.arguments[2] and traced.inside(_behind(told.arguments[4])[1]):
        raise InexactError("a shared writable map")


def _control(traced: Traced, told: Told) -> None:
    if "FICLONE" in told.arguments[1] and traced.inside(_behind(told.arguments[0])[1]):
        raise InexactError("a clone of blocks")


def _make_folder(traced: Traced, path: str) -> None:
    if traced.inside(path):
        traced.enter(path, is_folder=True)


def _leave(traced: Traced, path: str) -> None:
    if traced.inside(path):
        traced.leave(path)


def _rename(traced: Traced, path: str, to: str, flags: str = "0") -> None:
    if "EXCHANGE" in flags or traced.inside(path) != traced.inside(to):
        raise InexactError(f"{path} changes places with {to}")
    if traced.inside(path):
        traced.move(path, to)


def _link(traced: Traced, path: str, to: str) -> None:
    if traced.inside(to):
        file = traced.find(path) if traced.inside(path) else None
        if file is None:
            raise InexactError(f"a link to {path}")
        traced.enter(to, file=file)


HANDLERS: Mapping[str, Callable[[Traced, Told], None]] = {
    "open": lambda traced, told: _open(traced, told, told.arguments[1]),
    "creat": lambda traced, told: _open(traced, told, "O_CREAT|O_TRUNC"),
    "openat": lambda traced, told: _open(traced, told, told.arguments[2]),
    "dup": _copy_descriptor,
    "dup2": _copy_descriptor,
    "dup3": _copy_descriptor,
    "fcntl": _fcntl,
    "write": _write,
    "writev": _write_many,
    "pwrite64": lambda traced, told: _write(traced, told, int(told.arguments[3])),
    "lseek": _seek,
    "ftruncate": _cut,
    "truncate": _cut_path,
    "fallocate": _allocate,
    "fsync": _sync,
    "fdatasync": _sync,
    "mmap": _map,
    "ioctl": _control,
    "sendfile": lambda traced, told: _send(traced, told, 0, 1, told.arguments[2]),
    "copy_file_range": lambda traced, told: _send(traced, told, 2, 0, told.arguments[1]),
    "rename": lambda traced, told: _rename(traced, told.path(0), told.path(1)),
    "renameat": lambda traced, told: _rename(traced, told.path_at(0), told.path_at(2)),
    "renameat2": lambda traced, told: _rename(traced, told.path_at(0), told.path_at(2), told.arguments[4]),
    "link": lambda traced, told: _link(traced, told.path(0), told.path(1)),
    "linkat": lambda traced, told: _link(traced, told.path_at(0), told.path_at(2)),
    "unlink": lambda traced, told: _leave(traced, told.path(0)),
    "rmdir": lambda traced, told: _leave(traced, told.path(0)),
    "unlinkat": lambda traced, told: _leave(traced, told.path_at(0)),
    "mkdir": lambda traced, told: _make_folder(traced, told.path(0)),
    "mkdirat": lambda traced, told: _make_folder(traced, told.path_at(0)),
}
