"""Times of captions and of transcripts made elsewhere, on the clock of the pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from svlm_cli.errors import SourceError
from svlm_cli.media.clock.timed import JUMP_SECONDS, Join
from svlm_cli.media.clock.wraps import wrap_seconds
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.probe import open_container
from svlm_cli.media.survey import indexed_may_leap, survey

_WRAP_SECONDS = wrap_seconds("mpegts")
# Their clocks are the broadcast's own. In others it may have been kept: they begin where a clock does not.
_BROADCAST_FORMATS = frozenset({"mpegts", "mpeg", "hls"})
_LEAST_KEPT_SECONDS = 0.5
_TICKS_A_SECOND = 90_000
_MAP = re.compile(r"X-TIMESTAMP-MAP\s*=\s*(\S+)")
_LOCAL = re.compile(r"LOCAL:(?:([0-9]{1,6}):)?([0-9]{1,2}):([0-9]{1,2}(?:[.,][0-9]{1,6})?)(?:,|$)")
_STAMP = re.compile(r"MPEGTS:([0-9]{1,12})(?:,|$)")


@dataclass(frozen=True, slots=True)
class StampMap:
    """What the header of segmented WebVTT says of its times (X-TIMESTAMP-MAP of HLS, RFC 8216, 3.5).

    Args:
        local_seconds: a time of its cues.
        stamp_seconds: what the clock of the broadcast says then.
    """

    local_seconds: float
    stamp_seconds: float

    @classmethod
    def of(cls, text: str) -> StampMap | None:
        """That of a WebVTT text; None where its header has none, or none that can be read."""
        header = re.split(r"\n\s*\n", text.replace("\r\n", "\n").lstrip("\ufeff"), maxsplit=1)[0]
        told = _MAP.search(header)
        local, stamp = (told and each.search(told[1]) for each in (_LOCAL, _STAMP))
        if not header.startswith("WEBVTT") or not local or not stamp:
            return None
        seconds = int(local[1] or 0) * 3600 + int(local[2]) * 60 + float(local[3].replace(",", "."))
        return cls(seconds, int(stamp[1]) / _TICKS_A_SECOND)

    @property
    def offset_seconds(self) -> float:
        """The broadcast's clock less that of the cues."""
        return self.stamp_seconds - self.local_seconds


@dataclass(frozen=True, slots=True)
class CaptionClock:
    """Takes times as players and ffmpeg count them to those of the pictures.

    They count from where the file begins, with sound or with pictures; svlm from the first picture shown.
    Over a leap of the file's clock they may count on or not: times past the end are taken to do so.

    Args:
        late_seconds: how long after the file's beginning its first picture is shown.
        length_seconds: the length in seconds of the file from its beginning; None where nobody measured it.
        leaps: where the file's clock leaps ahead; seconds count from the beginning of the file without.
        begin_seconds: the time at which the file begins on a broadcast's clock; None where it has its own.
    """

    late_seconds: float = 0.0
    length_seconds: float | None = None
    leaps: tuple[Join, ...] = ()
    begin_seconds: float | None = None

    def from_begin(self, told: StampMap, spans: Sequence[tuple[float, float]]) -> float | None:
        """What to add to the times of cues, so that they count from where the file begins.

        Args:
            told: what their header says.
            spans: of cues, in seconds as they stand there.

        Returns:
            Seconds; None where the header says nothing of this file: its clock is another, or no cue would be
            within it.
        """
        if self.begin_seconds is None:
            return None
        by = told.offset_seconds - self.begin_seconds
        by -= _WRAP_SECONDS * round(by / _WRAP_SECONDS)
        length = math.inf if self.length_seconds is None else self.length_seconds
        return by if any(end + by > 0 and start + by < length for start, end in spans) else None

    def counts_leaps(self, last_seconds: float) -> bool:
        """Whether captions that end there count leaps as time."""
        length = self.length_seconds
        return bool(self.leaps) and length is not None and last_seconds > length + JUMP_SECONDS

    def on_pictures(self, seconds: float, *, counts_leaps: bool = False) -> float:
        """A time of a caption on the pictures' clock; below 0 where it is before the first one.

        Args:
            seconds: seconds from the beginning of the file.
            counts_leaps: as these captions do.
        """
        for leap in self.leaps if counts_leaps else ():
            if seconds <= leap.seconds:
                break
            seconds = max(leap.seconds, seconds - leap.by_seconds)
        return seconds - self.late_seconds


def caption_clock(path: str) -> CaptionClock:
    """The clock of a file's captions; reads the whole file only where its clock may leap.

    Raises:
        SourceError: it cannot be read.
    """
    with closing(open_container(path)) as video:
        start = video.container.start_time
        is_broadcast = video.container.format.name in _BROADCAST_FORMATS
        stated = video.container.duration
        leaps = indexed_may_leap(video)
    found = survey(path) if leaps else None
    begin = found.start_seconds if found is not None else None if start is None else start / 1e6
    try:
        with closing(PyavPictures(path)) as pictures:
            shown = float(pictures.origin_seconds)
    except SourceError:
        shown = found.picture_seconds if found is not None else begin or 0.0
    begin = shown if begin is None else begin
    stamp = begin if is_broadcast or begin >= _LEAST_KEPT_SECONDS else None
    if found is None or not found.joins:
        length = stated / 1e6 if found is None and stated else None
        length = found.end_seconds - begin if found is not None else length
        return CaptionClock(shown - begin, length, begin_seconds=stamp)
    leaps_ahead = tuple(
        Join(each.seconds - begin, each.by_seconds) for each in found.joins if each.by_seconds > 0
    )
    is_mixed = len(leaps_ahead) < len(found.joins)  # a clock that starts again: no time tells which part
    leaps_told = () if is_mixed else leaps_ahead
    return CaptionClock(shown - begin, found.end_seconds - begin, leaps_told, stamp)
