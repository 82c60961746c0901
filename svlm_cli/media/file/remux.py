"""Streams of a file into another file, packets as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svlm_cli.errors import SourceError
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
_MOST_HELD = 512


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
            with libav(), av.open(str(target), "w") as writing:
                copies = {}
                for stream in kept:
                    copies[stream.index] = _added(writing, stream)
                    copies[stream.index].metadata.update(stream.metadata)
                own = (packet for packet in clock.packets() if packet.stream_index in copies)
                for packet in _Stamper(video).stamped(own):
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
    """Gives every packet stamps that a muxer takes, in its own order.

    Matroska has no decoding times, and libav makes up none for the first pictures: these come as much earlier
    as they are pictures before the first that has one.

    Args:
        video: the video that the pictures belong to.
    """

    def __init__(self, video: OpenVideo) -> None:
        self._index = video.stream.index
        self._step = max(1, round(video.nominal_seconds / video.tick))
        self._last: dict[int, int] = {}

    def stamped(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """The packets; some are held back until a decoding time is met."""
        held: list[Packet[Any]] = []
        for packet in packets:
            held.append(packet)
            is_known = packet.dts is not None and packet.stream_index == self._index
            if len(held) < _MOST_HELD and not is_known and any(each.dts is None for each in held):
                continue
            yield from self._released(held)
            held = []
        yield from self._released(held)

    def _released(self, held: list[Packet[Any]]) -> Iterator[Packet[Any]]:
        lacking = [each for each in held if each.dts is None]
        known = next(
            (
                each.dts
                for each in reversed(held)
                if each.stream_index == self._index and each.dts is not None
            ),
            None,
        )
        last = self._last.get(self._index)
        for number, packet in enumerate(lacking):
            if last is not None:
                packet.dts = last + (number + 1) * self._step
            elif known is not None:
                packet.dts = known - (len(lacking) - number) * self._step
            else:
                packet.dts = number * self._step if packet.pts is None else packet.pts
        for packet in held:
            index, dts = packet.stream_index, packet.dts
            if dts is not None and dts <= self._last.get(index, dts - 1):
                packet.dts = dts = self._last[index] + 1
            if dts is not None:
                self._last[index] = dts
                packet.pts = dts if packet.pts is None else max(packet.pts, dts)
            yield packet


def _sound(source: Path, video: OpenVideo, choice: SoundChoice) -> Any:
    try:
        tracks = in_order(sound_tracks(video.container, video.stream), choice)
    except SourceError as error:
        raise SourceError(f"{source}: {error.message}", error.hint) from error
    return video.container.streams[tracks[0].index] if tracks else None
