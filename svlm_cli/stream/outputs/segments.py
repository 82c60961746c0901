"""One segment of captions in a playlist, and where it lies on the source's own clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from svlm_cli.cue_text import timestamp
from svlm_cli.utc import utc_text

TICKS_A_SECOND, TICKS = 90_000, 1 << 33
_LISTED = re.compile(
    r"(#EXT-X-DISCONTINUITY\n)?(?:#EXT-X-PROGRAM-DATE-TIME:(\S+)\n)?#EXTINF:([\d.]+),\n[^\n]*?(\d+)\.vtt$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment in the playlist.

    Args:
        number: its media sequence number.
        seconds: how long it lasts.
        date: the date of its beginning by the source's clock; empty where it has none.
        is_jump: whether the source's time stamps jump before it.
    """

    number: int
    seconds: float
    date: str
    is_jump: bool = False

    def lines(self, folder: str) -> list[str]:
        """As the playlist says it."""
        return [
            *(["#EXT-X-DISCONTINUITY"] if self.is_jump else []),
            *([f"#EXT-X-PROGRAM-DATE-TIME:{self.date}"] if self.date else []),
            f"#EXTINF:{self.seconds:.3f},",
            f"{folder}/{self.number}.vtt",
        ]


@dataclass(frozen=True, slots=True)
class SegmentTime:
    """A second of the stream on the source's own clocks.

    Args:
        seconds: its time in the stream.
        pts_seconds: its time by the source's stamps; None where it has none.
        utc: seconds since 1970 by the source's own clock alone; None where it has none.
    """

    seconds: float
    pts_seconds: float | None = None
    utc: float | None = None

    def date(self, seconds: float) -> str:
        """Of a second of the stream near it."""
        return "" if self.utc is None else utc_text(self.utc + seconds - self.seconds)

    @property
    def line(self) -> str:
        """Where its second lies on the time stamps, as a segment says it."""
        if self.pts_seconds is None:
            return "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000"
        ticks = round(self.pts_seconds * TICKS_A_SECOND) % TICKS
        return f"X-TIMESTAMP-MAP=MPEGTS:{ticks},LOCAL:{timestamp(self.seconds)}"


def listed_in(text: str) -> Iterator[Segment]:
    """The segments of a playlist that ``Segment.lines`` has written."""
    for jump, date, seconds, number in _LISTED.findall(text):
        yield Segment(int(number), float(seconds), date, bool(jump))
