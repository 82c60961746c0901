"""Which picture is on screen when: the frame rule, without any decoder.

A video is a sequence of pictures in presentation order, each with the position at which it
appears. The picture on screen at ``t`` is the last one that appears at or before ``t``; before the
first picture it is the first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from svlm_cli.media.source import Guide

TIME_TOLERANCE_SECONDS = 1e-6
SHORTEST_STEP_SECONDS = 0.05
RESET_SECONDS = 1
# No picture stays longer: damaged stamps claim years.
LONGEST_SECONDS = 3600


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture, not yet converted.

    Args:
        start_seconds: when it appears, counted from the first picture of the video.
        duration_seconds: how long it stays if no other follows.
        rgb: makes the image, uint8 RGB of shape (height, width, 3); costs time at each call.
    """

    start_seconds: float
    duration_seconds: float
    rgb: Callable[[], np.ndarray]

    @property
    def end_seconds(self) -> float:
        """When it leaves the screen if no other follows."""
        return self.start_seconds + self.duration_seconds


@dataclass(frozen=True, slots=True)
class Steps:
    """The times at which a stream looks at a video.

    Args:
        fps: frames per second looked at.
        step_seconds: seconds per step; ``fps * step_seconds`` must be a whole number.
        start_seconds: where the first step starts.
        duration_seconds: the video counts as ended this long after the start; None: all of it.

    Raises:
        ValueError: a value outside these limits.
    """

    fps: float
    step_seconds: float
    start_seconds: float = 0.0
    duration_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.step_seconds <= 0:
            raise ValueError(f"fps and step_seconds must be above 0, not {self.fps} and {self.step_seconds}")
        frames = self.fps * self.step_seconds
        if self.num_frames < 1 or abs(self.num_frames - frames) > TIME_TOLERANCE_SECONDS:
            raise ValueError(f"fps * step_seconds must be a whole number of frames, not {frames}")
        if self.start_seconds < 0 or (self.duration_seconds is not None and self.duration_seconds <= 0):
            raise ValueError(f"cannot watch {self.duration_seconds} seconds from {self.start_seconds}")

    @property
    def num_frames(self) -> int:
        """Frames of one step."""
        return round(self.fps * self.step_seconds)

    @property
    def num_steps(self) -> int | None:
        """Most steps there can be; None where only the video's end limits them."""
        if self.duration_seconds is None:
            return None
        return math.ceil(self.duration_seconds / self.step_seconds - TIME_TOLERANCE_SECONDS)

    def starts(self, guide: Guide | None = None) -> Iterator[float]:
        """Where each step starts, in seconds; those that ``guide`` leaves out are missing."""
        number = 0
        while True:
            start = self.start_seconds + number * self.step_seconds
            if guide is not None:
                number += round((guide.next_start(start) - start) / self.step_seconds)
            if self.num_steps is not None and number >= self.num_steps:
                return
            yield self.start_seconds + number * self.step_seconds
            number += 1

    def times(self, start_seconds: float) -> list[float]:
        """When to look within the step that starts there: at ``start + k / fps``.

        What appears at or after the end of ``duration_seconds`` is not looked at.
        """
        last = math.inf
        if self.duration_seconds is not None:
            last = self.start_seconds + self.duration_seconds - 2 * TIME_TOLERANCE_SECONDS
        return [min(start_seconds + k / self.fps, last) for k in range(self.num_frames)]


