"""One segment of captions in a playlist, and where it lies on the source's own clocks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from svlm_cli.cue_text import timestamp
from svlm_cli.stream.outputs.formats import seconds_of
from svlm_cli.utc import utc_seconds, utc_text

TICKS_A_SECOND, TICKS = 90_000, 1 << 33
SEGMENT_SECONDS = 2.0
JUMP_SECONDS = 1.0
JOINED_AGAIN_SECONDS = 30.0  # so far off a live source may be joined behind a kill: some of its segments
OPENING, ENDING = "#EXTM3U\n", "#EXT-X-ENDLIST\n"
WHOLE_LIST = "#EXT-X-PLAYLIST-TYPE:EVENT\n"  # of all that was ever said; its end is told
_SEGMENT = re.compile(r"[0-9]{1,9}\.vtt")
_MOST_LOOKED_AT = 60
_NOT_MAPPED = "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000"
_MAPPED = re.compile(
    r"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:([0-9]{1,10}),LOCAL:([0-9]+:[0-9]{2}:[0-9]{2}\.[0-9]{3})\n"
)
_LISTED = re.compile(
    r"(#EXT-X-DISCONTINUITY\n)?(?:#EXT-X-PROGRAM-DATE-TIME:(\S+)\n)?#EXTINF:([0-9]{1,9}\.[0-9]{3}),\n[^\n]*?([0-9]+)\.vtt$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment in the playlist.

    Args:
        number: its media sequence number.
        seconds: how long it lasts.
        date: the date of its beginning by the source's clock; empty where it has none.
        is_jump: whether the source's time stamps jump before it.
    """

    number: int
    seconds: float
    date: str
    is_jump: bool = False

    def lines(self, folder: str) -> list[str]:
        """As the playlist says it."""
        return [
            *(["#EXT-X-DISCONTINUITY"] if self.is_jump else []),
            *([f"#EXT-X-PROGRAM-DATE-TIME:{self.date}"] if self.date else []),
            f"#EXTINF:{self.seconds:.3f},",
            f"{folder}/{self.number}.vtt",
        ]


@dataclass(frozen=True, slots=True)
class SegmentTime:
    """A second of the stream on the source's own clocks.

    Args:
        seconds: its time in the stream.
        pts_seconds: its time by the source's stamps; None where it has none.
        utc: seconds since 1970 by the source's own clock alone; None where it has none.
    """

    seconds: float
    pts_seconds: float | None = None
    utc: float | None = None

    def date(self, seconds: float) -> str:
        """Of a second of the stream near it."""
        return "" if self.utc is None else utc_text(self.utc + seconds - self.seconds)

    @property
    def line(self) -> str:
        """Where its second lies on the time stamps, as a segment says it."""
        if self.pts_seconds is None:
            return _NOT_MAPPED
        ticks = round(self.pts_seconds * TICKS_A_SECOND) % TICKS
        return f"X-TIMESTAMP-MAP=MPEGTS:{ticks},LOCAL:{timestamp(self.seconds)}"

    def jumps_behind(self, before: SegmentTime, *, was_killed: bool) -> bool:
        """Whether the source's time stamps went on otherwise than its time.

        Args:
            before: an earlier second.
            was_killed: whether another process has told it: a source that is joined again has gone on by
                about as much as the stream's seconds, and by as much as its own dates.
        """
        if self.pts_seconds is None or before.pts_seconds is None:
            return False
        passed, most = self.seconds - before.seconds, JOINED_AGAIN_SECONDS if was_killed else JUMP_SECONDS
        if was_killed and self.utc is not None and before.utc is not None:
            passed, most = self.utc - before.utc, JUMP_SECONDS
        off = self.pts_seconds - before.pts_seconds - passed
        return abs(math.remainder(off, TICKS / TICKS_A_SECOND)) > most


def listed_in(text: str) -> Iterator[Segment]:
    """The segments of a playlist that ``Segment.lines`` has written."""
    for jump, date, seconds, number in _LISTED.findall(text):
        yield Segment(int(number), float(seconds), date, bool(jump))


