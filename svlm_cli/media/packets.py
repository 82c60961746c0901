"""The packets of a file's pictures and of their sound, on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from svlm_cli.media.container import OpenFile, libav, stream_tick
from svlm_cli.media.joins import JUMP_SECONDS, Joins, Timed
from svlm_cli.media.tracks import sound_tracks

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

LONGEST_STILL_SECONDS = 600.0
"""How long a picture may stay in a file of pictures alone whose container is no stream of a broadcast."""


def clock_streams(file: OpenFile, picture: VideoStream | None) -> list[Any]:
    """The streams that tell the time together: the pictures shown, and the sound of their program."""
    streams = file.container.streams
    told = {
        track.index for track in sound_tracks(file.container, picture) if track.is_of_picture and track.codec
    }
    shown: list[Any] = [] if picture is None else [picture]
    return shown + [stream for stream in streams.audio if stream.index in told]


class OneClock:
    """Reads an open file from where it stands; whatever its clock does, its packets' stamps go on.

    What the first packet says is believed; ``media/joins.py`` has the rule for the others.

    Args:
        file: open.
        picture: its stream that is shown; None for none.
        more: another stream to be read, which has no say.

    Attributes:
        joins: what was met so far.
    """

    def __init__(self, file: OpenFile, picture: VideoStream | None, more: Any = None) -> None:
        from av.format import Flags

        self._file = file
        told = clock_streams(file, picture)
        self._streams = told if more is None or more in told else [*told, more]
        self._ticks = {stream.index: stream_tick(stream) for stream in self._streams}
        may_leap: Any = Flags.ts_discont.value
        is_broadcast = bool(file.container.format.flags & may_leap)
        self.joins = Joins(
            [stream.index for stream in told],
            None if picture is None else picture.index,
            JUMP_SECONDS if is_broadcast else LONGEST_STILL_SECONDS,
        )

    def packets(self, on_failure: Callable[[str], None] = lambda _reason: None) -> Iterator[Packet[Any]]:
        """The packets of all streams, past damage, in the order of the file.

        Args:
            on_failure: told what ends the reading, if that is no plain end.
        """
        for timed, shift in self.joins.shifted(self._timed(on_failure)):
            packet = timed.item
            if shift != 0.0:
                self._move(packet, shift)
            yield packet

    def _timed(self, on_failure: Callable[[str], None]) -> Iterator[Timed[Packet[Any]]]:
        ticks = {index: float(tick) for index, tick in self._ticks.items()}
        for packet in self._file.packets_past_damage(*self._streams, on_failure=on_failure):
            index, stamp, start = packet.stream_index, packet.dts, packet.pts
            tick = ticks[index]
            yield Timed(
                packet,
                index,
                None if stamp is None else stamp * tick,
                None if start is None else start * tick,
                (packet.duration or 0) * tick,
            )

    def _move(self, packet: Packet[Any], shift: float | None) -> None:
        """Add to a packet's stamps, or take them away where they are damage."""
        with libav():
            if shift is None:
                packet.pts = packet.dts = None
                return
            by = round(shift / self._ticks[packet.stream_index])
            if packet.pts is not None:
                packet.pts += by
            if packet.dts is not None:
                packet.dts += by
