"""What svlm must know of Matroska (RFC 9559) and its joined files that libav does not say."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_HEADER, _SEGMENT, _TRACKS, _TRACK, _NUMBER = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xD7
_CLUSTER, _VOID, _CRC = 0x1F43B675, 0xEC, 0xBF
_SIMPLE_BLOCK, _GROUP, _BLOCK = 0xA3, 0xA0, 0xA1
_HEADER_BYTES = _HEADER.to_bytes(4, "big")
_LONGEST = 8  # bytes of an element's size, and of a number
_MOST_CHILDREN = 10_000  # that are looked at of one element
PARTS_READ = 2  # by libav, of joined files whose parts all say their lengths
Content = mmap.mmap | bytes


@dataclass(frozen=True, slots=True)
class _Element:
    """An element: where it begins, and where what it holds begins and ends; None where it does not say."""

    kind: int
    at: int
    begin: int
    end: int | None


@dataclass(frozen=True, slots=True)
class _JoinedFile:
    """One of several files: where it begins, what its segment holds, and whether that says its length."""

    at: int
    begin: int
    end: int
    says_length: bool


def part_not_read(file: Path) -> int | None:
    """At which byte a part begins that libav does not read; None for none.

    Of parts that follow each other it reads all up to the last one of unknown length (a recorder's that was
    killed), and two where all say their lengths; none from where a part has data of a track whose number the
    first one lacks. What is between parts and no filler ends the search.
    """
    with _content(file) as content:
        parts = list(_parts(content))
        unknown = [number for number, part in enumerate(parts) if not part.says_length]
        num_read = unknown[-1] + 1 if unknown else PARTS_READ
        known = set(_track_numbers(content, parts[0])) if parts else set()
        for number, part in enumerate(parts[1:], 1):
            if number >= num_read or _has_data(content, part, set(_track_numbers(content, part)) - known):
                return part.at
    return None


def may_be_joined(file: Path) -> bool:
    """Whether anything may follow the first part: it says no length, or does not end with the file."""
    with _content(file) as content:
        segment = _segment(content, 0)
        return segment is not None and segment.end != len(content)


def _content(file: Path) -> mmap.mmap:
    with file.open("rb") as data:
        return mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ)


def _parts(content: Content) -> Iterator[_JoinedFile]:
    at = 0
    while (segment := _segment(content, at)) is not None:
        end, says_length = segment.end, segment.end is not None
        if end is None or end > len(
            content
        ):  # a recorder that was killed, a file cut short: what follows is found
            end = _next_header(content, segment.begin)
        yield _JoinedFile(at, segment.begin, end, says_length)
        at = _behind_fillers(content, end)


def _segment(content: Content, at: int) -> _Element | None:
    """The segment of the part that begins here; None where none does."""
    header = _element(content, at)
    if header is None or header.kind != _HEADER or header.end is None:
        return None
    segment = _element(content, _behind_fillers(content, header.end))
    return segment if segment is not None and segment.kind == _SEGMENT else None


def _next_header(content: Content, at: int) -> int:
    """Where the next part begins; the end of the file for nowhere."""
    found = content.find(_HEADER_BYTES, at)
    while found >= 0 and _segment(content, found) is None:
        found = content.find(_HEADER_BYTES, found + 1)
    return found if found >= 0 else len(content)


def _behind_fillers(content: Content, at: int) -> int:
    while (filler := _element(content, at)) is not None and filler.kind in (_VOID, _CRC) and filler.end:
        at = filler.end
    return at


def _track_numbers(content: Content, part: _JoinedFile) -> Iterator[int]:
    for element in _children(content, part.begin, part.end):
        if element.kind == _CLUSTER:
            return
        if element.kind == _TRACKS and element.end is not None:
            tracks = (each for each in _children(content, element.begin, element.end) if each.kind == _TRACK)
            for track in tracks:
                for each in _children(content, track.begin, track.end or element.end):
                    if each.kind == _NUMBER and each.end is not None and each.end - each.begin <= _LONGEST:
                        yield int.from_bytes(content[each.begin : each.end], "big")
            return


def _has_data(content: Content, part: _JoinedFile, numbers: set[int]) -> bool:
    """Whether a part has anything of some tracks: a track may be there and empty."""
    at = part.begin
    while numbers and at < part.end and (found := _element(content, at)) is not None:
        if found.kind in (_CLUSTER, _GROUP):
            at = found.begin
            continue
        if found.end is None:  # nobody can tell
            return True
        if found.kind in (_SIMPLE_BLOCK, _BLOCK) and _block_track(content, found.begin) in numbers:
            return True
        at = found.end
    return False


def _block_track(content: Content, at: int) -> int:
    """The number of the track that a block is of."""
    length = 9 - content[at].bit_length()
    return int.from_bytes(content[at : at + length], "big") & ((1 << 7 * length) - 1)


def _children(content: Content, begin: int, end: int) -> Iterator[_Element]:
    def each(at: int) -> Iterator[_Element]:
        while at < end and (found := _element(content, at)) is not None:
            yield found
            if found.end is None:
                return
            at = found.end

    return islice(each(begin), _MOST_CHILDREN)


def _element(content: Content, at: int) -> _Element | None:
    head = content[at : at + 4 + _LONGEST]
    if len(head) < 2 or not head[0]:
        return None
    id_length = 9 - head[0].bit_length()
    if id_length > 4 or len(head) <= id_length or not head[id_length]:
        return None
    size_length = 9 - head[id_length].bit_length()
    begin = at + id_length + size_length
    size = int.from_bytes(head[id_length : id_length + size_length], "big") & ((1 << 7 * size_length) - 1)
    is_unknown = size == (1 << 7 * size_length) - 1
    return _Element(int.from_bytes(head[:id_length], "big"), at, begin, None if is_unknown else begin + size)
