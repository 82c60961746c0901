"""How long a file lasts and where its clock leaps, by its packets and not by its header; decodes nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.errors import SourceError, boundary
from svlm_cli.media.behind import recording_behind
from svlm_cli.media.clock.reordered import MOST_REORDERED
from svlm_cli.media.clock.timed import JUMP_SECONDS, Join
from svlm_cli.media.container import DamageError, OpenVideo
from svlm_cli.media.matroska import may_be_joined
from svlm_cli.media.packets import OneClock
from svlm_cli.media.probe import is_url, open_container, stated_duration, states_picture_length
from svlm_cli.media.timeline import TIME_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from av.index import IndexEntry

# What may be missing at the end of a whole file, whose header rounds.
_MISSING_SECONDS, _MISSING_SHARE = 1.0, 0.02
# What the end of the last picture that an index has and the length that a header claims may differ by, beside
# the distance of keyframes: a header may round to seconds.
_ROUNDED_SECONDS = 0.5
# What lies further apart in an index are keyframes alone.
_EVERY_SECONDS = 1.0
_AVI, _MOST_REORDERED = {"avi"}, 4
# Others state the length of sound and pictures together, or in decoding order.
_EXACT_FORMATS = {"mov", "mp4", "matroska", "webm", "avi"}


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A packet at which decoding can begin: the how-manieth of the pictures, and when it is shown."""

    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Survey:
    """A whole file on one clock: that of its first stretch, in seconds, not counted from its first picture.

    Args:
        start_seconds: where it begins for players and for ffmpeg: with the first track that does.
        picture_seconds: where the first picture is shown, whether it decodes or not.
        end_seconds: where the last one ends.
        key_frames: at most one a second, in the file's order; none where the clock goes on throughout.
        joins: where the file's clock starts again or leaps.
        is_cut_off: whether the pictures end long before the container states that they do.
        behind_byte: where in the file another recording begins that is not read; None for nowhere.
    """

    start_seconds: float
    picture_seconds: float
    end_seconds: float
    key_frames: tuple[KeyFrame, ...]
    joins: tuple[Join, ...]
    is_cut_off: bool
    behind_byte: int | None = None

    @property
    def is_regular(self) -> bool:
        """Whether the file's own clock goes on, so that a place can be sought by it."""
        return not self.joins

    def key_frames_before(self, seconds: float) -> list[KeyFrame]:
        """Those shown at or before a time, the latest first."""
        return sorted((each for each in self.key_frames if each.seconds <= seconds), key=_shown, reverse=True)


def survey(path: str) -> Survey:
    """Read every packet of a file; what was learned is kept for as long as the file stays as it is.

    Raises:
        SourceError: it cannot be read.
    """
    with boundary(f"cannot read {path}", SourceError, "check the path"):
        state = os.stat(path)
    return _survey(path, state.st_mtime_ns, state.st_size)


def length_seconds(path: str, origin_seconds: float) -> float | None:
    """How long the pictures of a file last, from a time of its own clock on.

    Where its index has all that its header claims, the header is believed; else all packets are read.

    Args:
        path: the path of the file; of an address only the header is known.
        origin_seconds: where its first picture is shown.

    Returns:
        Seconds, None where nobody knows.

    Raises:
        SourceError: it cannot be read.
    """
    with closing(open_container(path)) as video:
        names = set(video.container.format.name.split(","))
        if names == _AVI and origin_seconds <= _MOST_REORDERED * video.nominal_seconds:
            origin_seconds = 0.0  # it has no times but those of decoding, by which the first picture is late
        stated = stated_duration(video, origin_seconds)
        is_believed = bool(names & _EXACT_FORMATS) and not indexed_may_leap(video) and is_whole(video)
        if is_url(path) or (stated is not None and is_believed):
            return stated
    return survey(path).end_seconds - origin_seconds


def indexed_may_leap(video: OpenVideo) -> bool:
    """As ``may_leap``, of a container that may be sought in: the index of some is read at the first jump."""
    if may_leap(video):
        with suppress(DamageError):
            video.seek(video.stream.start_time or 0)
        if may_leap(video):
            return True
    return _may_leap_at_end(video)


def _may_leap_at_end(video: OpenVideo) -> bool:
    """Whether the last pictures of an MP4, whose index says when they are decoded, are shown much later."""
    is_local = not is_url(video.container.name.removeprefix("file:"))
    entries = video.stream.index_entries
    if not is_local or not video.is_mp4 or len(entries) == 0:
        return False
    with suppress(DamageError):
        video.seek(entries[max(0, len(entries) - MOST_REORDERED)].timestamp, to_any=True)
    begin = float((video.stream.start_time or 0) * video.tick)
    stated = stated_duration(video, begin)
    until = math.inf if stated is None else begin + stated - TIME_TOLERANCE_SECONDS
    times = [
        (packet.pts * video.tick, packet.dts * video.tick)
        for packet in video.packets_past_damage(video.stream)
        if packet.pts is not None and packet.dts is not None
    ]
    return any(shown - decoded > JUMP_SECONDS or shown >= until for shown, decoded in times)


