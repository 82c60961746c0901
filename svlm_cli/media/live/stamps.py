"""Where a live source's packets lie in the stream: time stamps that may jump, run back or be missing.

Pure arithmetic over packets in decoding order. A stamp is believed as long as it goes on about as fast as
packets arrive; where it does not, the stream goes on from where it was, and the jump is told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from svlm_cli.media.clock.wraps import leap_seconds

RESET_SECONDS = 1.0
JUMP_SECONDS = 10.0
OVERLAP_SECONDS = 60.0
RESENT_WITHIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Placed:
    """What to do with a packet.

    Args:
        offset_seconds: the seconds to add to its own stamps.
        decode_seconds: its place in decoding order, in stream time.
        jump_seconds: how far its source's clock has jumped, or None.
        is_first: whether it is the first of a connection.
    """

    offset_seconds: float
    decode_seconds: float
    jump_seconds: float | None = None
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class _Resent:
    """A source is back and sends again what was there: up to which place, and since when."""

    reached_seconds: float
    back_seconds: float


class Stamps:
    """Places one packet after another, over any number of connections to the same source.

    Args:
        nominal_seconds: between packets that have no stamps.
        runs_by_clock: whether packets come as time goes by; else as fast as they can be sent, of a file whose
            stamps stay what they are, however much of it is sent again.
        wrap_seconds: after how long the source's clock begins again.
    """

    def __init__(
        self, nominal_seconds: float, *, runs_by_clock: bool = True, wrap_seconds: float = math.inf
    ) -> None:
        self._wrap_seconds = wrap_seconds
        self.nominal_seconds = nominal_seconds
        self._runs_by_clock = runs_by_clock
        self._least_delay = math.inf
        self._offset = 0.0
        self._stamp: float | None = None
        self._place: float | None = None
        self._arrived = 0.0
        self._is_new_clock = False
        self._is_first = True
        self._sends_again = False
        self._resent: _Resent | None = None

    @property
    def reached_seconds(self) -> float:
        """Place of the packet placed last."""
        return self._place or 0.0

    def reconnect(self, nominal_seconds: float, *, sends_again: bool) -> None:
        """What comes next comes over another connection.

        Args:
            nominal_seconds: as in the constructor.
            sends_again: whether such a source sends anew what it has sent, at once, under the same stamps (a
                playlist's last segments, a file from a keyframe on), so that a step back is no new clock.
        """
        self.nominal_seconds = nominal_seconds
        self._is_new_clock = self._is_first = True
        self._sends_again = sends_again

    def place(self, stamp_seconds: float | None, arrived_seconds: float) -> Placed:
        """Place the next packet.

        Args:
            stamp_seconds: its decoding time by its own clock (its presentation time, where it has only
                that), None where it has none.
            arrived_seconds: wall time.
        """
        before, is_new = self._place, self._is_new_clock
        waited = arrived_seconds - self._arrived
        jump = None
        if before is None:
            place = 0.0
        elif stamp_seconds is None or self._stamp is None:
            place = self._after(before, arrived_seconds)
        elif self._is_believed(delta := stamp_seconds - self._stamp, waited):
            place = before + delta
            if is_new and delta < 0 and self._runs_by_clock:
                self._resent = _Resent(before, arrived_seconds)
        else:
            place = self._after(before, arrived_seconds)
            # That a source which was lost has begun to count anew is no news.
            jump = None if is_new else leap_seconds(delta, self._stamp, stamp_seconds, self._wrap_seconds)
        place = self._unless_counted_anew(place, arrived_seconds)
        if stamp_seconds is not None:
            self._stamp = stamp_seconds
            self._offset = place - stamp_seconds
            self._is_new_clock = False
        is_first, self._is_first = self._is_first, False
        self._place, self._arrived = place, arrived_seconds
        self._least_delay = min(self._least_delay, arrived_seconds - place)
        return Placed(self._offset, place, jump, is_first)

    def _unless_counted_anew(self, place: float, arrived_seconds: float) -> float:
        """What is sent again comes at once: a source that takes its time over it has begun to count anew."""
        if self._resent is None:
            return place
        if place > self._resent.reached_seconds:
            self._resent = None
        elif arrived_seconds - self._resent.back_seconds > RESENT_WITHIN_SECONDS:
            place = arrived_seconds - self._least_delay
            self._resent = None
        return place

    def _is_believed(self, delta: float, waited: float) -> bool:
        if self._is_new_clock:
            # The same clock: what was lost, what was sent again, or both.
            overlap = OVERLAP_SECONDS if self._runs_by_clock else math.inf
            furthest_back = -overlap if self._sends_again else 0.0
            return furthest_back <= delta <= waited + JUMP_SECONDS
        return delta >= -RESET_SECONDS and (delta <= JUMP_SECONDS or delta <= waited + JUMP_SECONDS)

    def _after(self, before: float, arrived_seconds: float) -> float:
        """Place of a packet that its stamp cannot place: one picture behind ``before``, or by the clock.

        By the clock: as long after the packet that came soonest, for its place, as it came after that one in
        wall time. Others were held up on the way, the last one before a loss until that was noticed.
        """
        waited = arrived_seconds - self._arrived
        if not self._is_first and waited <= RESET_SECONDS:
            return before + self.nominal_seconds
        if not self._runs_by_clock:
            return before + waited
        return max(before + self.nominal_seconds, arrived_seconds - self._least_delay)
