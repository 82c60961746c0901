"""The decoding side of a live source: packets as they were received, pictures in stream time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from svlm_cli.errors import SourceError
from svlm_cli.media.container import DamageError, decoded
from svlm_cli.media.file.convert import RgbConverter
from svlm_cli.media.file.fields import FieldOrder, Woven
from svlm_cli.media.live.packets import Connection, PacketBuffer, Received
from svlm_cli.media.source import Guide
from svlm_cli.media.timeline import LONGEST_SECONDS, SHORTEST_STEP_SECONDS, Picture
from svlm_cli.settings import Viewing

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

TELL_EVERY_SECONDS = 10.0
GAP_SECONDS = 1.0
HURRY_SECONDS = 1.0
WAIT_SECONDS = 0.2
# Packets that a decoder may hold before it gives a picture: its threads, and pictures out of order.
MOST_HELD = 32


class LivePictures:
    """Decodes what a receiver has placed; for one thread.

    Args:
        buffer: the buffer of the receiver.
        tell: takes one sentence about what went wrong.
        guide: says whether anybody still waits.
        zero_seconds: position of the first picture.
        viewing: how pictures are shown.
        stall_seconds: a connection whose packets give no picture for so long is given up; infinity for never.

    Attributes:
        waited_seconds: spent so far waiting for the source.
        num_reconnects: how often it was lost and is back.
        error: what ended the source, once it has ended, if it did not end well.
    """

    def __init__(
        self,
        buffer: PacketBuffer,
        tell: Callable[[str], None],
        guide: Guide | None,
        zero_seconds: float,
        viewing: Viewing,
        stall_seconds: float,
    ) -> None:
        self._buffer = buffer
        self._tell = tell
        self._guide = guide
        self._zero = zero_seconds
        self._origin: float | None = None
        self._newest = -math.inf
        self._newest_end = -math.inf
        self._gap = (-math.inf, -math.inf)
        self._connection: Connection | None = None
        self._is_lost = self._is_back = False
        self._viewing = viewing
        self._stall_seconds = stall_seconds
        self._barren_since: float | None = None
        self._num_barren = 0
        self._converter: RgbConverter | None = None
        self._fields = FieldOrder(viewing, self._image)
        self._num_corrupt = 0
        self._told_at = -math.inf
        self.waited_seconds = 0.0
        self.num_reconnects = 0
        self.error: SourceError | None = None

    def all(self) -> Iterator[Picture | None]:
        """Pictures in presentation order, until the source ends or nobody waits for more; None at a loss.

        Then the decoder and its threads are let go of: where channels come and go, they are not to wait for
        the garbage collector.
        """
        try:
            yield from self._all()
        finally:
            self._connection = None
            self._fields.forget()

    def _all(self) -> Iterator[Picture | None]:
        for item in self._received():
            if item.packet is None:
                yield from self._pictures(None)
                yield from self._fields.finish()
                self._fields.forget()
                self._connection, self._is_lost = None, True
                self._barren_since, self._num_barren = None, 0
                yield None
            else:
                if self._connection is None:
                    self._connection, self._is_back = item.connection, self._is_lost
                yield from self._pictures(item.packet)
                self._watch(item)
        yield from self._pictures(None)
        yield from self._fields.finish()

    def is_gap(self, start_seconds: float, end_seconds: float) -> bool:
        """Whether the source was lost for (nearly) all of this time, as far as pictures have been read."""
        return self._gap[0] < start_seconds + SHORTEST_STEP_SECONDS and end_seconds <= self._gap[1]

    def shown_at(self, seconds: float, step_start_seconds: float) -> float:
        """Where to look for what is on screen: within a step in which a source came back, not before that."""
        lost, back = self._gap
        return back if lost < step_start_seconds <= seconds < back else seconds

    def hurry_to(self, seconds: float) -> None:
        """Pass over what need not be decoded to show what is on screen at ``seconds`` and later."""
        if self._origin is None or seconds - self._newest < HURRY_SECONDS:
            return
        if self._buffer.skip_to(seconds - self._buffer.shift_seconds) and self._connection is not None:
            self._connection.decoder.flush_buffers()
            self._fields.forget()
            self._barren_since, self._num_barren = None, 0

    def _watch(self, item: Received) -> None:
        """Note that nothing has come of the packets of a connection for too long."""
        self._num_barren += 1
        if self._barren_since is None:
            self._barren_since = item.seconds
        lasted = item.seconds - self._barren_since
        if lasted > self._stall_seconds and self._num_barren > MOST_HELD:
            self._buffer.barren_number = item.connection.number

    def _received(self) -> Iterator[Received]:
        while self._guide is None or not self._guide.is_stopped:
            began = time.perf_counter()
            try:
                item = self._buffer.take(WAIT_SECONDS)
            except EOFError:
                return
            except SourceError as error:
                self.error = error
                return
            self.waited_seconds += time.perf_counter() - began
            if item is not None:
                yield item

    def _pictures(self, packet: Packet[VideoStream] | None) -> Iterator[Picture]:
        """Decode a packet; None gets what the decoder still holds."""
        connection = self._connection
        if connection is None:
            return
        try:
            frames = decoded(connection.decoder, packet)
        except DamageError:
            self._note_corrupt()
            return
        for frame in frames:
            if frame.is_corrupt:
                self._note_corrupt()
                continue
            self._barren_since, self._num_barren = None, 0
            placed = self._placed(frame, connection)
            if placed is None:
                continue
            start, length = placed
            if self._is_back and start - self._newest_end > GAP_SECONDS:
                self._gap = (self._newest_end, start)
            self._is_back = False
            self._newest, self._newest_end = start, start + length
            self._buffer.shown_seconds = self._newest_end
            self._note_shown(connection)
            yield from self._fields.add(start, length, frame, self._note_corrupt)

    def _note_shown(self, connection: Connection) -> None:
        """A connection is alive once a picture of it is shown."""
        if self._buffer.shown_number == connection.number:
            return
        self._buffer.shown_number = connection.number
        if (loss := connection.loss) is not None:
            after = f"{time.monotonic() - loss.at_seconds:.1f} s"
            tries = "1 try" if loss.num_tries == 1 else f"{loss.num_tries} tries"
            self.num_reconnects += 1
            self._tell(f"the source is back after {after}, {tries}")

    def _image(self, picture: VideoFrame | Woven, on_failure: Callable[[], None]) -> np.ndarray:
        assert self._converter is not None  # there is a picture
        return self._converter.rgb(picture, on_failure)

    def _placed(self, frame: VideoFrame, connection: Connection) -> tuple[float, float] | None:
        """Where a frame lies in stream time, and its length; None if it cannot be shown or is late."""
        length = float(frame.duration * connection.unit) if frame.duration else connection.nominal_seconds
        if frame.pts is not None:
            stamp = float(frame.pts * connection.unit)
        elif self._origin is not None:
            stamp = self._newest - self._zero + self._origin + length
        else:
            stamp = 0.0
        if self._origin is None:
            self._origin = stamp
            self._buffer.shift_seconds = self._zero - stamp
        seconds = stamp - self._origin + self._zero
        if seconds <= self._newest:
            return None
        if self._converter is None:
            self._converter = RgbConverter(self._viewing, connection.pixel_aspect, connection.stated)
        if not self._converter.fits(frame):
            self._note_corrupt()
            return None
        return seconds, min(length, LONGEST_SECONDS)

    def _note_corrupt(self) -> None:
        self._num_corrupt += 1
        now = self._newest if math.isfinite(self._newest) else self._zero
        if now - self._told_at >= TELL_EVERY_SECONDS:
            self._told_at = now
            what = (
                "a damaged picture was"
                if self._num_corrupt == 1
                else f"{self._num_corrupt} damaged pictures were"
            )
            self._tell(f"{what} left out near {now:.1f} s; the one before was shown instead")
            self._num_corrupt = 0
