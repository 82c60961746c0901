"""One clock for all tracks of a file, whatever the file's own clock does: pure arithmetic, without libav.

A file's clock may start again (recordings joined end to end) or leap ahead. All tracks do so together, if not
at the same packet; it is judged over all of them, and each stretch between two such places is moved as a
whole, so that sound and pictures stay together.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from svlm_cli.media.clock.passages import Break, Passage, TrackState, Verdict
from svlm_cli.media.clock.timed import JUMP_SECONDS, RESET_SECONDS, ItemT, Join, Timed
from svlm_cli.media.clock.wraps import leap_seconds

SEAM_SECONDS = 0.3
"""Sound that reaches no further beyond its pictures is what fills an encoder's first or last frame."""
_LOOK_AHEAD_SECONDS = 2.0
_MOST_HELD = 4096


class Joins:
    """Moves every stretch of a file to the end of the one before it; the first stays where it is.

    Pictures join pictures. Where the sound of a stretch begins before its pictures or ends after them by more
    than ``SEAM_SECONDS``, the sound decides, so that none is lost.

    Args:
        tracks: the tracks of the file that are read.
        picture: which of them shows; None where none does.
        still_seconds: how long nothing may come where pictures are all there is.
        wrap_seconds: after how long the clock begins again.

    Attributes:
        joins: met so far.
    """

    def __init__(
        self,
        tracks: Iterable[int],
        picture: int | None,
        still_seconds: float = JUMP_SECONDS,
        wrap_seconds: float = math.inf,
    ) -> None:
        self.joins: list[Join] = []
        self._known = frozenset(tracks)
        self._picture = picture
        self._wrap_seconds = wrap_seconds
        self._is_silent = len(self._known) == 1
        self._jump = still_seconds if self._is_silent else JUMP_SECONDS
        self._stretch = Passage()
        self._stretches = [self._stretch]
        self._tracks: dict[int, TrackState] = {}
        self._held: list[Timed[Any]] = []
        self._parts: dict[int, Passage] = {}
        self._part_of: dict[int, int] = {}

    def end(self, track: int) -> float | None:
        """Where a track ends so far, on the common clock; None where nothing of it was met."""
        found = [each.ends[track] + each.shift for each in self._stretches if track in each.ends]
        return max(found, default=None)

    def shifted(self, items: Iterable[Timed[ItemT]]) -> Iterator[tuple[Timed[ItemT], float | None]]:
        """Every item, in its order, with the seconds to add to its times; None where its times are damage."""
        for each in items:
            yield from self.put(each)
        yield from self.put(None)

    def put(self, item: Timed[ItemT] | None) -> Iterator[tuple[Timed[ItemT], float | None]]:
        """What can be said after one more item, as ``shifted`` has it; None is the end.

        What follows a leap is held back for two seconds of it at most, until it shows what has leapt.
        """
        queue = deque[Timed[ItemT] | None]([item])
        while queue:
            each = queue.popleft()
            if each is not None:
                if self._begins_part(each) and not (self._held and self._begins_part(self._held[0])):
                    yield from self.put(None)  # what is held is of the part before
                elif not self._held and not self._leaps(each):
                    yield each, self._taken(each)
                    continue
                self._held.append(each)
            if not self._held:
                return
            held = self._held
            verdict = self._verdict(held, is_last=each is None)
            if verdict is not None:
                self._held = []
                yield from self._released(held[: verdict.number], verdict.kind)
                queue.extendleft(reversed(held[verdict.number :] + ([None] if each is None else [])))

    @property
    def shift(self) -> float | None:
        """What is to be added to all that goes on from here; None while that differs or is not known."""
        if self._held or any(each.stretch is not self._stretch for each in self._tracks.values()):
            return None
        return self._stretch.shift

    def knows(self, track: int) -> bool:
        """Whether anything of a track has been placed."""
        return track in self._tracks

    def is_reached(self, seconds: float, following: float | None = None) -> bool:
        """Whether what has come is near to a time of the file's clock; beyond a leap, for all that will come.

        Args:
            seconds: the time.
            following: the stamp of what is put next; None where nobody knows.
        """
        if seconds <= self._stretch.newest:
            return True
        own = [
            each.stamp for each in self._held if each.track == self._held[0].track and each.stamp is not None
        ]
        if not own or abs(seconds - own[-1]) > JUMP_SECONDS:
            return False
        latest = own[-1] if following is None else following
        return abs(latest - own[-1]) > JUMP_SECONDS or latest - own[0] > _LOOK_AHEAD_SECONDS / 2

    def end_shown(self, track: int, last: float, length: Callable[[float], float]) -> None:
        """Correct how long that lasts which is presented last of a track, at ``last`` by the file's clock."""
        known = self._tracks.get(track)
        if known is not None and not any(each.track == track for each in self._held):
            ends = known.stretch.ends
            ends[track] = last + length(ends.get(track, last) - last)

    def advance(self, track: int, before: float, stamp: float, end: float) -> None:
        """A track has gone on, packet by packet, to a stamp.

        Args:
            track: known, where ``shift`` is too.
            before: stamp of the last packet but one, within a second of the last.
            stamp: the stamp of the last.
            end: the furthest that any was presented to.
        """
        state = self._tracks[track]
        state.stamp, state.step = stamp, stamp - before
        if state.step > 0:
            state.usual = state.step
        stretch = state.stretch
        if end - stamp > JUMP_SECONDS:
            end = stamp + state.usual
        stretch.ends[track] = max(end, stretch.ends.get(track, end))
        stretch.newest = max(stretch.newest, end if self._is_silent else stamp)

    def _begins_part(self, each: Timed[ItemT]) -> bool:
        """Whether an item is the first of one of the recordings that a file is joined of."""
        return each.part > max(self._parts, default=0) and each.stamp is not None

    def _goes_to_part(self, each: Timed[ItemT]) -> bool:
        """Whether its track comes with this item to such a recording, where others have come before it."""
        return each.part != self._part_of.get(each.track, 0) and each.part in self._parts

    def _leaps(self, each: Timed[ItemT]) -> bool:
        """Whether an item does not go on from what was before it. A track left behind may move up here."""
        stamp = each.stamp
        if stamp is None or self._goes_to_part(each):
            return False
        now, track = self._stretch, self._tracks.get(each.track)
        if track is None:
            return now.newest > float("-inf") and stamp > now.newest + self._jump
        if track.stretch is not now:
            if self._parts and abs(stamp - track.stamp) <= JUMP_SECONDS:  # its own part is not over
                return False
            usual = max(track.usual, track.step)
            if 0 <= stamp - track.stamp <= 2 * usual:  # the rest of it comes late in the file
                return False
            from_now, from_own = abs(stamp - now.newest), abs(stamp - track.stamp)
            if from_now > max(from_own, RESET_SECONDS):
                return from_own > JUMP_SECONDS or stamp < track.stamp - RESET_SECONDS
            if now.newest - stamp > RESET_SECONDS or from_now > JUMP_SECONDS:
                return True
            track.stretch, track.stamp = now, stamp
            return False
        longest = max(self._jump, 2 * track.step)  # slides may be far apart
        return stamp < track.stamp - RESET_SECONDS or stamp > now.newest + longest

    def _taken(self, each: Timed[ItemT]) -> float:
        """The shift of an item that goes on from what was before it."""
        track = self._tracks.get(each.track)
        if each.stamp is not None and self._goes_to_part(each):
            self._part_of[each.track] = each.part
            track = self._tracks[each.track] = TrackState(self._parts[each.part], each.stamp)
        stretch = self._stretch if track is None else track.stretch
        if each.stamp is not None:
            if track is None:
                track = self._tracks[each.track] = TrackState(stretch, each.stamp)
            track.step = each.stamp - track.stamp
            if 0 < track.step <= JUMP_SECONDS:
                track.usual = track.step
            track.stamp = each.stamp
        start = each.stamp if each.start is None else each.start
        if start is None:
            return stretch.shift
        usual = 0.0 if track is None or each.track == self._picture else track.usual
        end = start + (each.length or usual)
        if start < stretch.starts.get(each.track, float("inf")):
            stretch.starts[each.track] = start
        if end > stretch.ends.get(each.track, float("-inf")):
            stretch.ends[each.track] = end
        reached = start if each.stamp is None else each.stamp
        reached += min(each.length, self._jump) if self._is_silent else 0.0
        if reached > stretch.newest:
            stretch.newest = reached
        return stretch.shift

    def _verdict(self, held: list[Timed[ItemT]], *, is_last: bool) -> Verdict | None:
        """What the first of these items has begun; None where that takes more of them to tell."""
        is_full = is_last or len(held) >= _MOST_HELD
        if self._begins_part(held[0]):
            new = [each for each in held if each.part == held[0].part and each.stamp is not None]
            is_shown = any(each.track == self._picture for each in new)
            is_long = (new[-1].stamp or 0.0) - (new[0].stamp or 0.0) > _LOOK_AHEAD_SECONDS
            return Verdict(len(held), Break.LEAP) if is_full or is_shown or is_long else None
        first = held[0].track
        own = [
            (number, each.stamp)
            for number, each in enumerate(held)
            if each.track == first and each.stamp is not None
        ]
        if len(own) == 1:
            if not is_full:
                return None
            are_new = self._are_new(held)
            is_shown = any(each.track == self._picture for each in held)
            if is_last and is_shown and all(are_new):  # nothing that comes behind it speaks against it
                return Verdict(len(held), Break.LEAP)
            return Verdict(1, Break.DAMAGE)
        leapt, second = own[0][1], own[1][1]
        known = self._tracks.get(first)
        before = self._stretch.newest if known is None else known.stamp
        longest = max(JUMP_SECONDS, 0.0 if known is None else 2 * known.step)  # slides may be far apart
        is_behind = known is not None and known.stretch is not self._stretch
        if before < leapt < second - longest and not is_behind:
            return Verdict(1, Break.SPARSE)
        if abs(second - leapt) > min(longest, abs(second - before)):
            return Verdict(1, Break.DAMAGE)
        number, newest = own[-1]
        if newest < own[-2][1] - RESET_SECONDS or newest > own[-2][1] + longest:
            return Verdict(number, Break.LEAP)
        moved = {each.track for each, is_new in zip(held, self._are_new(held), strict=True) if is_new}
        if is_full or newest - leapt > _LOOK_AHEAD_SECONDS or moved == self._known:
            return (
                Verdict(1, Break.CATCH_UP)
                if self._catches_up(held[0], moved)
                else Verdict(len(held), Break.LEAP)
            )
        return None

    def _catches_up(self, first: Timed[ItemT], moved: set[int]) -> bool:
        """Whether a track that was left behind comes to where the others are or were, which go on so."""
        track, now = self._tracks.get(first.track), self._stretch
        if track is None or track.stretch is now or first.stamp is None:
            return False
        begin = min(now.starts.values(), default=now.newest)  # fragments may hold minutes of one track
        is_near = begin - _LOOK_AHEAD_SECONDS <= first.stamp <= now.newest + _LOOK_AHEAD_SECONDS
        return is_near and not any(
            self._tracks[each].stretch is self._stretch for each in moved if each in self._tracks
        )

    def _are_new(self, held: list[Timed[ItemT]]) -> list[bool]:
        """Which of the items from a leap on come after it; what was before may come late in the file."""
        if self._begins_part(held[0]):
            return [each.part == held[0].part for each in held]
        moved, found, at = {held[0].track}, [], held[0].stamp or 0.0
        for each in held:
            if each.stamp is not None and each.track == held[0].track:
                at = each.stamp
            elif each.stamp is not None and each.track not in moved:
                own = self._tracks.get(each.track)
                if own is None or abs(each.stamp - at) <= abs(each.stamp - own.stamp):
                    moved.add(each.track)
            found.append(each.track in moved)
        return found

    def _released(self, held: list[Timed[ItemT]], kind: Break) -> Iterator[tuple[Timed[ItemT], float | None]]:
        if kind is Break.CATCH_UP:
            self._tracks[held[0].track].stretch = self._stretch
        if kind is not Break.LEAP:
            yield held[0], None if kind is Break.DAMAGE else self._taken(held[0])
            return
        are_new = self._are_new(held)
        shifts = [None if is_new else self._taken(each) for each, is_new in zip(held, are_new, strict=True)]
        old = [each for each, is_new in zip(held, are_new, strict=True) if not is_new]
        begins_part = self._begins_part(held[0])
        self._join([each for each, is_new in zip(held, are_new, strict=True) if is_new], old)
        if begins_part:
            self._parts[held[0].part] = self._stretch
        for each, shift in zip(held, shifts, strict=True):
            yield each, self._taken(each) if shift is None else shift

    def _join(self, new: list[Timed[ItemT]], old: list[Timed[ItemT]]) -> None:
        """Begin a stretch with what comes first of the new items of each track."""
        starts: dict[int, float] = {}
        for each in new:
            start = each.stamp if each.start is None else each.start
            if start is not None:
                starts[each.track] = min(start, starts.get(each.track, start))
        ends = {track: end for track in self._known if (end := self.end(track)) is not None}
        moved = {track: end for track, end in ends.items() if track in starts or not _goes_on(old, track)}
        at, start = self._edge(moved or ends, max), self._edge(starts, min)
        shift = at - start
        by = leap_seconds(self._stretch.shift - shift, self._stretch.newest, start, self._wrap_seconds)
        self.joins.append(Join(at, by))
        self._stretch = Passage(shift)
        self._stretches.append(self._stretch)
        for track in starts:
            if track in self._tracks:
                self._tracks[track].stretch = self._stretch
                self._tracks[track].stamp = starts[track]

    def _edge(self, found: dict[int, float], furthest: Callable[[Iterable[float]], float]) -> float:
        """Where a stretch begins or ends: as its pictures do, unless its sound reaches further."""
        edge = furthest(found.values())
        shown = found.get(-1 if self._picture is None else self._picture, edge)
        return shown if abs(shown - edge) <= SEAM_SECONDS else edge


def _goes_on(items: list[Timed[ItemT]], track: int) -> bool:
    """Whether a track has more than a few late items among these."""
    stamps = [each.stamp for each in items if each.track == track and each.stamp is not None]
    return bool(stamps) and max(stamps) - min(stamps) > RESET_SECONDS