class Clock:
    """Turns presentation stamps, in presentation order, into seconds that never run backwards.

    The stamps are those of one clock (``media/clock/joins.py``). A picture without one follows at the pace of
    those before it. A stamp behind its predecessor is disorder and is held there; more than a second behind,
    it is a picture that a decoder hands out late, after damage. One more than an hour ahead is damaged,
    unless the next one goes on from there: then the clock was set, and the new stretch is joined to the old
    one.

    Args:
        tick: seconds per unit of a stamp.
        nominal_ticks: length of a picture that states none.
        origin: the stamp of second 0; None takes the first one placed.

    Attributes:
        counts: whether the very first picture had no stamp, so that positions come from counting.
        is_misplaced: whether the picture placed last has a stamp that cannot be right: it came more than a
            second too late, or is an hour ahead.
        jump_seconds: by which the clock was found to have been set ahead at the picture placed last.
    """

    def __init__(self, tick: Fraction, nominal_ticks: int, origin: int | None = None) -> None:
        self.tick = tick
        self.origin = origin
        self.counts = False
        self.is_misplaced = False
        self.jump_seconds = 0.0
        self._longest = max(1, int(LONGEST_SECONDS / tick))
        self._nominal_ticks = max(1, nominal_ticks)
        self._ahead: int | None = None
        self._offset = 0
        self._last: int | None = None
        self._gap = 0

    def place(self, stamp: int | None, ticks: int) -> tuple[float, float]:
        """Position and length, in seconds, of the next picture in presentation order.

        Args:
            stamp: its presentation stamp, or None where the file has none.
            ticks: its stated length, or 0.
        """
        length = min(ticks if ticks > 0 else self._nominal_ticks, self._longest)
        self.is_misplaced, self.jump_seconds = False, 0.0
        last = self._last
        if stamp is None:
            placed = (self.origin or 0) if last is None else last + (self._gap or length)
        elif last is None:
            placed = stamp + self._offset
        else:
            placed = self._after(last, stamp, length)
        if self.origin is None:
            self.origin, self.counts = placed, stamp is None
        if last is not None:
            self._gap = placed - last
        self._last = placed
        return self.seconds(placed), float(length * self.tick)

    def _after(self, last: int, stamp: int, length: int) -> int:
        """Where a picture with a stamp stands, the one before it being at ``last``."""
        placed = stamp + self._offset
        ahead, self._ahead = self._ahead, None
        if placed - last > self._longest:
            goes_on = ahead is not None and 0 <= stamp - ahead <= self._longest
            following = last + (self._gap or length)
            if goes_on:
                self.jump_seconds = float((placed - following) * self.tick)
                self._offset += following - placed
            else:
                self._ahead, self.is_misplaced = stamp, True
            return following
        if placed >= last:
            return placed
        self.is_misplaced = (last - placed) * self.tick > RESET_SECONDS
        return last

    @property
    def is_started(self) -> bool:
        """Whether a picture has been placed."""
        return self._last is not None

    @property
    def now_seconds(self) -> float:
        """Position of the picture placed last; 0 before any."""
        return 0.0 if self._last is None else self.seconds(self._last)

    def seconds(self, stamp: int) -> float:
        """Position of a stamp, without placing it."""
        return float((stamp - (self.origin or 0)) * self.tick)


class Playhead:
    """Answers what is on screen, at times that only grow, over pictures that are read once.

    Holds the picture on screen and those decoded ahead of it: never more than ``lasts_beyond`` was
    asked to look ahead.

    Args:
        pictures: in presentation order; None where there will be none for a while. From there on the last one
            stays on screen, until ``lasts_beyond`` is asked, which waits.
    """

    def __init__(self, pictures: Iterator[Picture | None]) -> None:
        self._pictures = pictures
        self._ahead: deque[Picture] = deque()
        self._shown: Picture | None = None
        self._image: np.ndarray | None = None
        self._newest: Picture | None = None
        self._exhausted = False
        self._is_paused = False

    def show(self, seconds: float) -> Picture | None:
        """The picture on screen; None only where there is no picture at all."""
        while self._ahead or (not self._is_paused and self._pull()):
            if self._shown is not None and self._ahead[0].start_seconds > seconds + TIME_TOLERANCE_SECONDS:
                break
            self._shown, self._image = self._ahead.popleft(), None
        return self._shown

    def image(self, seconds: float) -> np.ndarray | None:
        """The image on screen, converted once however often it is asked for; do not write to it."""
        picture = self.show(seconds)
        if picture is not None and self._image is None:
            self._image = picture.rgb()
        return self._image

    def lasts_beyond(self, seconds: float) -> bool:
        """Whether the video goes on after this time; reads ahead until that is known."""
        limit = seconds + TIME_TOLERANCE_SECONDS
        while self._newest is None or self._newest.start_seconds <= limit:
            if not self._pull() and not self._is_paused:
                break
        return self.end_seconds > limit

    @property
    def end_seconds(self) -> float:
        """Where the video ends; before its end was met, a time that it reaches at least."""
        if self._newest is None:
            return 0.0
        return self._newest.end_seconds if self._exhausted else self._newest.start_seconds

    def _pull(self) -> bool:
        """Decode one more picture into ``_ahead``; False at the end and where a pause begins."""
        self._is_paused = False
        if self._exhausted:
            return False
        try:
            picture = next(self._pictures)
        except StopIteration:
            self._exhausted = True
            return False
        if picture is None:
            self._is_paused = True
            return False
        self._ahead.append(picture)
        self._newest = picture
        return True
