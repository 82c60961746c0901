"""The packets of a file's pictures and of their sound, on one clock."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svlm_cli.media.behind import fragments_begin
from svlm_cli.media.clock.joins import Joins
from svlm_cli.media.clock.reordered import Reordered
from svlm_cli.media.clock.timed import JUMP_SECONDS, RESET_SECONDS, Timed
from svlm_cli.media.clock.wraps import wrap_seconds
from svlm_cli.media.container import OpenFile, libav, stream_tick
from svlm_cli.media.tracks import sound_tracks

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# It has no presentation times: libav fills them with decoding times that run back and forth.
_WITHOUT_PRESENTATION = frozenset({"avi"})
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


class Restarts:
    """Finds what libav hides where fragments of MP4 start again: the first one, and not by an edit list."""

    def __init__(self) -> None:
        self._tracks: set[int] = set()

    def shown(self, packet: Packet[Any], fall_seconds: float) -> Packet[Any]:
        """The next packet of its track, or one like it that is shown.

        Args:
            packet: as libav gives it.
            fall_seconds: by how much its decoding time is before that of the one before it.
        """
        if not packet.is_discard:
            self._tracks.discard(packet.stream_index)
            return packet
        if fall_seconds > RESET_SECONDS:
            self._tracks.add(packet.stream_index)
        return _shown(packet) if packet.stream_index in self._tracks else packet


@dataclass(slots=True)
class _Run:
    """Packets of a track that go on one from the other, in its ticks."""

    last: int
    second: int
    shift: float
    longest: int
    starts: deque[float]
    tick: float
    before: int | None = None
    end: int = -(1 << 62)


class OneClock:
    """Reads an open file from where it stands; whatever its clock does, its packets' stamps go on.

    What the first packet says is believed; ``media/clock/joins.py`` has the rule for the others.

    Args:
        file: open.
        picture: its stream that is shown; None for none.
        more: another stream to be read, which has no say.

    Attributes:
        joins: what was met so far.
        has_starts: whether presentation times are the file's own.
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
        self._picture = None if picture is None else picture.index
        self.has_starts = file.container.format.name not in _WITHOUT_PRESENTATION
        self._order = Reordered(self.joins, self._picture)
        self._last: dict[int, int] = {}
        self._is_joined = False
        self._may_restart = not any(
            stream.frames for stream in self._streams
        )  # no index hides them on purpose
        self._restarts = Restarts()

    def packets(self, on_failure: Callable[[str], None] = lambda _reason: None) -> Iterator[Packet[Any]]:
        """The packets of all streams, past damage, each stream's in the order of the file.

        Args:
            on_failure: told what ends the reading, if that is no plain end.
        """
        runs: dict[int, _Run] = {}
        for packet in self._file.packets_past_damage(*self._streams, on_failure=on_failure):
            run, dts = runs.get(packet.stream_index), packet.dts
            # Nearly all go on from the one before, and cost next to nothing.
            is_hidden = packet.is_discard
            if run is not None and dts is not None and 0 <= dts - run.last <= run.second and not is_hidden:
                pts = packet.pts if self.has_starts else dts
                start = dts if pts is None else pts
                if -run.second <= start - dts <= run.longest:
                    run.before, run.last = run.last, dts
                    length = packet.duration or 0
                    if (
                        not 0 < length <= run.longest
                    ):  # in MP4 the last one before a leap lasts until behind it
                        length = dts - run.before
                    run.end = max(run.end, start + length)
                    run.starts.append(start * run.tick)
                    if run.shift:
                        self._move(packet, run.shift, run.shift)
                    yield packet
                    continue
            self._catch_up(runs)
            yield from self._placed(self._timed(packet))
            runs = self._runs()
        self._catch_up(runs)
        yield from self._placed(None)

    def _part(self, packet: Packet[Any], fall_seconds: float) -> int:
        """Which of joined recordings made of fragments a packet is of, once one of them has begun anew.

        Args:
            packet: as libav gives it: with the lowest time first, whichever part it is of.
            fall_seconds: by how much its decoding time is before that of the one before it of its track.
        """
        self._is_joined = self._is_joined or (fall_seconds > RESET_SECONDS and bool(self._begins))
        return bisect_right(self._begins, packet.pos) if self._is_joined and packet.pos is not None else 0

    @cached_property
    def _begins(self) -> list[int]:
        return (
            fragments_begin(Path(self._file.container.name.removeprefix("file:")))
            if self._file.is_mp4
            else []
        )

    def _placed(self, item: Timed[Packet[Any]] | None) -> Iterator[Packet[Any]]:
        for timed, of_decoding, shift in self._order.put(item):
            if shift != 0.0 or of_decoding != 0.0:
                self._move(timed.item, of_decoding, shift)
            yield timed.item

    def _timed(self, packet: Packet[Any]) -> Timed[Packet[Any]]:
        index, dts, pts = packet.stream_index, packet.dts, packet.pts
        tick = float(self._ticks[index])
        last = self._last.get(index)
        fall = 0.0 if dts is None or last is None else (last - dts) * tick
        part = self._part(packet, fall)
        if self._may_restart:
            packet = self._restarts.shown(packet, fall)
        if dts is None:
            self._last.pop(index, None)
        else:
            self._last[index] = dts
        stamp = None if dts is None else dts * tick
        start = stamp if pts is None or not self.has_starts else pts * tick
        return Timed(packet, index, stamp, start, (packet.duration or 0) * tick, packet.is_keyframe, part)

    def _runs(self) -> dict[int, _Run]:
        """Of each track that is known, where its clock goes on; of none while that is in doubt."""
        shift = self.joins.shift
        if shift is None or self._order.is_waiting or self._is_joined:
            return {}
        return {
            index: _Run(
                self._last[index],
                round(1 / tick),
                shift,
                int(JUMP_SECONDS / tick),
                self._order.decoded if index == self._picture else deque(maxlen=1),
                float(tick),
            )
            for index, tick in self._ticks.items()
            if index in self._last and self.joins.knows(index)
        }

    def _catch_up(self, runs: dict[int, _Run]) -> None:
        """Tell the clock what has gone by without it."""
        for index, run in runs.items():
            if run.before is not None:
                self._last[index] = run.last
                tick = float(self._ticks[index])
                self.joins.advance(index, run.before * tick, run.last * tick, run.end * tick)

    def _move(self, packet: Packet[Any], of_decoding: float | None, shift: float | None) -> None:
        """Add to a packet's stamps, or take them away where they are damage."""
        with libav():
            if shift is None or of_decoding is None:
                packet.pts = packet.dts = None
                return
            tick = self._ticks[packet.stream_index]
            if packet.pts is not None:
                packet.pts += round(shift / tick)
            if packet.dts is not None:
                packet.dts += round(of_decoding / tick)


def _shown(packet: Packet[Any]) -> Packet[Any]:
    """The same packet, to be shown."""
    import av

    with libav():
        # Bytes that Python holds the threads of a decoder let go under the interpreter's lock; who closes the
        # decoder has that lock, and waits for them: both for ever.
        copy: Packet[Any] = av.Packet(packet.size)
        copy.update(bytes(packet))
        copy.stream, copy.time_base = packet.stream, packet.time_base
        copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
        copy.is_keyframe, copy.is_corrupt = packet.is_keyframe, packet.is_corrupt
        for each in packet.iter_sidedata():
            copy.set_sidedata(each)
        return copy
