"""An open container, and the one door to libav: whatever it raises on damaged bytes becomes an error of ours.

PyAV has errors of libav's own, and raises IndexError, ValueError, OverflowError and others where damaged
bytes claim what it does not expect. All reading, seeking and decoding of the package passes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from svlm_cli.errors import SourceError, boundary
from svlm_cli.media.timeline import LONGEST_SECONDS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_LONG_SECONDS = 5
_SURE, _DOUBT = 3.0, 0.2  # of pictures in fields, every second packet gives a frame
FALLBACK_FPS = 25
PLAYLIST_FORMATS = frozenset({"hls", "dash"})
# 8192 x 8192: a damaged header may claim four thousand million.
MOST_PIXELS = 1 << 26
_MOST_FAILURES = 64
_FALLBACK_TICK, _LONGEST_TICK = Fraction(1, 90_000), 60


class DamageError(SourceError):
    """A piece that libav cannot read or decode; what follows may be whole."""


class NoAnswerError(DamageError):
    """A source that sent nothing for as long as it was given."""


@contextmanager
def libav() -> Iterator[None]:
    """Around one call of PyAV.

    Raises:
        DamageError: whatever it raised, in its words; a MemoryError too, as damaged bytes claim any size.
    """
    import av

    with boundary("libav", DamageError):
        try:
            yield
        except av.error.ExitError as error:  # it was told to give up waiting
            raise NoAnswerError("no answer in time") from error
        except (av.FFmpegError, MemoryError) as error:
            raise DamageError(getattr(error, "strerror", None) or str(error)) from error


@dataclass(frozen=True, slots=True, eq=False)
class OpenFile:
    """A container that is read.

    Args:
        container: open.
    """

    container: InputContainer

    @property
    def is_mp4(self) -> bool:
        """Whether it is MP4 or QuickTime, of any suffix."""
        return "mp4" in self.container.format.name.split(",")

    @property
    def is_playlist(self) -> bool:
        """Whether it is read by a manifest, HLS or DASH, which lists what was sent last."""
        return self.container.format.name in PLAYLIST_FORMATS

    def packets(self, *streams: Any) -> Iterator[Packet[Any]]:
        """Packets from where the container stands, without the empty ones by which PyAV marks the end.

        Args:
            streams: whose; none for all.

        Raises:
            DamageError: a piece cannot be read; another call reads on behind it.
        """
        demuxed = self._demux(streams)
        num_faults = 0
        while True:
            try:
                with libav():  # around all of them, as it costs more than a packet does
                    for packet in demuxed:
                        if packet.size:
                            yield packet
                return
            except DamageError as error:
                # Of PyAV's own books, which streams that appear later upset, and not of the data.
                num_faults += 1
                if not _is_fault_of_binding(error) or num_faults == _MOST_FAILURES:
                    raise
                demuxed = self._demux(streams)

    def packets_past_damage(
        self, *streams: Any, on_failure: Callable[[str], None] = lambda _reason: None
    ) -> Iterator[Packet[Any]]:
        """As ``packets``, but steps over pieces that cannot be read, until there are too many in a row.

        Args:
            streams: whose; none for all.
            on_failure: told what ends the reading, if that is no plain end.
        """
        num_failures = 0
        while num_failures < _MOST_FAILURES:
            try:
                for packet in self.packets(*streams):
                    num_failures = 0
                    yield packet
                return
            except DamageError as error:
                num_failures += 1
                if num_failures == _MOST_FAILURES:
                    on_failure(error.message)

    def close(self) -> None:
        """Close the file; more than once is fine."""
        self.container.close()

    def _demux(self, streams: tuple[Any, ...]) -> Iterator[Packet[Any]]:
        with libav():
            return self.container.demux(*streams)


@dataclass(frozen=True, slots=True, eq=False)
class OpenVideo(OpenFile):
    """A container and the one video stream that is shown.

    Args:
        container: open.
        stream: libav's stream of its pictures.
        tick: seconds per unit of the stream's stamps.
        rate: frames per second that the container states or libav guesses.
    """

    stream: VideoStream
    tick: Fraction
    rate: Fraction | None

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> OpenVideo:
        """With what the stream states."""
        rate = stream.average_rate or stream.guessed_rate
        return cls(container, stream, stream_tick(stream), Fraction(rate) if rate and rate > 0 else None)

    @property
    def has_end(self) -> bool:
        """Whether it says how long it is, in seconds or, as a server of files does, in bytes."""
        return bool(self.container.duration) or (not self.is_playlist and self.has_size)

    @property
    def has_size(self) -> bool:
        """Whether the number of its bytes is known; else an end and a break of the connection look alike."""
        return self.container.size > 0

    def read_pictures_alone(self) -> None:
        """Leave out all other streams: what is not read cannot hold the pictures up."""
        from av.stream import Discard

        for stream in self.container.streams:
            if stream.index != self.stream.index:
                stream.discard = Discard.all

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Width of a pixel over its height, as the container or the codec claims, or None.

        Raises:
            DamageError: that cannot be read.
        """
        with libav():
            claimed = self.stream.sample_aspect_ratio
            return Fraction(claimed) if claimed else None

    @property
    def nominal_seconds(self) -> float:
        """Length of a picture that states none."""
        return min(LONGEST_SECONDS, float(1 / (self.rate or FALLBACK_FPS)))

    def seek(self, stamp: int, *, to_any: bool = False) -> None:
        """Go to the keyframe at or before a stamp of the video stream, or to any picture.

        Raises:
            DamageError: it cannot be found.
        """
        with libav():
            self.container.seek(stamp, stream=self.stream, backward=True, any_frame=to_any)


def decoded(decoder: Any, packet: Packet[Any] | None) -> list[Any]:
    """Frames that a decoder gives for a packet; None gets those that it still holds.

    Raises:
        DamageError: the packet cannot be decoded; the next one may be.
    """
    with libav():
        frames: list[Any] = decoder.decode(packet)
        return frames


def stream_tick(stream: Any) -> Fraction:
    """Seconds per unit of a stream's stamps."""
    base = stream.time_base
    return Fraction(base) if base and 0 < base <= _LONGEST_TICK else _FALLBACK_TICK


def _is_fault_of_binding(error: DamageError) -> bool:
    import av

    return not isinstance(error.__cause__, (av.FFmpegError, MemoryError))


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
