"""The packets of a file's pictures and of their sound, on one clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from svlm_cli.media.container import OpenFile, libav, stream_tick
from svlm_cli.media.joins import JUMP_SECONDS, Joins, Timed
from svlm_cli.media.tracks import sound_tracks
from svlm_cli.media.wraps import wrap_seconds

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_MOST_REORDERED, _MOST_LAST, _MOST_HELD = 32, 8, 4096
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


@dataclass(slots=True, eq=False)
class _Unplaced:
    """A packet not yet placed: ``riders`` are moved with it."""

    timed: Timed[Packet[Any]]
    is_ahead: bool
    riders: list[_Unplaced] = field(default_factory=list)
    is_known: bool = False
    shift: float | None = None


class Reordered:
    """The rule of ``Joins`` for packets in decoding order, which mixes pictures of both sides of a leap.

    An encoder that goes over a leap writes pictures behind it before the last ones ahead of it, which are
    predicted from them, and decoding times lag by as many. Such a picture is known by being presented long
    after it is decoded: it is placed with the first one that is decoded behind the leap, while its decoding
    time goes on from those before.

    Args:
        joins: the rule.
    """

    def __init__(self, joins: Joins) -> None:
        self._joins = joins
        self._order = deque[_Unplaced]()
        self._given = deque[_Unplaced]()
        self._unclear: list[_Unplaced] = []
        self._lags: dict[int, float] = {}
        self._shifts: dict[int, float | None] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether packets are held back."""
        return bool(self._order)

    def reach(self, track: int) -> float:
        """Seconds after its decoding within which a picture is presented, unless there is a leap between."""
        return max(JUMP_SECONDS, 3 * self._lags.get(track, 0.0))

    def put(
        self, item: Timed[Packet[Any]] | None
    ) -> Iterator[tuple[Timed[Packet[Any]], float | None, float | None]]:
        """What can be said after one more item; None is the end.

        Returns:
            Items in their order, each with the seconds to add to its decoding and to its presentation time;
            None where its times are damage.
        """
        if item is None:
            self._settle(self._last_ahead())
            self._give(None)
        else:
            each = _Unplaced(item, self._is_ahead(item))
            self._order.append(each)
            if not self._unclear and not each.is_ahead:
                self._give(each)
            else:
                self._unclear.append(each)
                self._judge(each)
        while self._order and self._order[0].is_known:
            each = self._order.popleft()
            track = each.timed.track
            if not each.is_ahead:
                self._shifts[track] = each.shift
            yield each.timed, self._shifts.get(track, each.shift), each.shift

    def _is_ahead(self, item: Timed[Packet[Any]]) -> bool:
        if item.stamp is None or item.start is None:
            return False
        lag = item.start - item.stamp
        if item.track in self._lags and lag > self.reach(item.track):
            return True
        self._lags[item.track] = max(lag, self._lags.get(item.track, 0.0))
        return False

    def _judge(self, newest: _Unplaced) -> None:
        """Whether the newest packet shows what those presented late stand for."""
        first, item = self._unclear[0].timed, newest.timed
        if item.track != first.track or first.stamp is None:
            if len(self._unclear) >= _MOST_HELD:
                self._settle(None)
        elif not newest.is_ahead and item.stamp is not None and item.stamp > first.stamp + JUMP_SECONDS:
            hole = self._hole(item.stamp)
            if hole is None:
                self._settle(None)
            else:
                is_filled = any(
                    each.timed.track != item.track
                    and each.timed.stamp is not None
                    and hole[0] < each.timed.stamp < hole[1]
                    for each in self._unclear
                )
                self._settle(None if is_filled else newest, is_filled)
        elif sum(each.timed.track == first.track for each in self._unclear) >= _MOST_REORDERED:
            self._settle(None)

    def _hole(self, stamp: float) -> tuple[float, float] | None:
        """The middle of what decoding times left out before ``stamp``; None where they went on."""
        track = self._unclear[0].timed.track
        before = max(
            each.timed.stamp
            for each in self._unclear[:-1]
            if each.timed.track == track and each.timed.stamp is not None
        )
        quarter = (stamp - before) / 4
        return (before + quarter, stamp - quarter) if 2 * (stamp - before) > JUMP_SECONDS else None

    def _last_ahead(self) -> _Unplaced | None:
        """The last picture behind a leap, where the file ends before decoding times could leap."""
        own = [each for each in self._unclear if each.timed.track == self._unclear[0].timed.track]
        if not 0 < len(own) <= _MOST_LAST:
            return None  # others came by that would have been shown before it was decoded
        return next(each for each in reversed(own) if each.is_ahead)

    def _settle(self, leapt: _Unplaced | None, is_slow: bool = False) -> None:
        """Give all that was unclear to the rule: with the first decoded behind a leap, or without any.

        Args:
            leapt: that one; None where there was no leap.
            is_slow: other tracks went on meanwhile: pictures are far apart, as slides are.
        """
        held, self._unclear = self._unclear, []
        if not held:
            return
        track = held[0].timed.track
        ahead = [each for each in held if each.is_ahead and each.timed.track == track]
        own = [each for each in held if each.timed.track == track]
        is_usual = is_slow or 2 * len(ahead) > len(
            own
        )  # slides, which are decoded one before the other is shown
        if leapt is None and is_usual:
            lags = [(each.timed.start or 0.0) - (each.timed.stamp or 0.0) for each in ahead]
            self._lags[track] = max(self._lags.get(track, 0.0), *lags)
        before: float | None = None
        for each in held:
            timed = each.timed
            if leapt is None:
                timed = timed._replace(start=None) if each.is_ahead and not is_usual else timed
                each.is_ahead = False
            elif each in own:
                if before is not None and timed.stamp is not None and not 0 < timed.length <= JUMP_SECONDS:
                    timed = timed._replace(length=timed.stamp - before)
                before = before if timed.stamp is None else timed.stamp
            if leapt is None or (each is not leapt and each not in ahead):
                self._give(each, timed)
        if leapt is not None:
            leapt.riders = [each for each in ahead if each is not leapt]
            self._give(leapt, _beginning([*leapt.riders, leapt]))

    def _give(self, each: _Unplaced | None, as_if: Timed[Packet[Any]] | None = None) -> None:
        if each is not None:
            self._given.append(each)
        for _, shift in self._joins.put(as_if or (each.timed if each is not None else None)):
            placed = self._given.popleft()
            for one in (placed, *placed.riders):
                one.is_known, one.shift = True, shift


