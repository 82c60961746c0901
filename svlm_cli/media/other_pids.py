"""Transport streams joined end to end whose second half has other packet ids, so that nobody reads it.

Shape legend: n = packets in a piece of the file, each of 188 bytes, or 192 with a time of arrival.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from svlm_cli.media.container import DamageError, libav

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_SYNC = 0x47
_LENGTHS = (188, 192)
_PIECE_BYTES = 1 << 16
_LEAST_BYTES, _LEAST_SHARE = 2 * _PIECE_BYTES, 0.05


def recording_of_other_pids(file: Path, pid: int) -> int | None:
    """The byte behind which a transport stream has no more of an id, but pictures of another; None for none.

    Args:
        file: a local file.
        pid: the id of the pictures that are shown.
    """
    size = file.stat().st_size
    end = next((at for at in _ends(file, pid) if at is not None), None)
    rest = size - (size if end is None else end)
    if end is None or rest < max(_LEAST_BYTES, _LEAST_SHARE * size):
        return None
    try:
        with libav():
            import av

            with closing(av.open(f"subfile,,start,{end},end,0,,:file:{file}")) as container:
                return end if any(_is_other(each, pid) for each in container.streams.video) else None
    except DamageError:
        return None


def _is_other(stream: VideoStream, pid: int) -> bool:
    """Whether there are pictures of it: the table of what there is lists those that have ended too."""
    return stream.id != pid and stream.codec_context is not None and stream.width > 0


def _ends(file: Path, pid: int) -> Iterator[int | None]:
    """Of each piece of a file, from its end on, the byte behind the last packet of an id."""
    size = file.stat().st_size
    with file.open("rb") as data:
        for behind in range(size, 0, -_PIECE_BYTES):
            begin = max(0, behind - _PIECE_BYTES)
            data.seek(begin)
            piece = np.frombuffer(data.read(behind - begin), np.uint8)
            yield next((begin + at for at in (_last(piece, each, pid) for each in _LENGTHS) if at), None)


def _last(piece: np.ndarray, length: int, pid: int) -> int | None:
    """Where the last packet of an id ends in a piece, whose packets may begin anywhere in it."""
    num = len(piece) // length
    if num < 2:
        return None
    rows = piece[: num * length].reshape(num, length)  # (n, length)
    phase = int((rows == _SYNC).sum(axis=0).argmax())
    packets = piece[phase : phase + (num - 1) * length].reshape(num - 1, length)
    pids = (packets[:, 1].astype(int) & 0x1F) << 8 | packets[:, 2]
    is_own = (packets[:, 0] == _SYNC) & (pids == pid)
    if (packets[:, 0] == _SYNC).mean() < 0.5 or not is_own.any():
        return None
    return phase + (int(np.flatnonzero(is_own)[-1]) + 1) * length
