"""The network side of a live source: a thread that connects, reads packets, and connects again.

Packets are kept encoded, so that a minute of them costs little, and each is placed in stream time as it
arrives. Whoever decodes takes them from ``PacketBuffer`` at its own pace.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from svlm_cli.errors import SourceError, SourceLostError
from svlm_cli.media.address import LiveOptions
from svlm_cli.media.clock.wraps import wrap_seconds
from svlm_cli.media.container import DamageError, NoAnswerError, OpenVideo, libav
from svlm_cli.media.live.packets import Connection, Loss, PacketBuffer, Received
from svlm_cli.media.live.sent_again import SentAgain
from svlm_cli.media.live.source_clock import SourceClock, sender_utc
from svlm_cli.media.live.stamps import Stamps
from svlm_cli.media.packets import Restarts
from svlm_cli.media.probe import stated_duration

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

END_OF_DATA = "end of data"
FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 4.0
TELL_EVERY_SECONDS = 10.0
TOLD_MISSING_SECONDS = 1.0
# Between decoding and showing a picture, at most: all that follow one shown in a year would be late.
MOST_REORDERED_SECONDS = 30.0


class Receiver:
    """Fills a buffer from one source for as long as it lasts.

    Args:
        video: the first connection, open.
        connect: opens another one, within so many seconds.
        options: patience.
        is_finite: the source is a file with an end, which may be read on from anywhere.
        may_reconnect: False for standard input.
        sends_again: see ``Stamps.reconnect``.
        sends_parts: whether a file can be read on from anywhere; else it is read from its beginning.
        tell: takes one sentence about what went wrong.
        source_clock: told which stamps lie where.
        clock: seconds of wall time.
    """

    def __init__(
        self,
        video: OpenVideo,
        connect: Callable[[float], OpenVideo],
        options: LiveOptions,
        tell: Callable[[str], None],
        *,
        is_finite: bool,
        may_reconnect: bool,
        sends_again: bool,
        sends_parts: Callable[[], bool] = lambda: True,
        source_clock: SourceClock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.buffer = PacketBuffer(keeps_all=is_finite or not may_reconnect)
        self._video: OpenVideo | None = video
        self._connect = connect
        self._options = options
        self._tell = tell
        self._is_finite = is_finite
        self._may_reconnect = may_reconnect and options.reconnect_seconds > 0
        self._sends_again = sends_again
        self._sends_parts = sends_parts
        self._clock = clock
        self._source_clock = source_clock or SourceClock()
        self._connection = Connection.of(video, 0)
        self._num_put = 0
        self._has_read = False
        self._sent = SentAgain()
        self._may_restart = not video.stream.frames  # MP4 with an index hides what it does on purpose
        self._restarts, self._before = Restarts(), -math.inf
        self._first_stamp: float | None = None
        self._span: tuple[float, float] | None = None
        self._last_stamp: int | None = None
        self._ended_at: int | None = None
        self._jump_told_at = -math.inf
        self._stamps = Stamps(
            self._connection.nominal_seconds,
            runs_by_clock=not is_finite,
            wrap_seconds=wrap_seconds(video.container.format.name),
        )
        self._thread = threading.Thread(target=self._run, name="svlm-receive", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self, wait_seconds: float) -> None:
        """Stop; a thread that hangs in the network closes its connection when that gives up."""
        self.buffer.close()
        if self._thread.is_alive():
            self._thread.join(wait_seconds)
        elif self._video is not None:
            self._video.close()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            while self._video is not None and not self.buffer.is_closed:
                reason = self._read(self._video)
                is_over = self.buffer.is_closed or self._is_over(self._video, reason)
                self._video.close()
                self._video = None
                if is_over:
                    break
                self._video = self._again(reason)
        except Exception as failure:
            error = failure
        finally:
            if self._video is not None:
                self._video.close()
            self._video = None
            del self._connection  # with it goes the decoder, however long a closed source is held
            self.buffer.end(error)

    def _read(self, video: OpenVideo) -> str:
        """Read packets until there are no more; says why, empty at a plain end."""
        opened = last_picture = self._clock()
        has_begun = False
        try:
            for packet in self._packets(video):
                now = self._clock()
                if self.buffer.is_closed:
                    return "closed"
                if self.buffer.barren_number == self._connection.number:
                    return self._given_up(f"nothing of {self._options.stall_seconds:g} s could be decoded")
                if packet is None:
                    if now - last_picture > self._options.stall_seconds:
                        return self._given_up(f"no picture for {self._options.stall_seconds:g} s")
                    continue
                last_picture = now
                # What comes before a keyframe cannot be decoded; where there is none, the decoder will tell.
                has_begun = has_begun or packet.is_keyframe or now - opened > self._options.stall_seconds
                if has_begun:
                    self._put(packet, now)
                    last_picture = self._clock()
        except NoAnswerError:
            return self._given_up(f"nothing came for {self._options.stall_seconds:g} s")
        except DamageError as error:
            return error.message
        return ""

    def _given_up(self, reason: str) -> str:
        """The reason; what is given up was not sent whole, so that its beginning may come again."""
        self._sent = SentAgain()
        return reason

    def _packets(self, video: OpenVideo) -> Iterator[Packet[VideoStream] | None]:
        """The pictures' packets; None for others, as a sign of life."""
        for packet in video.packets():
            yield packet if packet.stream_index == video.stream.index else None

    def _put(self, packet: Packet[VideoStream], now: float) -> None:
        unit = self._connection.unit
        stamp = packet.dts if packet.dts is not None else packet.pts
        if self._may_restart and stamp is not None:
            before, self._before = self._before, float(stamp * unit)
            packet = self._restarts.shown(packet, before - self._before)
        if not self._is_finite and not self._sends_again:
            counted = self._num_put * self._connection.nominal_seconds  # raw H.264 has no times
            self._check_whether_a_file(packet, counted if stamp is None else float(stamp * unit), now)
        placed = self._stamps.place(None if stamp is None else float(stamp * unit), now)
        if self._first_stamp is None and stamp is not None:
            self._first_stamp = float(stamp * unit)
        self._note_read(packet)
        if placed.jump_seconds is not None and now - self._jump_told_at > TELL_EVERY_SECONDS:
            self._jump_told_at = now
            where = self._place(placed.decode_seconds)
            self._tell(
                f"the source's clock jumped by {placed.jump_seconds:+.1f} s {where}; "
                "the stream goes on without a gap"
            )
        pts = packet.pts
        if pts is not None:
            place = pts * unit + Fraction(placed.offset_seconds)
            self._source_clock.note(float(place), placed.offset_seconds, sender_utc(packet))
            pts = round(place / unit)
        dts = round(Fraction(placed.decode_seconds) / unit)
        if placed.is_first if pts is None else abs(pts - dts) * unit > MOST_REORDERED_SECONDS:
            pts = dts
        with libav():
            packet.pts, packet.dts = pts, dts
        self._num_put += 1
        self.buffer.put(Received(packet, self._connection, placed.decode_seconds))

    def _check_whether_a_file(self, packet: Packet[VideoStream], seconds: float, now: float) -> None:
        """Raises SourceError where this source is sent again from its beginning."""
        if self._num_put:
            self._sent.goes_on(seconds, now)
        elif self._sent.begins(seconds, bytes(packet), now):
            raise SourceError(
                "the source is no broadcast but a file: its server tells no length, and has sent all of it, "
                "faster than it is shown, and now again",
                "stream a download of it, or: curl ADDRESS | svlm stream -",
            )

    def _note_read(self, packet: Packet[VideoStream]) -> None:
        """From where to where a file's own stamps go."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if not self._is_finite or stamp is None:
            return
        self._last_stamp = stamp
        begin, unit = float(stamp * self._connection.unit), self._connection.unit
        end = begin + float((packet.duration or 0) * unit)
        first, furthest = self._span or (begin, end)
        self._span = min(first, begin), max(furthest, end)

    def _place(self, seconds: float) -> str:
        """A place as whoever takes the packets counts, in words; before the first picture nobody counts."""
        if self.buffer.shown_number < 0 and self._span is None:
            return "before anything was shown"
        return f"at {seconds + self.buffer.shift_seconds:.1f} s"

    def _place_shown(self) -> str:
        """Where the newest packet lies, in words; where packets give no pictures, the end of the last one."""
        is_barren = self.buffer.barren_number == self._connection.number
        if is_barren and self.buffer.shown_number >= 0:
            return f"at {self.buffer.shown_seconds:.1f} s"
        return self._place(self._stamps.reached_seconds)

    def _is_over(self, video: OpenVideo, reason: str) -> bool:
        """Whether the source has ended, and was not lost."""
        if self._is_finite and not (video.has_size or video.is_playlist) and self._has_read_all(video):
            return True
        if not self._may_reconnect:
            if reason and reason != "closed":
                self._tell(f"the source ended {self._place_shown()}: {reason}")
            return True
        return self._is_finite and not reason

    def _has_read_all(self, video: OpenVideo) -> bool:
        """Whether a file whose length in bytes nobody tells has been read to its end.

        It has where its pictures last as long as it states, or where it has ended twice at the same one.
        """
        if self._span is None:
            return False
        first, end = self._span
        stated = stated_duration(video, first)
        missing = math.inf if stated is None else stated - (end - first)
        if -TOLD_MISSING_SECONDS < missing <= 2 * self._connection.nominal_seconds:
            return True
        if self._last_stamp is None or self._last_stamp != self._ended_at:
            self._ended_at, self._last_stamp = self._last_stamp, None
            return False
        if stated is not None and missing > TOLD_MISSING_SECONDS:
            self._tell(f"the source ended {self._place_shown()}, of {stated:.1f} s that it states")
        return True

    def _again(self, reason: str) -> OpenVideo | None:
        """Connect again, with pauses that grow until a picture has been shown.

        Raises:
            SourceLostError: it did not come back in time.
            SourceError: it is a file of which nothing can be read.
        """
        self.buffer.put(Received(None, self._connection, self._stamps.reached_seconds))
        loss, is_new = self._lost(reason)
        stopped = f"the source stopped {loss.place} ({reason or END_OF_DATA}); connecting again"
        # A playlist may have been closed: that is no loss, and shows at the first try.
        may_be_over = is_new and self._sends_again and not reason
        if is_new and not may_be_over:
            self._tell(stopped)
        while (waited := self._clock() - loss.at_seconds) < self._options.reconnect_seconds:
            pause = loss.delay_seconds * random.uniform(0.5, 1.0)
            time.sleep(min(pause, self._options.reconnect_seconds - waited))
            delay = min(2 * loss.delay_seconds, LONGEST_DELAY_SECONDS)
            loss = replace(loss, num_tries=loss.num_tries + 1, delay_seconds=delay)
            if self.buffer.is_closed:
                return None
            try:
                video = self._connect(self._options.reconnect_seconds - (self._clock() - loss.at_seconds))
            except SourceError as error:
                reason = error.message
            else:
                if not self._is_finite and self._sends_again and video.container.duration:
                    video.close()
                    return None  # a playlist that has got an end: the broadcast is over
                if may_be_over:
                    self._tell(stopped)
                return self._resumed(video, loss)
            if may_be_over:
                self._tell(stopped)
                may_be_over = False
        raise SourceLostError(
            f"the source stopped {loss.place} and did not come back within "
            f"{self._options.reconnect_seconds:g} s: {reason}",
            "try longer with --reconnect-seconds",
        )

    def _lost(self, reason: str) -> tuple[Loss, bool]:
        """The loss that is to be mended, and whether it is a new one: the source was back in between.

        Raises:
            SourceError: it is a file of which nothing can be read.
        """
        loss = self._connection.loss
        self._has_read = self._has_read or self._num_put > 0
        if self._is_finite and loss is not None and not self._has_read:
            raise SourceError(f"nothing of the source can be read: {reason}", "stream a download of it")
        if loss is None or self._was_back():
            return Loss(self._clock(), self._place_shown(), 0, FIRST_DELAY_SECONDS), True
        return loss, False

    def _was_back(self) -> bool:
        """Whether the connection that is lost now has shown a picture, or still can, of what waits."""
        number = self._connection.number
        return self.buffer.shown_number >= number or (self._num_put > 0 and self.buffer.taken_number < number)

    def _resumed(self, video: OpenVideo, loss: Loss) -> OpenVideo:
        self._connection = Connection.of(video, self._connection.number + 1, loss)
        self._num_put = 0
        self._stamps.reconnect(
            self._connection.nominal_seconds, sends_again=self._sends_again or self._is_finite
        )
        if self._is_finite and self._first_stamp is not None and self._sends_parts():
            seconds = self._first_stamp + self._stamps.reached_seconds
            with suppress(DamageError):  # then it is read from its beginning, and what was shown comes late
                video.seek(round(seconds / self._connection.unit))
        return video
