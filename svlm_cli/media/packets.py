"""The packets of a file's pictures and of their sound, on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from svlm_cli.media.container import OpenFile, libav, stream_tick
from svlm_cli.media.joins import JUMP_SECONDS, Joins, Timed
from svlm_cli.media.tracks import sound_tracks
from svlm_cli.media.wraps import wrap_seconds

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_LONG_SECONDS = 5
_SURE, _DOUBT = 3.0, 0.2  # of pictures in fields, every second packet gives a frame
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


@dataclass(slots=True)
class Fruitless:
    """How long a track has given packets and nothing has come of them, as where its codec has changed.

    Args:
        since: the stamp of the first of these packets; None where there is none.
        last: the stamp of the newest one.
        number: how many there are.
        trust: how far frames that come all the same are believed; decoders make one of other data at times.
    """

    since: int | None = None
    last: int = 0
    number: int = 0
    trust: float = 0.0

    def add(self, packet: Packet[Any] | None, num_frames: int) -> None:
        """Note what a packet has given; None is the end, and gives what was held."""
        if packet is None:
            self.since = None if 2 * num_frames >= self.number else self.since
            return
        self.trust = self.trust + 1 if num_frames else max(0.0, self.trust - _DOUBT)
        if self.trust >= _SURE:
            self.since, self.number, self.trust = None, 0, _SURE
        elif packet.pts is not None:
            self.since = packet.pts if self.since is None else self.since
            self.last = packet.pts
            self.number += 1

    def begin(self, tick: Fraction) -> float | None:
        """From which second on nothing has come; None where that is not for long."""
        is_long = self.since is not None and (self.last - self.since) * tick > _LONG_SECONDS
        return float(self.since * tick) if is_long and self.since is not None else None


@dataclass(slots=True)
class _Run:
    """Packets of a track that go on one from the other, in its ticks."""

    last: int
    second: int
    shift: float
    before: int | None = None
    end: int = -(1 << 62)


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
            wrap_seconds(file.container.format.name),
        )

    def packets(self, on_failure: Callable[[str], None] = lambda _reason: None) -> Iterator[Packet[Any]]:
        """The packets of all streams, past damage, in the order of the file.

        Args:
            on_failure: told what ends the reading, if that is no plain end.
        """
        runs: dict[int, _Run] = {}
        for packet in self._file.packets_past_damage(*self._streams, on_failure=on_failure):
            run, dts = runs.get(packet.stream_index), packet.dts
            # Nearly all go on from the one before, and cost next to nothing.
            if run is not None and dts is not None and 0 <= dts - run.last <= run.second:
                run.before, run.last = run.last, dts
                pts = packet.pts
                run.end = max(run.end, (dts if pts is None else pts) + (packet.duration or 0))
                if run.shift:
                    self._move(packet, run.shift)
                yield packet
                continue
            self._catch_up(runs)
            yield from self._placed(self.joins.put(self._timed(packet)))
            runs = self._runs()
        self._catch_up(runs)
        yield from self._placed(self.joins.put(None))

    def _placed(self, found: Iterator[tuple[Timed[Packet[Any]], float | None]]) -> Iterator[Packet[Any]]:
        for timed, shift in found:
            if shift != 0.0:
                self._move(timed.item, shift)
            yield timed.item

    def _timed(self, packet: Packet[Any]) -> Timed[Packet[Any]]:
        index, dts, pts = packet.stream_index, packet.dts, packet.pts
        tick = float(self._ticks[index])
        stamp = None if dts is None else dts * tick
        start = None if pts is None else pts * tick
        return Timed(packet, index, stamp, start, (packet.duration or 0) * tick)

    def _runs(self) -> dict[int, _Run]:
        """Of each track that is known, where its clock goes on; of none while that is in doubt."""
        shift = self.joins.shift
        if shift is None:
            return {}
        return {
            index: _Run(round(stamp / tick), round(1 / tick), shift)
            for index, tick in self._ticks.items()
            if (stamp := self.joins.stamp(index)) is not None
        }

    def _catch_up(self, runs: dict[int, _Run]) -> None:
        """Tell the clock what has gone by without it."""
        for index, run in runs.items():
            if run.before is not None:
                tick = float(self._ticks[index])
                self.joins.advance(index, run.before * tick, run.last * tick, run.end * tick)

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
