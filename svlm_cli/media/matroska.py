"""What svlm must know of Matroska (RFC 9559) and its joined files that libav does not say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEADER, _SEGMENT, _TRACKS, _TRACK, _NUMBER = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xD7
_CLUSTER = 0x1F43B675
PARTS_READ = 2  # by libav, of joined files whose parts say their lengths
_LONGEST = 8  # bytes of an element's size


def part_not_read(file: Path) -> int | None:
    """At which byte a part begins that libav does not read; None for none.

    Of joined files it reads two, and none from where a part has a track number that the first one lacks.
    Behind a part of unknown length nothing is looked for.
    """
    with file.open("rb") as data:
        known: set[int] = set()
        for number, (begin, segment, end) in enumerate(_parts(data, file.stat().st_size)):
            tracks = set(_track_numbers(data, segment, end))
            if number == 0:
                known = tracks
            elif number >= PARTS_READ or not tracks <= known:
                return begin
    return None


def is_joined(file: Path) -> bool:
    """Whether another part begins behind the first."""
    with file.open("rb") as data:
        parts = _parts(data, file.stat().st_size)
        return next(parts, None) is not None and next(parts, None) is not None


def _parts(data: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """Of each part: where it begins, and where what its segment holds begins and ends."""
    at = 0
    while at < size:
        header = _element(data, at, size)
        if header is None or header[0] != _HEADER:
            return
        segment = _element(data, header[2], size)
        if segment is None or segment[0] != _SEGMENT:
            return
        yield at, segment[1], segment[2]
        at = segment[2]


def _track_numbers(data: BinaryIO, begin: int, end: int) -> Iterator[int]:
    for kind, first, last in _children(data, begin, end):
        if kind == _CLUSTER:
            return
        if kind == _TRACKS:
            tracks = (each for each in _children(data, first, last) if each[0] == _TRACK)
            for _, inner, outer in tracks:
                for name, start, stop in _children(data, inner, outer):
                    if name == _NUMBER:
                        data.seek(start)
                        yield int.from_bytes(data.read(stop - start), "big")
            return


def _children(data: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    while begin < end:
        found = _element(data, begin, end)
        if found is None:
            return
        yield found
        begin = found[2]


def _element(data: BinaryIO, at: int, end: int) -> tuple[int, int, int] | None:
    """Its id, and where its content begins and ends; an unknown length ends with what holds it."""
    data.seek(at)
    head = data.read(4 + _LONGEST)
    if len(head) < 2 or not head[0]:
        return None
    id_length = 9 - head[0].bit_length()
    if id_length > 4 or len(head) <= id_length or not head[id_length]:
        return None
    size_length = 9 - head[id_length].bit_length()
    content = at + id_length + size_length
    raw = int.from_bytes(head[id_length : id_length + size_length], "big")
    size = raw & ((1 << 7 * size_length) - 1)
    is_unknown = size == (1 << 7 * size_length) - 1
    return int.from_bytes(head[:id_length], "big"), content, end if is_unknown else min(content + size, end)
