"""Times of captions and of transcripts made elsewhere, on the clock of the pictures."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from svlm_cli.errors import SourceError
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.joins import JUMP_SECONDS, Join
from svlm_cli.media.probe import open_container
from svlm_cli.media.survey import indexed_may_leap, survey


@dataclass(frozen=True, slots=True)
class CaptionClock:
    """Takes times as players and ffmpeg count them to those of the pictures.

    They count from where the file begins, with sound or with pictures; svlm from the first picture shown.
    Over a leap of the file's clock they may count on or not: times past the end are taken to do so.

    Args:
        late_seconds: how long after the file's beginning its first picture is shown.
        length_seconds: the length in seconds of the file from its beginning; None where nobody measured it.
        leaps: where the file's clock leaps ahead; seconds count from the beginning of the file without.
    """

    late_seconds: float = 0.0
    length_seconds: float | None = None
    leaps: tuple[Join, ...] = ()

    def counts_leaps(self, last_seconds: float) -> bool:
        """Whether captions that end there count leaps as time."""
        length = self.length_seconds
        return bool(self.leaps) and length is not None and last_seconds > length + JUMP_SECONDS

    def on_pictures(self, seconds: float, *, counts_leaps: bool = False) -> float:
        """A time of a caption on the pictures' clock; below 0 where it is before the first one.

        Args:
            seconds: seconds from the beginning of the file.
            counts_leaps: as these captions do.
        """
        for leap in self.leaps if counts_leaps else ():
            if seconds <= leap.seconds:
                break
            seconds = max(leap.seconds, seconds - leap.by_seconds)
        return seconds - self.late_seconds


def caption_clock(path: str) -> CaptionClock:
    """The clock of a file's captions; reads the whole file only where its clock may leap.

    Raises:
        SourceError: it cannot be read.
    """
    with closing(open_container(path)) as video:
        start = video.container.start_time
        leaps = indexed_may_leap(video)
    found = survey(path) if leaps else None
    begin = found.start_seconds if found is not None else None if start is None else start / 1e6
    try:
        with closing(PyavPictures(path)) as pictures:
            shown = float(pictures.origin_seconds)
    except SourceError:
        shown = found.picture_seconds if found is not None else begin or 0.0
    begin = shown if begin is None else begin
    if found is None or not found.joins:
        return CaptionClock(shown - begin)
    leaps_ahead = tuple(
        Join(each.seconds - begin, each.by_seconds) for each in found.joins if each.by_seconds > 0
    )
    is_mixed = len(leaps_ahead) < len(found.joins)  # a clock that starts again: no time tells which part
    return CaptionClock(shown - begin, found.end_seconds - begin, () if is_mixed else leaps_ahead)
