"""Recordings joined end to end of which libav reads the first alone, and says nothing of the rest."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from svlm_cli.media.matroska import part_not_read
from svlm_cli.media.other_pids import recording_of_other_pids

# How such a file begins, after whatever libav passes over.
_FLV_START, _FLV_REST = b"FLV\x01", b"\0\0\0\x09\0\0\0\0"
_ASF_START = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MXF_START = bytes.fromhex("060e2b34020501010d0102010102")
_STARTS = {"flv": _FLV_START, "asf": _ASF_START, "mxf": _MXF_START}
# Of one chunk that states its length, in this order of bytes.
_CHUNK_ORDERS: dict[str, Literal["little", "big"]] = {"wav": "little", "aiff": "big"}
_TRANSPORT_STREAM = "mpegts"
_MP4_NAMES = frozenset({"mov", "mp4"})
_MATROSKA_NAMES = frozenset({"matroska", "webm"})
_OGG, _OGG_PAGE, _THEORA = "ogg", b"OggS\0", b"\x80theora"
_BEGINS = 2  # flag of a page that begins a track
_MOST_BYTES = 1 << 20  # that are looked at of a fragment's index


def outer_boxes(file: Path) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of each outer box of an MP4 or QuickTime file (ISO/IEC 14496-12); else none."""
    size = file.stat().st_size
    position = 0
    with file.open("rb") as data:
        while position + 8 <= size:
            data.seek(position)
            header = data.read(16)
            length, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8 or (position == 0 and kind != b"ftyp"):
                return
            yield kind, position, position + length
            position += length


def fragments_begin(file: Path) -> list[int]:
    """Where recordings begin behind the first one of a local MP4 of fragments; libav reads all of them.

    Each has an index of its own, or the clock of a track starts again there; an index that says no more than
    the one before it is that of the same recording, sent again, as some keep HLS.
    """
    found: list[int] = []
    clocks: dict[int, int] = {}
    index = b""
    with suppress(OSError), file.open("rb") as data:
        for kind, begin, end in outer_boxes(file):
            if kind not in {b"moov", b"moof"}:
                continue
            data.seek(begin)
            content = data.read(min(end - begin, _MOST_BYTES))
            fragment = dict(_fragment_clocks(content)) if kind == b"moof" else {}
            is_new = kind == b"moov" and content != index
            if is_new or any(time <= clocks.get(track, -1) for track, time in fragment.items()):
                found.append(begin)
                clocks = {}
            clocks |= fragment
            index = content if kind == b"moov" else index
    return found[1:] if clocks else []


def _fragment_clocks(fragment: bytes) -> Iterator[tuple[int, int]]:
    """Each track of a fragment of MP4, and when it begins, in its ticks (ISO/IEC 14496-12, 8.8)."""
    for track in fragment.split(b"traf")[1:]:
        head, clock = track.find(b"tfhd"), track.find(b"tfdt")
        if 0 <= head < clock:
            length = 8 if track[clock + 4 : clock + 5] == b"\1" else 4
            time = track[clock + 8 : clock + 8 + length]
            yield int.from_bytes(track[head + 8 : head + 12], "big"), int.from_bytes(time, "big")


def recording_behind(path: str, format_name: str, stream_id: int) -> int | None:
    """At which byte of a local file another recording begins that libav does not read; None for none.

    Args:
        path: the path of the file.
        format_name: libav's name of the format it was opened as.
        stream_id: the file's own id of the track that is shown, or heard.
    """
    names = set(format_name.split(","))
    with suppress(OSError, ValueError):
        if format_name == _TRANSPORT_STREAM:
            return recording_of_other_pids(Path(path), stream_id)
        if names & _MP4_NAMES:
            return _second_index(Path(path))
        if names & _MATROSKA_NAMES:
            return part_not_read(Path(path))
        if format_name == _OGG:
            return _second_theora(Path(path))
        if names & _CHUNK_ORDERS.keys():
            return _behind_chunk(Path(path), _CHUNK_ORDERS[format_name])
        for name in names & _STARTS.keys():
            return _second_start(Path(path), _STARTS[name])
    return None


def told(at_byte: int) -> str:
    """What is to be said of it."""
    return (
        f"another recording begins in the same file at byte {at_byte} and is not read; "
        f"part them: head -c {at_byte} FILE, tail -c +{at_byte + 1} FILE"
    )


def _second_index(file: Path) -> int | None:
    """Where the second of two whole MP4 files begins; fragments libav reads whoever they are of."""
    boxes = list(outer_boxes(file))
    kinds = [kind for kind, _, _ in boxes]
    if kinds.count(b"moov") < 2 or b"moof" in kinds:
        return None
    return next((begin for kind, begin, _ in boxes[1:] if kind == b"ftyp"), None)


def _behind_chunk(file: Path, order: Literal["little", "big"]) -> int | None:
    with file.open("rb") as data:
        head = data.read(12)
        end = 8 + int.from_bytes(head[4:8], order)
        at = end + end % 2
        data.seek(at)
        again = data.read(12)
    is_another = len(again) == 12 and again[:4] == head[:4] and again[8:] == head[8:]
    return at if is_another else None


def _second_start(file: Path, start: bytes) -> int | None:
    with file.open("rb") as data, mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(start)
        while at >= 0:
            at = content.find(start, at + len(start))
            if at >= 0 and (start != _FLV_START or content[at + 5 : at + 13] == _FLV_REST):
                return at
    return None


def _second_theora(file: Path) -> int | None:
    """Where tracks begin again beside pictures, behind pages of data; chained sound libav reads."""
    with file.open("rb") as data, mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(_THEORA) < 0:
            return None
        page = content.find(_OGG_PAGE)
        while page >= 0 and content[page + len(_OGG_PAGE)] & _BEGINS:
            page = content.find(_OGG_PAGE, page + 1)
        begins = content.find(_OGG_PAGE + bytes([_BEGINS]), page) if page >= 0 else -1
        return begins if begins >= 0 and content.find(_THEORA, begins) >= 0 else None