def may_leap(video: OpenVideo) -> bool:
    """Whether an open file's clock may start again or leap, for all that its index says; reads nothing."""
    name = video.container.name.removeprefix("file:")
    if is_url(name):
        return False
    if "matroska" in video.container.format.name and Path(name).is_file() and may_be_joined(Path(name)):
        return True  # its index is of the first part until a jump reads the others', and of all of them then
    entries = video.stream.index_entries
    if not states_picture_length(video) or len(entries) < 2:
        return True
    if video.is_mp4 and len(entries) > video.stream.frames and _falls(entries):
        return True  # joined ones of fragments, whose index libav makes in the order of the file
    tick, last = float(video.tick), len(entries) - 1
    span = (entries[last].timestamp - entries[0].timestamp) * tick
    usual = span / last
    stated = stated_duration(video, float((video.stream.start_time or 0) * video.tick))
    # Keyframes are ten seconds apart by the encoders' own rule, a little more at 23.976 pictures a second.
    longest = JUMP_SECONDS + (_ROUNDED_SECONDS if usual > _EVERY_SECONDS else 0.0)
    if stated is not None:
        tail = stated - span - _ROUNDED_SECONDS
        if tail <= -2 * _ROUNDED_SECONDS or tail >= longest:
            return True
        # Behind the last keyframe there may be as much as between any two of them.
        tail -= 2 * usual
        if tail >= 0 and tail >= max((b.timestamp - a.timestamp) * tick for a, b in pairwise(entries)):
            return True
    return _has_hole(lambda number: entries[number].timestamp * tick, last, longest)


def _falls(entries: Iterable[IndexEntry]) -> bool:
    """Whether the times of an index go back somewhere; reads all of it, a million in half a second."""
    return any(after.timestamp < before.timestamp for before, after in pairwise(entries))


def _has_hole(seconds_of: Callable[[int], float], last: int, longest: float) -> bool:
    """Whether two neighbours of an index, in the order of time, are further apart; reads few of them."""
    parts = [(0, seconds_of(0), last, seconds_of(last))]
    while parts:
        first, begin, final, end = parts.pop()
        if end - begin <= longest:
            continue
        if final - first == 1:
            return True
        middle = (first + final) // 2
        at = seconds_of(middle)
        parts += [(first, begin, middle, at), (middle, at, final, end)]
    return False


def is_whole(video: OpenVideo) -> bool:
    """Whether the last packet that the index has lies within the file."""
    entries = video.stream.index_entries
    return len(entries) > 0 and entries[len(entries) - 1].pos < video.container.size


@lru_cache(maxsize=64)
def _survey(path: str, _changed: int, _size: int) -> Survey:
    with closing(open_container(path)) as video:
        clock = OneClock(video, video.stream)
        begin: float | None = None
        key_frames: list[KeyFrame] = []
        number = 0
        shown_until, newest, hides_any = 0.0, -math.inf, False
        for packet in clock.packets():
            if packet.stream_index != video.stream.index:
                continue
            if packet.pts is not None:
                seconds = float(packet.pts * video.tick)
                begin = seconds if begin is None else min(begin, seconds)
                newest = max(newest, seconds)
                length = float((packet.duration or 0) * video.tick) or video.nominal_seconds
                hides_any = hides_any or packet.is_discard
                shown_until = shown_until if packet.is_discard else max(shown_until, seconds + length)
                if packet.is_keyframe and (not key_frames or abs(seconds - key_frames[-1].seconds) >= 1):
                    key_frames.append(KeyFrame(number, seconds))
            number += 1
        end = clock.joins.end(video.stream.index) or begin or 0.0
        end = min(end, shown_until) if hides_any else end  # by an edit list
        joins = tuple(clock.joins.joins)
        with boundary(f"{path} does not state its length", SourceError, "get it again"):
            stated = stated_duration(video, begin or 0.0) if states_picture_length(video) else None
            start = video.container.start_time
        if stated is not None and not joins and not hides_any:
            track_end = (begin or 0.0) + stated
            if video.is_mp4 and newest < track_end < end:
                # It says how long a picture is decoded, which of the last one shown may be over a pause.
                end = track_end
            # As no leap is behind it, the last picture is believed to stay for as long as both of them say.
            end = max(end, min(shown_until, track_end))
        found = end - (begin or 0.0) + sum(max(0.0, join.by_seconds) for join in joins)
        missing = 0.0 if stated is None else stated - found
        return Survey(
            start_seconds=(begin or 0.0) if start is None else start / 1e6,
            picture_seconds=begin or 0.0,
            end_seconds=end,
            key_frames=tuple(key_frames) if joins else (),
            joins=joins,
            is_cut_off=missing > max(_MISSING_SECONDS, _MISSING_SHARE * (stated or 0.0)),
            behind_byte=recording_behind(path, video.container.format.name, video.stream.id),
        )


def _shown(key_frame: KeyFrame) -> float:
    return key_frame.seconds
