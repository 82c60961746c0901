"""Pictures of a video through decord, for the files that decord reads exactly.

decord numbers frames and seeks by number. Measured against pictures that carry their number, it is
exact for constant and variable frame rates in MP4, MOV, Matroska and WebM with closed GOPs; it is
off after a jump in open GOPs (by the leading pictures) and in MPEG-TS (by a GOP), counts what an
edit list hides, has no times for AVI with B-frames, does not mirror, and says nothing of frames that
are damaged but decodable. Here the times come from the packets (PyAV), and such files are refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from svlm_cli.errors import SourceError, boundary
from svlm_cli.media.container import DamageError
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.probe import is_url, open_container, undecodable
from svlm_cli.media.source import VideoInfo
from svlm_cli.media.timeline import TIME_TOLERANCE_SECONDS, Picture
from svlm_cli.settings import VIEWING, Deinterlace, Viewing

_USE_PYAV = "use --reader pyav"
_FLOAT32_RELATIVE = 2.0**-22
_WRONG_FORMATS = frozenset({"mpegts", "mpeg"})


class DecordPictures:
    """The pictures of one video, by number; same interface as ``PyavPictures``.

    Opening reads every packet of the file twice (decord's own index, and ours for exact times).

    Args:
        path: a local file.
        viewing: how its pictures are shown; decord shows samples as they are stored.

    Raises:
        SourceError: decord is missing, cannot open the file, or would give it wrong times.
    """

    has_one_clock = True

    def __init__(self, path: str, viewing: Viewing = VIEWING) -> None:
        self.num_corrupt = 0
        self.problems: list[str] = []
        self._path = path
        self._pass = 0
        if is_url(path):
            raise SourceError(f"decord reads local files only, not {path}", _USE_PYAV)
        probe = PyavPictures(path, viewing)
        self.info: VideoInfo = probe.info
        is_mirrored = probe.orientation.is_mirrored
        probe.close()
        _check_shown(path, self.info, viewing)
        starts, self._last_length = _packet_times(path)
        self._starts = [start - starts[0] for start in starts]
        self._reader: Any = _open_decord(path, np.asarray(self._starts))
        if is_mirrored or self._rgb(0).shape != (self.info.height, self.info.width, 3):
            raise SourceError(f"decord does not show {path} upright", _USE_PYAV)

    def pictures(self, from_seconds: float) -> Iterator[Picture]:
        """The pictures in presentation order, from the one on screen at ``from_seconds``.

        Raises:
            RuntimeError: the pass is used after another was begun or the video was closed.
        """
        self._pass += 1
        first = bisect_right(self._starts, from_seconds + TIME_TOLERANCE_SECONDS) - 1
        return self._numbered(max(0, first), self._pass)

    @property
    def length_seconds(self) -> float | None:
        """Where the last picture ends."""
        return self._starts[-1] + self._last_length

    def close(self) -> None:
        """Let go of decord's reader."""
        self._pass += 1
        self._reader = None

    def _numbered(self, first: int, own_pass: int) -> Iterator[Picture]:
        ends = [*self._starts[1:], self._starts[-1] + self._last_length]
        for number in range(first, len(self._starts)):
            if own_pass != self._pass or self._reader is None:
                raise RuntimeError("this pass over the video has ended: another was begun, or it was closed")
            start = self._starts[number]
            yield Picture(start, ends[number] - start, partial(self._rgb, number))

    def _rgb(self, number: int) -> np.ndarray:
        with boundary(f"decord cannot decode frame {number} of {self._path}", SourceError, _USE_PYAV):
            image: np.ndarray = self._reader[number].asnumpy()
        return image


def _check_shown(path: str, info: VideoInfo, viewing: Viewing) -> None:
    """decord shows samples as they are stored, and reads what has no colour tags as BT.601.

    Raises:
        SourceError: a viewer would see something else in the first picture; says what.
    """
    look = info.appearance
    wrong = list(look.changes)
    if look.is_interlaced and not look.is_deinterlaced:
        wrong.append("the colours of its fields")
    if viewing.deinterlace is Deinterlace.ON and not wrong:
        wrong.append("fields deinterlaced")
    if wrong:
        raise SourceError(
            f"decord cannot show {path} as a viewer sees it ({', '.join(wrong)})",
            "use --reader pyav, or --pictures raw",
        )


def _packet_times(path: str) -> tuple[list[float], float]:
    """Presentation times of all packets, ascending, and the length of the last, in seconds.

    Raises:
        SourceError: the file is of a kind that decord gets wrong.
    """
    inexact = SourceError(f"decord cannot give exact times for {path}", _USE_PYAV)
    video = open_container(path)
    lengths: dict[int, int] = {}
    key: int | None = None
    try:
        if video.container.format.name in _WRONG_FORMATS:
            raise inexact
        for packet in video.packets(video.stream):
            if packet.pts is None or packet.is_discard or packet.is_corrupt:
                raise inexact
            if packet.is_keyframe or key is None:
                key = packet.pts
            if packet.pts < key:  # shown before its keyframe: an open GOP
                raise inexact
            lengths[packet.pts] = packet.duration or 0
    except DamageError:
        raise inexact from None
    finally:
        video.close()
    if not lengths:
        raise undecodable(path)
    stamps = sorted(lengths)
    last = lengths[stamps[-1]] or max(1, round(video.nominal_seconds / video.tick))
    return [float(stamp * video.tick) for stamp in stamps], float(last * video.tick)


def _open_decord(path: str, starts: np.ndarray) -> Any:
    """decord's reader, once its frames are found to be numbered as the packets are."""
    try:
        import decord
    except ImportError as error:
        raise SourceError("decord is not installed (it has no wheel for this platform)", _USE_PYAV) from error
    decord.logging.set_level(decord.logging.QUIET)
    with boundary(f"decord cannot open {path}", SourceError, _USE_PYAV):
        reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=0)
        shown = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
    tolerance = 1e-3 + _FLOAT32_RELATIVE * starts
    if len(shown) != len(starts) or np.any(np.abs(shown - shown[0] - starts) > tolerance):
        raise SourceError(f"decord cannot give exact times for {path}", _USE_PYAV)
    return reader
