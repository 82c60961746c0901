"""A file of JSON lines that grows as work is done, so that none of it is done twice.

A line is written in one call and forced to disk before the next piece of work starts. After a kill or a
power cut the file holds whole lines and at most the beginning of one more, which is named and left out when
the file is opened again. A claim on the folder keeps a second benchmark out of it.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar

from svlm_cli import documents
from svlm_cli.claims import Claim, claim
from svlm_cli.documents import MalformedError, lines_of, parse_json, read_bytes
from svlm_cli.errors import OutputError, SourceError
from svlm_cli.files import append_line, make_folder, whole_file
from svlm_cli.values import mapping

MOST_LINES_BYTES = 1 << 30
Record = Mapping[str, Any]
KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that at any moment it is either as before or complete.

    Raises:
        OutputError: it cannot be written; what was there before stays.
    """
    try:
        with whole_file(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "choose another --out") from error


def claim_folder(folder: Path) -> Claim:
    """Have a folder of results to oneself; it is made.

    Raises:
        OutputError: it cannot be made or written to, or somebody else writes there; says who.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    return claim(folder, f"the folder {folder}", inside=True)


class RecordFile:
    """Records by key; a context manager that has claimed the file's folder.

    Of two lines with one key the first counts and the second is named. Lines of other work are kept, those
    of another benchmark too.

    Args:
        path: the path of the file; folders are made.
        key_of: the key of a record; a ``KeyError``, ``TypeError`` or ``ValueError`` says that it is none.
        is_claimed: False only to look in, beside whoever writes: nothing may be added then.

    Attributes:
        problems: what was wrong with the file, a sentence each.
        others: whole lines that are no records, in their order.

    Raises:
        OutputError: it cannot be made, written or read, or somebody else writes to the folder; says who.
    """

    def __init__(self, path: Path, key_of: Callable[[Record], Hashable], *, is_claimed: bool = True) -> None:
        self.path = path
        self.problems: list[str] = []
        self.others: list[Record] = []
        self._key_of = key_of
        self._records: dict[Hashable, Record] = {}
        self._is_clean = True
        self._lock = Lock()
        self._claim = claim_folder(path.parent) if is_claimed else None
        try:
            content = path.read_bytes() if path.exists() else b""
        except OSError as error:
            self.close()
            raise _unusable(path.parent, error) from error
        self._is_clean = not content or content.endswith(b"\n")
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line:
                self._take(line, number)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __contains__(self, key: Hashable) -> bool:
        return key in self._records

    def get(self, key: Hashable) -> Record | None:
        """The record of that key, if there is one."""
        return self._records.get(key)

    def add(self, record: Record) -> None:
        """Write one more record; there is none of its key yet.

        An answer that was on its way when the file was let go of is put behind what is there then: somebody
        else may be writing to it.

        Raises:
            OutputError: it cannot be written.
            ValueError: its key is taken.
        """
        key = self._key_of(record)
        with self._lock:
            if key in self._records:
                raise ValueError(f"{self.path} holds {key} already")
            if self._claim is not None:
                self._claim.require()
                if not self._is_clean:
                    self._rewrite(self._records.values())
            try:
                append_record(self.path, record)
            except OutputError:
                self._is_clean = False
                raise
            self._records[key] = record

    def sort(self, keys: Sequence[Hashable]) -> None:
        """Put the records of ``keys`` in that order, behind all others: the end of work done in any order."""
        wanted = [self._records[key] for key in keys if key in self._records]
        chosen = set(keys)
        ordered = [record for key, record in self._records.items() if key not in chosen] + wanted
        if not self._is_clean or ordered != list(self._records.values()):
            self._rewrite(ordered)
            self._records = {self._key_of(record): record for record in ordered}

    def _rewrite(self, records: Any) -> None:
        write_whole(self.path, b"".join(_line(record) for record in (*self.others, *records)))
        self._is_clean = True

    def _take(self, line: bytes, number: int) -> None:
        told = f"line {number} of {self.path} is no result and is left out"
        try:
            record = mapping(parse_json(line), "it")
        except MalformedError:
            self.problems.append(told)
            self._is_clean = False
            return
        try:
            key = self._key_of(record)
        except (ValueError, KeyError, TypeError):
            self.problems.append(told)
            self.others.append(record)
            return
        if key in self._records:
            self.problems.append(f"line {number} of {self.path} is there twice and counts once")
            self._is_clean = False
            return
        self._records[key] = record

    def close(self) -> None:
        """Let go of the folder; more than once is fine."""
        with self._lock:
            claimed, self._claim = self._claim, None
        if claimed is not None:
            claimed.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def append_record(path: Path, record: Record) -> None:
    """Put one more line behind a file; it is on the disk then.

    Raises:
        OutputError: it cannot be written, or not whole.
    """
    try:
        append_line(path, _line(record))
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}", "what is there stays; run the same command again"
        ) from error


def read_lines(path: Path, what: str) -> list[dict[str, Any]]:
    """The JSON objects of a file that somebody else wrote: a line each, or those of one list or object.

    Args:
        what: it holds, for the error.

    Raises:
        SourceError: it cannot be read, or one is no JSON object; says which.
    """
    hint = f"give a file of {what}"
    try:
        content = read_bytes(path, MOST_LINES_BYTES)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", hint) from error
    except MalformedError as error:
        raise SourceError(f"cannot read {path}: {error}", hint) from error
    lines = [(f"line {number}", line) for number, line in lines_of(content.removeprefix(codecs.BOM_UTF8))]
    whole = _one_document(content, [line for _, line in lines])
    entries = lines if whole is None else [(f"item {number}", each) for number, each in enumerate(whole, 1)]
    found = []
    for name, entry in entries:
        try:
            found.append(dict(mapping(parse_json(entry) if isinstance(entry, bytes) else entry, "it")))
        except MalformedError as error:
            raise SourceError(f"{name} of {path} is no JSON object: {error}", hint) from error
    return found


def _one_document(content: bytes, lines: Sequence[bytes]) -> list[Any] | None:
    """The objects of a file that is one document: a list, or objects by id; None where it is none."""
    is_list = bool(lines) and lines[0].lstrip().startswith(b"[")
    if not is_list and len(lines) > 1:
        with suppress(MalformedError):
            parse_json(lines[0])
            return None
    try:
        value = parse_json(content)
    except MalformedError:
        return None
    if isinstance(value, dict):
        if not value or not all(isinstance(each, dict) for each in value.values()):
            return [value]
        return [{"id": name, **each} for name, each in value.items()]
    return value if isinstance(value, list) and any(isinstance(each, dict) for each in value) else None


def put_once(found: dict[KeyT, ValueT], key: KeyT, value: ValueT, name: str, where: str) -> None:
    """Keep what a file says under its key: the same once more counts once.

    Args:
        name: the name of the thing, for people.
        where: it stands.

    Raises:
        SourceError: something else stands there under the same key.
    """
    if found.setdefault(key, value) != value:
        raise SourceError(
            f"{where}: {name} is there already and says something else", "give each of them once"
        )


def read_whole_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of ours; a line that a kill has cut is passed over."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(MalformedError):
            found.append(dict(mapping(parse_json(line), "it")))
    return found


def read_json(path: Path, hint: str) -> Any:
    """The JSON of a file that somebody else wrote.

    Args:
        hint: what to do where it is no such file.

    Raises:
        SourceError: it cannot be read, or is not JSON.
    """
    try:
        return documents.read_json(path)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", hint) from error
    except MalformedError as error:
        raise SourceError(f"{path}: {error}", hint) from error


def _unusable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot use {folder} for results: {error}", "choose another --out")


def _line(record: Record) -> bytes:
    return f"{json.dumps(record, ensure_ascii=False)}\n".encode("utf-8", "replace")
