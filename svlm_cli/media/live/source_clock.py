"""A live source's own clocks: from places in the stream back to its time stamps, and to UTC.

Stamps jump, start again and wrap; the stream does not (``stamps.py``). Here it is written down which stretch
of the stream has which stamps, and what is known of their UTC: from the reports of an RTSP sender, packet
by packet, or from the dates in a playlist, as often as somebody looks.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from svlm_cli.types import ClockKind, SourceTime
from svlm_cli.utc import is_moment

if TYPE_CHECKING:
    from av.packet import Packet

SAME_SECONDS = 0.005
NEAR_SECONDS = 120.0
WRAP_SECONDS = 2**33 / 90_000
MOST_STRETCHES, MOST_ANCHORS = 64, 1024
_INTEGER_BYTES = 8


def sender_utc(packet: Packet[Any]) -> float | None:
    """When a packet's picture was taken, by the reports of its RTP sender (RTCP), in seconds since 1970.

    libav hands it on as ``AVProducerReferenceTime``: microseconds and flags. None where there is none yet.
    """
    if not packet.has_sidedata("prft"):
        return None
    content = bytes(packet.get_sidedata("prft"))
    return struct.unpack_from("=q", content)[0] / 1e6 if len(content) >= _INTEGER_BYTES else None


@dataclass(slots=True, eq=False)
class _ClockRun:
    """Packets whose stamps are one clock's.

    Args:
        from_seconds: the place of the first.
        offset_seconds: what is added to its stamps for places.
        newest_pts_seconds: the newest stamp.
        anchors: places, and UTC less place from there on.
        kind: what UTC goes by, once it is known.
    """

    from_seconds: float
    offset_seconds: float
    newest_pts_seconds: float
    anchors: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_ANCHORS))
    kind: ClockKind | None = None

    def anchor(self, place: float, utc_less_place: float, kind: ClockKind) -> None:
        """UTC is known here; small differences are the network's and are left out."""
        if not self.anchors or abs(self.anchors[-1][1] - utc_less_place) > SAME_SECONDS:
            self.anchors.append((place, utc_less_place))
            self.kind = kind

    def at(self, place: float) -> SourceTime:
        """The source's time there."""
        pts = place - self.offset_seconds
        if not self.anchors:
            return SourceTime(pts)
        known = [less for since, less in self.anchors if since <= place] or [self.anchors[0][1]]
        return SourceTime(pts, place + known[-1], self.kind)


class SourceClock:
    """The clocks of one live source over all its connections; read and written from several threads.

    Attributes:
        num_stretches: how many stretches with stamps of one clock have begun; each is dated anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stretches: deque[_ClockRun] = deque(maxlen=MOST_STRETCHES)
        self.num_stretches = 0

    def note(self, place: float, offset: float, utc: float | None = None) -> None:
        """A picture lies here.

        Args:
            place: where it is shown, in seconds as its receiver counts.
            offset: what is added to its own stamp for that.
            utc: as its sender reports, in seconds since 1970, or None.
        """
        with self._lock:
            newest = self._stretches[-1] if self._stretches else None
            if newest is None or abs(newest.offset_seconds - offset) > SAME_SECONDS:
                newest = _ClockRun(place, offset, place - offset)
                self._stretches.append(newest)
                self.num_stretches += 1
            newest.newest_pts_seconds = place - offset
            if utc is not None and is_moment(utc):
                newest.anchor(place, utc - place, ClockKind.RTCP)

    def date(self, pts_seconds: float, utc: float) -> bool:
        """A playlist says when a stamp was; whether any stretch has stamps like it.

        Stamps may have wrapped (33 bits of 1/90000 s) as often as they like.
        """
        if not is_moment(utc):
            return False
        with self._lock:
            for stretch in reversed(self._stretches):
                behind = pts_seconds - stretch.newest_pts_seconds
                behind -= round(behind / WRAP_SECONDS) * WRAP_SECONDS
                if abs(behind) <= NEAR_SECONDS:
                    place = stretch.newest_pts_seconds + behind + stretch.offset_seconds
                    stretch.anchor(place, utc - place, ClockKind.PROGRAM_DATE_TIME)
                    return True
        return False

    def at(self, place: float) -> SourceTime | None:
        """What the source's clocks say there; None before anything came that had stamps."""
        with self._lock:
            if not self._stretches:
                return None
            there = [each for each in self._stretches if each.from_seconds <= place + SAME_SECONDS]
            return (there[-1] if there else self._stretches[0]).at(place)