def _beginning(found: list[_Unplaced]) -> Timed[Packet[Any]]:
    """The last of these, as if it were shown for as long as all of them."""
    spans = [(each.timed.start, each.timed.length) for each in found if each.timed.start is not None]
    start = min((start for start, _ in spans), default=None)
    end = max((start + length for start, length in spans), default=0.0)
    last = found[-1]
    stamp = start if last.is_ahead else last.timed.stamp
    return last.timed._replace(stamp=stamp, start=start, length=0.0 if start is None else end - start)


@dataclass(slots=True)
class _Run:
    """Packets of a track that go on one from the other, in its ticks."""

    last: int
    second: int
    shift: float
    reach: int
    longest: int
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
        self._order = Reordered(self.joins)

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
                pts = packet.pts
                start = dts if pts is None else pts
                if start - dts <= run.reach:
                    run.before, run.last = run.last, dts
                    length = packet.duration or 0
                    if (
                        not 0 < length <= run.longest
                    ):  # in MP4 the last one before a leap lasts until behind it
                        length = dts - run.before
                    run.end = max(run.end, start + length)
                    if run.shift:
                        self._move(packet, run.shift, run.shift)
                    yield packet
                    continue
            self._catch_up(runs)
            yield from self._placed(self._timed(packet))
            runs = self._runs()
        self._catch_up(runs)
        yield from self._placed(None)

    def _placed(self, item: Timed[Packet[Any]] | None) -> Iterator[Packet[Any]]:
        for timed, of_decoding, shift in self._order.put(item):
            if shift != 0.0 or of_decoding != 0.0:
                self._move(timed.item, of_decoding, shift)
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
        if shift is None or self._order.is_waiting:
            return {}
        return {
            index: _Run(
                round(stamp / tick),
                round(1 / tick),
                shift,
                int(self._order.reach(index) / tick),
                int(JUMP_SECONDS / tick),
            )
            for index, tick in self._ticks.items()
            if (stamp := self.joins.stamp(index)) is not None
        }

    def _catch_up(self, runs: dict[int, _Run]) -> None:
        """Tell the clock what has gone by without it."""
        for index, run in runs.items():
            if run.before is not None:
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
