"""Packets between the thread that receives them and the one that decodes them."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from svlm_cli.media.container import OpenVideo
from svlm_cli.media.file.colours import StatedColours

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

BUFFER_SECONDS = 60.0
BUFFER_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Loss:
    """A source was lost, and has been looked for since.

    Args:
        at_seconds: wall time.
        place: where, in words.
        num_tries: how often it has tried to connect again so far.
        delay_seconds: before the next one.
    """

    at_seconds: float
    place: str
    num_tries: int
    delay_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """What is needed to decode the packets of one connection, also after it is closed.

    Args:
        number: its number, from 0.
        decoder: the decoder of its pictures.
        unit: seconds per unit of its stamps.
        nominal_seconds: length of a picture that states none.
        pixel_aspect: width of a pixel over its height, as claimed; None where it is not.
        stated: what the container says of colours.
        loss: the loss that it comes after; None for the first.
    """

    number: int
    decoder: VideoCodecContext
    unit: Fraction
    nominal_seconds: float
    pixel_aspect: Fraction | None
    stated: StatedColours
    loss: Loss | None = None

    @classmethod
    def of(cls, video: OpenVideo, number: int, loss: Loss | None = None) -> Connection:
        """Of an open one."""
        decoder, aspect = video.stream.codec_context, video.pixel_aspect
        return cls(
            number, decoder, video.tick, video.nominal_seconds, aspect, StatedColours.of(decoder), loss
        )


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """A packet in stream time.

    Args:
        packet: its presentation stamp is in stream time, in units of its connection, or None. None where
            the connection was lost behind the packet before.
        connection: over which it came.
        seconds: its place in decoding order.
    """

    packet: Packet[VideoStream] | None
    connection: Connection
    seconds: float

    @property
    def is_keyframe(self) -> bool:
        """Whether decoding can begin here."""
        return self.packet is not None and self.packet.is_keyframe

    @property
    def num_bytes(self) -> int:
        """What it holds in memory."""
        return 0 if self.packet is None else self.packet.size


class PacketBuffer:
    """What has arrived and is not decoded yet, between two threads.

    Until the first packet is taken, a live source's buffer holds the newest pictures, from a keyframe on.

    Attributes:
        shift_seconds: how much later than its place a packet is shown; known to whoever takes them.
        is_begun: whether any has been taken.
        taken_number: the number of the connection whose packets are being decoded; -1 before any.
        shown_number: the number of the newest connection of which a picture was shown; -1 before any.
        shown_seconds: where the newest picture that was shown ends.
        barren_number: the number of the newest connection whose packets give no pictures; -1 for none.
    """

    def __init__(self, *, keeps_all: bool) -> None:
        self._changed = threading.Condition()
        self._packets: deque[Received] = deque()
        self._num_bytes = 0
        self._keeps_all = keeps_all
        self._ended = False
        self._error: Exception | None = None
        self.is_closed = False
        self.shift_seconds = 0.0
        self.is_begun = False
        self.taken_number = self.shown_number = self.barren_number = -1
        self.shown_seconds = 0.0
        self._newest_seconds = 0.0

    @property
    def newest_seconds(self) -> float:
        """Where the newest packet is shown."""
        return self._newest_seconds + self.shift_seconds

    def put(self, item: Received) -> None:
        """Add a packet; waits while the buffer is full."""
        with self._changed:
            if not self._keeps_all and item.is_keyframe:
                self._packets.clear()
                self._num_bytes = 0
            while not self.is_closed and self._is_full(item):
                self._changed.wait(1.0)
            self._packets.append(item)
            self._num_bytes += item.num_bytes
            self._newest_seconds = item.seconds
            self._changed.notify_all()

    def take(self, timeout_seconds: float) -> Received | None:
        """The next packet; None where none came in time.

        Raises:
            EOFError: there will be no more.
            SourceError: what ended the source.
        """
        with self._changed:
            self._keeps_all = True
            if not self._packets and not self._ended:
                self._changed.wait(timeout_seconds)
            if self._packets:
                item = self._packets.popleft()
                self._num_bytes -= item.num_bytes
                self.is_begun = True
                self.taken_number = item.connection.number
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            if self._ended:
                raise EOFError
            return None

    def skip_to(self, seconds: float) -> bool:
        """Drop all before the last keyframe that lies at or before ``seconds``; whether there was any."""
        with self._changed:
            places = [
                index
                for index, item in enumerate(self._packets)
                if item.is_keyframe and item.seconds <= seconds
            ]
            for _ in range(places[-1] if places else 0):
                self._num_bytes -= self._packets.popleft().num_bytes
            self._changed.notify_all()
            return bool(places and places[-1])

    def end(self, error: Exception | None = None) -> None:
        """No more will come."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody takes any more."""
        with self._changed:
            self.is_closed = True
            self._packets.clear()
            self._changed.notify_all()

    def _is_full(self, item: Received) -> bool:
        if not self._packets:
            return False
        return item.seconds - self._packets[0].seconds > BUFFER_SECONDS or self._num_bytes > BUFFER_BYTES
