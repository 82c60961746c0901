"""Samples that could not be read: each named once, counted, and capped."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from accelerate.utils import gather_object

from svlm_cli.data.samples.sample import BadSample
from svlm_cli.documents import MalformedError, lines_of, parse_json
from svlm_cli.errors import SourceError
from svlm_cli.files import append_line
from svlm_cli.values import mapping, text, whole


class BadSampleBook:
    """The bad samples of a stage, a JSON line for each.

    Args:
        path: the path of the file; lines that are there count. A last one that a kill has torn is cut off.
        limit: how many there may be.
        world: processes that report together, each at the same times.
        is_writer: whether this process writes.
    """

    def __init__(self, path: Path, limit: int, *, world: int, is_writer: bool) -> None:
        self._path = path
        self._limit = limit
        self._world = world
        self._is_writer = is_writer
        self._known: set[tuple[str, int]] = set()
        if path.is_file():
            self._read()

    def __len__(self) -> int:
        return len(self._known)

    def _read(self) -> None:
        lines = self._path.read_bytes().splitlines(keepends=True)
        torn = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if torn and self._is_writer:
            os.truncate(self._path, sum(map(len, lines)))
        for _, line in lines_of(b"".join(lines)):
            with suppress(MalformedError):  # it is found again
                self._known.add(_key(line))

    def add(self, found: Sequence[BadSample]) -> None:
        """Take down what this process has found since the last call; all processes call together.

        Raises:
            SourceError: there are too many now.
        """
        everywhere = gather_object(list(found)) if self._world > 1 else found
        new = {(bad.source, bad.number): bad for bad in everywhere}
        new = {key: bad for key, bad in new.items() if key not in self._known}
        if not new:
            return
        self._known |= new.keys()
        if self._is_writer:
            for bad in new.values():
                append_line(self._path, f"{json.dumps(asdict(bad))}\n".encode())
        if len(self._known) > self._limit:
            last = [*new.values()][-1]
            raise SourceError(
                f"{len(self._known)} bad samples, more than max_bad_samples = {self._limit}; the last is "
                f"sample {last.number} of {last.source}: {last.reason}",
                f"all are named in {self._path}; mend them, or allow more with --set max_bad_samples=N",
            )


def _key(line: bytes) -> tuple[str, int]:
    stored = mapping(parse_json(line), "it")
    return text(stored.get("source"), "source"), whole(stored.get("number"), "number", 0, 1 << 40)
