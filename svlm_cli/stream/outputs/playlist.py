"""Captions for players: an HLS playlist of WebVTT segments beside a broadcast (RFC 8216, 3.5).

Every segment is written when its time is over, an empty one too, says where its seconds lie on the source's
own time stamps (X-TIMESTAMP-MAP), and is listed once it is whole: a player does not ask again for one it has.
The words of a segment that is not over stand in its file, which no playlist names yet: no kill loses them.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from svlm_cli.cue_text import timestamp
from svlm_cli.errors import OutputError
from svlm_cli.files import put_aside, sync
from svlm_cli.settings import Pace
from svlm_cli.stream.outputs.append import file_target
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.cues import Caption, CueStyle, ReadingCues, SecondCues
from svlm_cli.stream.outputs.formats import vtt_cue
from svlm_cli.stream.outputs.going_on import begun_anew
from svlm_cli.stream.outputs.segments import (
    ENDING,
    SEGMENT_SECONDS,
    WHOLE_LIST,
    Segment,
    SegmentPlace,
    SegmentTime,
    begun_behind,
    is_whole_playlist,
    is_whole_segment,
    listed_again,
    listed_in,
    numbers_in,
)
from svlm_cli.types import ClockKind, EndEvent, StartEvent, StepEvent, StreamEvent
from svlm_cli.utc import utc_seconds

WINDOW_SEGMENTS = 60
SHORTEST_SECONDS = 0.1
SOURCE_CLOCKS = (ClockKind.PROGRAM_DATE_TIME, ClockKind.RTCP, ClockKind.FILE)  # a player's is never ours
_TOLERANCE_SECONDS = 1e-3


class CaptionPlaylist:
    """Captions as ``NAME.m3u8`` and ``NAME/1.vtt``, ``NAME/2.vtt``, ...

    At realtime pace the playlist lists the last two minutes and the files of four are kept; else it lists
    all, and its end.

    Args:
        path: the path of the playlist.
        style: when words become captions; cues to be read are fixed with their segment.

    Raises:
        OutputError: there is no such folder, or something there cannot be replaced.
    """

    def __init__(self, path: Path, style: CueStyle = CueStyle.READING) -> None:
        self.path = path
        self._target = target = file_target(path)
        self.real_path, self._folder = str(target), target.with_suffix("")
        if self._folder.exists() and not self._folder.is_dir():
            raise OutputError(
                f"{self._folder} is no folder: segments of {path} cannot lie there", "name another"
            )
        self._cues: ReadingCues | SecondCues = SecondCues() if style is CueStyle.SECOND else ReadingCues()
        self._carried: list[Caption] = []
        self._listed: deque[Segment] = deque()
        self._num_jumps = 0
        self._number = 0
        self._begin: float | None = None
        self._reached = 0.0
        self._mark = self._before = SegmentTime(0.0)
        self._is_marked = self._is_jump = False
        self._segment_seconds = SEGMENT_SECONDS
        self._is_live = self._is_cut = self._has_ended = False
        self._unsynced: set[Path] = set()

    @property
    def held(self) -> str:
        """All that the segment which is not over depends on, as JSON."""
        return json.dumps(
            {
                "number": self._number,
                "begin": self._begin,
                "mark": asdict(self._mark),
                "carried": [asdict(cue) for cue in self._carried],
                "cues": self._cues.held,
                "live": self._is_live,
                "segment": self._segment_seconds,
                "listed": bool(self._listed),
            }
        )

    def begin(self, earlier: Earlier | None, *, keeps: bool) -> list[str]:
        """Make the folder; go on with what an earlier run has left.

        Args:
            earlier: the run that is gone on from, None where there is none.
            keeps: whether what is there is kept beside.

        Returns:
            What is to be told.

        Raises:
            OutputError: it cannot be written.
        """
        told = []
        try:
            if earlier is not None and self.real_path in earlier.lengths:
                told = list(self._go_on(earlier))
            else:
                told = [begun_anew(self.path, self.real_path, earlier)] if earlier else []
                told += self._make_room(keeps=keeps)
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}", "name another file") from error
        return told

    def settle(self, earlier: Earlier, *, keeps: bool) -> tuple[bool, list[str]]:
        """See ``contract.Production``."""
        place = SegmentPlace.of(earlier.held.get(self.real_path, ""))
        if self.real_path in earlier.lengths and is_whole_playlist(self._target, self._folder, place.number):
            return False, []
        goes_beyond = any(number > place.number for number in numbers_in(self._folder))
        told = self.begin(replace(earlier, cut=not goes_beyond), keeps=keeps)
        if self._listed:
            self._list_newest()
        elif self._begin is None:
            self._write_playlist(ENDING)
        return True, told

    def write(self, event: StreamEvent) -> list[str]:
        """Count an event; what is over is written. Nothing is to be told.

        Raises:
            OSError: it cannot be written.
        """
        if isinstance(event, StartEvent):
            step_seconds = float(str(event.settings.get("step_seconds", 1.0)))
            self._segment_seconds = step_seconds * math.ceil(SEGMENT_SECONDS / step_seconds - 1e-9)
            self._is_live = event.settings.get("pace") == Pace.REALTIME
        elif isinstance(event, StepEvent):
            self._add(event)
        elif isinstance(event, EndEvent):
            self.finish()
        return []

    def finish(self) -> None:
        """The last segment is over; a playlist of all says that it is the last.

        Raises:
            OSError: it cannot be written.
        """
        begin, self._begin = self._begin, None
        late = begin is not None and any(cue.start_seconds >= begin for cue in self._carried)
        if begin is not None and (self._reached > begin + _TOLERANCE_SECONDS or late or self._cues.open):
            self._begin = begin
            self._complete(max(self._reached, begin + SHORTEST_SECONDS), is_last=True)
            self._begin = None
        if not self._is_live and self._listed and not self._has_ended:
            self._append(ENDING)
            self._has_ended = True

    def sync(self) -> None:
        """Force what was written to the disk; from any thread.

        Raises:
            OSError: it cannot be.
        """
        unsynced, self._unsynced = self._unsynced, set()
        for path in unsynced:
            with suppress(FileNotFoundError):  # it has left the window meanwhile
                sync(path)
        for folder in (self._folder, self._target.parent):
            if folder.is_dir():
                sync(folder)

    def _add(self, step: StepEvent) -> None:
        if self._begin is None and self._listed:  # segments have numbers by their time, kills or not
            self._begin = self._number * self._segment_seconds
        elif self._begin is None:
            self._number = math.floor((step.start_seconds + _TOLERANCE_SECONDS) / self._segment_seconds)
            self._begin = step.start_seconds
        self._pass_over(step.start_seconds)
        self._note(step)
        self._carried += self._cues.add(step)
        self._reached = step.end_seconds
        if step.end_seconds >= self._boundary - _TOLERANCE_SECONDS:
            self._complete(self._boundary)
        else:
            opened = self._cues.open
            self._write_segment([*self._carried, *([opened] if opened else [])])

    @property
    def _boundary(self) -> float:
        """Where the segment is over that is being written."""
        return (self._number + 1) * self._segment_seconds

    def _pass_over(self, seconds: float) -> None:
        """Seconds that were left out have segments too; of a gap longer than the window there are none."""
        assert self._begin is not None
        missing = math.floor((seconds - self._begin + _TOLERANCE_SECONDS) / self._segment_seconds)
        if self._is_live and missing > WINDOW_SEGMENTS:
            self._listed.clear()
            self._carried = []
            self._cues.close()
            self._number, self._begin = self._number + missing, seconds
        while seconds >= self._boundary - _TOLERANCE_SECONDS:
            self._complete(self._boundary)

    def _note(self, step: StepEvent) -> None:
        """The first step of a segment says where it lies on the source's clocks."""
        if self._is_marked:
            return
        own = step.start_utc if step.clock in SOURCE_CLOCKS else ""
        mark = SegmentTime(step.start_seconds, step.pts_seconds, utc_seconds(own) if own else None)
        is_first = self._mark.pts_seconds is None
        before = self._before if is_first else self._mark
        self._is_jump = bool(self._listed) and mark.jumps_behind(before, was_killed=is_first)
        self._mark, self._is_marked = mark, True
        self._before = mark if mark.pts_seconds is not None else self._before

    def _complete(self, boundary: float, *, is_last: bool = False) -> None:
        assert self._begin is not None
        if isinstance(self._cues, ReadingCues):
            self._carried += self._cues.close(boundary)
        shown = [cue for cue in self._carried if is_last or cue.start_seconds < boundary - _TOLERANCE_SECONDS]
        self._write_segment(shown)
        date = self._mark.date(self._begin)
        self._listed.append(Segment(self._number, boundary - self._begin, date, self._is_jump))
        self._carried = [cue for cue in self._carried if cue.end_seconds > boundary + _TOLERANCE_SECONDS]
        self._number, self._begin = self._number + 1, boundary
        self._is_marked = self._is_jump = False
        self._forget()
        self._list_newest()

    def _forget(self) -> None:
        """What has left the window is unlisted, and later removed."""
        if not self._is_live:
            return
        while len(self._listed) > WINDOW_SEGMENTS:
            self._num_jumps += self._listed.popleft().is_jump
        with suppress(OSError):
            self._segment(self._number - 2 * WINDOW_SEGMENTS).unlink()

    def _segment(self, number: int) -> Path:
        return self._folder / f"{number}.vtt"

    def _write_segment(self, cues: list[Caption]) -> None:
        text = f"WEBVTT\n{self._mark.line}\n\n" + "".join(vtt_cue(0, cue) for cue in cues)
        self._replace(self._segment(self._number), text)

    def _list_newest(self) -> None:
        """Of all that was ever said the playlist only grows; of a window it is written anew."""
        if self._is_live or len(self._listed) < 2 or self._is_cut:
            self._is_cut = False
            self._write_playlist()
        else:
            self._append("\n".join(self._listed[-1].lines(self._folder.name)) + "\n")

    def _append(self, text: str) -> None:
        with self._target.open("ab") as file:
            file.write(text.encode())
        self._unsynced.add(self._target)

    def _write_playlist(self, ending: str = "") -> None:
        longest = max([self._segment_seconds, *(each.seconds for each in self._listed)])
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{math.ceil(longest)}"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{self._listed[0].number if self._listed else self._number}")
        if self._num_jumps:
            lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._num_jumps}")
        if not self._is_live:
            lines.append(WHOLE_LIST.strip())
        lines += [line for each in self._listed for line in each.lines(self._folder.name)]
        self._replace(self._target, "\n".join(lines) + f"\n{ending}")

    def _replace(self, path: Path, text: str) -> None:
        """In one rename: whoever reads it meanwhile reads it whole."""
        partial = path.with_name(f".{path.name}.part")
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
        self._unsynced.add(path)

    def _make_room(self, *, keeps: bool) -> Iterator[str]:
        for path in (self._target, self._folder):
            if keeps and path.exists() and (path.is_file() or any(path.iterdir())):
                aside = put_aside(path)
                yield f"{path} was there already: it is kept as {aside.name} (--overwrite replaces it)"
        for number in numbers_in(self._folder):
            self._segment(number).unlink()

    def _go_on(self, earlier: Earlier) -> Iterator[str]:
        """Go on behind the segments of an earlier run: of a file from where its state was, else all.

        Yields:
            What is missing.
        """
        self._is_cut = True
        place = SegmentPlace.of(held := earlier.held.get(self.real_path, ""))
        self._is_live, self._segment_seconds = place.is_live, place.segment_seconds
        self._reached = earlier.reached_seconds
        if self._target.is_file():
            self._listed += listed_in(self._target.read_text("utf-8", "replace"))
        yield from self._relisted(place, earlier)
        if earlier.cut and held:
            with suppress(ValueError, KeyError, TypeError):  # of another build
                self._restore(held)
                return
        begun, self._before = begun_behind(self._listed, self._folder, self._segment_seconds)
        self._listed += begun
        if self._listed:
            self._number = self._listed[-1].number + 1

    def _relisted(self, place: SegmentPlace, earlier: Earlier) -> Iterator[str]:
        """List again what lies there up to a state; empty segments stand where some are gone."""
        num_known = len(self._listed)
        self._listed = deque(listed_again(self._listed, self._folder, place, WINDOW_SEGMENTS))
        known = (each.number for each in self._listed if each.number < place.number)
        for number in (bad := [each for each in known if not is_whole_segment(self._segment(each))]):
            self._folder.mkdir(exist_ok=True)
            self._replace(self._segment(number), "WEBVTT\n\n")
        if place.has_list and not self._listed:
            yield begun_anew(self.path, self.real_path, earlier)
        elif len(self._listed) > num_known:
            yield f"{self.path} is gone or torn: it lists its segments again, those it had lost without dates"
        if bad:
            begin, end = (timestamp(each * self._segment_seconds) for each in (bad[0], bad[-1] + 1))
            yield f"{len(bad)} segments of {self.path} from {begin} to {end} are gone or torn, and empty now"

    def _restore(self, held: str) -> None:
        content = json.loads(held)
        mark, carried = SegmentTime(**content["mark"]), [Caption(**cue) for cue in content["carried"]]
        if content["cues"]:
            self._cues.restore(content["cues"])
        self._number, self._begin = int(content["number"]), content["begin"]
        self._mark, self._carried = mark, carried
        while self._listed and self._listed[-1].number >= self._number:
            gone = self._listed.pop()
            self._segment(gone.number).unlink(missing_ok=True)
