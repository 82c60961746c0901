"""Streams of a file into another file, packets as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svlm_cli.errors import SourceError
from svlm_cli.media.clock.reordered import MOST_REORDERED
from svlm_cli.media.container import DamageError, OpenVideo, libav
from svlm_cli.media.packets import OneClock
from svlm_cli.media.probe import open_container
from svlm_cli.media.tracks import SoundChoice, in_order, sound_tracks

if TYPE_CHECKING:
    from av.packet import Packet

# For what no muxer of the source's own name can hold.
OTHER_SUFFIX = ".mkv"
# Ogg has no times: pictures that repeat are empty packets, which PyAV cannot tell from an end.
_WITHOUT_TIMES = frozenset({".ogv", ".ogg", ".ogm"})
# However far apart slides are, sound is written where it is heard.
_AS_STAMPED = {"max_interleave_delta": "0"}


def target_suffix(source: Path) -> str:
    """Suffix of a file into which the pictures of another can be copied: its own, where libav writes such."""
    import av

    suffix = source.suffix.lower()
    if suffix in _WITHOUT_TIMES:
        return OTHER_SUFFIX
    try:
        with libav(), av.open(f"x{suffix}", "w"):  # nothing is written before the first stream
            return suffix
    except DamageError:
        return OTHER_SUFFIX


def copy_tracks(source: Path, target: Path, choice: SoundChoice | None = None) -> None:
    """Write the pictures that are shown of a file, and one sound track or none, into a new one.

    Times are those of one clock, also where that of the source starts again or leaps.

    Args:
        source: any video.
        target: its suffix names the container.
        choice: the choice of the sound; None for none.

    Raises:
        SourceError: the container cannot hold it, or the file cannot be read.
    """
    import av

    with closing(open_container(str(source))) as video:
        sound = None if choice is None else _sound(source, video, choice)
        kept = [video.stream] if sound is None else [video.stream, sound]
        clock = OneClock(video, video.stream, sound)
        try:
            with libav(), av.open(str(target), "w", options=_AS_STAMPED) as writing:
                copies = {}
                for stream in kept:
                    copies[stream.index] = _added(writing, stream)
                    copies[stream.index].metadata.update(stream.metadata)
                own = (packet for packet in clock.packets() if packet.stream_index in copies)
                for packet in _Stamper(video.stream.index, clock.has_starts).stamped(own):
                    packet.stream = copies[packet.stream_index]
                    writing.mux(packet)
        except DamageError as error:
            what = "its sound cannot be left out" if choice is None else "one sound cannot be kept alone"
            raise SourceError(f"{source}: {what}: {error.message}", "try --keep-audio") from error


def _added(writing: Any, stream: Any) -> Any:
    """A stream for packets as they are, also of a codec that this libav only decodes."""
    from av.codec.codec import UnknownCodecError

    try:
        return writing.add_stream_from_template(stream)
    except UnknownCodecError:
        return writing.add_stream_from_template(stream, opaque=True)


class _Stamper:
    """Gives every packet stamps that a muxer takes: decoding times grow, and none is behind presentation.

    Those of the file are kept where that is so. Matroska has none, libav makes them up, and those around a
    leap may be of either side: then pictures are decoded in even steps until the next that must be shown.

    Args:
        picture: the index of the pictures' stream, whose packets are held back until that is known.
        has_starts: whether their presentation times are the file's own.
    """

    def __init__(self, picture: int, has_starts: bool) -> None:
        self._picture = picture
        self._has_starts = has_starts
        self._held: deque[Packet[Any]] = deque()
        self._last: dict[int, int] = {}

    def stamped(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """The packets, each stream's in their order."""
        for packet in packets:
            if packet.stream_index != self._picture:
                yield self._other(packet)
                continue
            self._held.append(packet)
            if len(self._held) > MOST_REORDERED:
                yield self._next()
        while self._held:
            yield self._next()

    def _other(self, packet: Packet[Any]) -> Packet[Any]:
        last = self._last.get(packet.stream_index)
        at = packet.pts if packet.dts is None else packet.dts
        if at is None:
            at = last
        if at is not None:
            at = at if last is None else max(at, last + 1)
            packet.dts = self._last[packet.stream_index] = at
            packet.pts = at if packet.pts is None else max(packet.pts, at)
        return packet

    def _next(self) -> Packet[Any]:
        shown = [each.pts for each in self._held if each.pts is not None and self._has_starts]
        packet, last = self._held[0], self._last.get(self._picture)
        at: int | None = packet.dts
        if at is not None and last is not None and at <= last:
            at = None
        if shown:
            following = min(shown)
            number = next(number for number, each in enumerate(self._held) if each.pts == following)
            latest = following - number
            if at is None or at > latest:
                at = latest if last is None else last + max(1, (following - last) // (number + 1))
        elif at is None:
            at = 0 if last is None else last + 1
        packet.dts = self._last[self._picture] = at
        packet.pts = at if packet.pts is None else max(packet.pts, at)
        return self._held.popleft()


def _sound(source: Path, video: OpenVideo, choice: SoundChoice) -> Any:
    try:
        tracks = in_order(sound_tracks(video.container, video.stream), choice)
    except SourceError as error:
        raise SourceError(f"{source}: {error.message}", error.hint) from error
    return video.container.streams[tracks[0].index] if tracks else None