@dataclass(frozen=True, slots=True)
class SegmentPlace:
    """Where a playlist stood when a state was saved.

    Args:
        number: the segment that was not over.
        is_live: whether a window is listed, not all.
        segment_seconds: how long a segment lasts.
        has_list: whether there was anything to list.
    """

    number: int = 0
    is_live: bool = False
    segment_seconds: float = SEGMENT_SECONDS
    has_list: bool = False

    @classmethod
    def of(cls, held: str) -> SegmentPlace:
        """As ``CaptionPlaylist.held`` tells it; of another build, nothing is known."""
        with suppress(ValueError, KeyError, TypeError):
            content = json.loads(held)
            kind = bool(content["live"]), float(content["segment"]), bool(content["listed"])
            return cls(int(content["number"]), *kind)
        return cls()


def numbers_in(folder: Path) -> list[int]:
    """The segments that lie in a folder, in their order."""
    return sorted(int(path.stem) for path in folder.glob("*.vtt") if _SEGMENT.fullmatch(path.name))


def is_whole_segment(path: Path) -> bool:
    """Whether a segment is there, with its beginning and its end."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content.startswith(b"WEBVTT\n") and content.endswith(b"\n\n")


def is_whole_playlist(playlist: Path, folder: Path, before: int) -> bool:
    """Whether a playlist is as it is at an end: it lists whole segments without a gap, up to that number."""
    try:
        text = playlist.read_text("utf-8", "replace")
    except OSError:
        return False
    numbers = [each.number for each in listed_in(text)]
    is_ended = text.endswith(ENDING) if WHOLE_LIST in text else text.endswith("\n")
    if not text.startswith(OPENING) or not is_ended or not numbers:
        return text.startswith(OPENING) and (text.endswith(ENDING) or not before)
    is_gapless = numbers == list(range(numbers[0], max(numbers[0] + len(numbers), before)))
    return is_gapless and all(is_whole_segment(folder / f"{number}.vtt") for number in numbers)


def listed_again(listed: Iterable[Segment], folder: Path, place: SegmentPlace, most: int) -> list[Segment]:
    """What a playlist lists and what it lists no more though it lies there, without a gap up to a place.

    Args:
        most: how many a window lists.
    """
    known = {each.number: each for each in listed}
    numbers = sorted({*known, *(number for number in numbers_in(folder) if number < place.number)})
    if numbers:
        numbers = list(range(numbers[0], max(numbers[-1] + 1, place.number)))
    if place.is_live:
        numbers = numbers[-most:]
    return [known.get(each) or Segment(each, place.segment_seconds, "") for each in numbers]


def begun_behind(
    listed: Sequence[Segment], folder: Path, segment_seconds: float
) -> tuple[list[Segment], SegmentTime]:
    """What a live stream that was killed has left behind its list.

    Returns:
        The segment that was not over, if any, and where the newest lies that says where it lies.
    """
    before = SegmentTime(0.0)
    for each in islice(reversed(listed), _MOST_LOOKED_AT):
        if (before := _mark_of(each, folder, segment_seconds)).pts_seconds is not None:
            break
    number, last = max(numbers_in(folder), default=None), listed[-1] if listed else None
    if number is None or (last is not None and number != last.number + 1):
        return [], before
    stamp = None if last is None else utc_seconds(last.date)
    date = "" if stamp is None or last is None else utc_text(stamp + last.seconds)
    mark = _mark_of(Segment(number, segment_seconds, ""), folder, segment_seconds)  # that date is a guess
    is_jump = mark.jumps_behind(before, was_killed=True)
    return [Segment(number, segment_seconds, date, is_jump)], before if mark.pts_seconds is None else mark


def _mark_of(segment: Segment, folder: Path, segment_seconds: float) -> SegmentTime:
    """Where a listed segment lies on the source's clocks, by its file and its date."""
    try:
        text = (folder / f"{segment.number}.vtt").read_text("utf-8", "replace")
    except OSError:
        text = ""
    found = _MAPPED.match(text)
    if found is None or _NOT_MAPPED in found[0]:
        return SegmentTime(0.0)
    seconds, stamp = seconds_of(found[2]), utc_seconds(segment.date)
    begin = (segment.number + 1) * segment_seconds - segment.seconds
    utc = None if stamp is None else stamp + seconds - begin
    return SegmentTime(seconds, int(found[1]) / TICKS_A_SECOND, utc)
