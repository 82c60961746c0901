"""What a stream asks of anything it can watch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from svlm_cli.types import Clip, ClockKind, SourceTime


@dataclass(frozen=True, slots=True)
class Appearance:
    """How stored pictures become what is shown, as far as the first one tells.

    Args:
        pixel_aspect: width of a pixel over its height, as applied: ``1:1`` where pixels are taken as square.
        is_interlaced: whether it holds two fields; None where that is not known yet.
        is_deinterlaced: whether they are made whole pictures; None where each picture will say.
        matrix: the YUV matrix that its colours are read by, e.g. ``BT.709``; empty for pictures without one.
        is_matrix_assumed: whether that goes by its size, for want of a tag that says it.
        tone_mapped: the high dynamic range that is brought to standard: ``HLG``, ``PQ``, or empty.
        is_plain: whether pictures as a viewer sees them and as they are stored are the same.
    """

    pixel_aspect: str = "1:1"
    is_interlaced: bool | None = False
    is_deinterlaced: bool | None = False
    matrix: str = ""
    is_matrix_assumed: bool = False
    tone_mapped: str = ""
    is_plain: bool = True

    @property
    def entries(self) -> dict[str, object]:
        """For the ``start`` event."""
        return {
            "pixel_aspect": self.pixel_aspect,
            "interlaced": self.is_interlaced,
            "deinterlaced": self.is_deinterlaced,
            "matrix": self.matrix,
            "matrix_assumed": self.is_matrix_assumed,
            "tone_mapped": self.tone_mapped,
        }

    @property
    def changes(self) -> list[str]:
        """What is done to samples as they are stored, for people; mostly nothing."""
        done = []
        if self.is_deinterlaced:
            done.append("fields deinterlaced")
        if self.pixel_aspect != "1:1":
            done.append(f"pixels of {self.pixel_aspect} made square")
        if self.tone_mapped:
            done.append(f"{self.tone_mapped} brought to standard dynamic range")
        if self.is_matrix_assumed and self.matrix != "BT.601":
            done.append(f"colours without a tag read as {self.matrix}")
        return done


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known about a video before it is read to its end.

    Args:
        width: the width of a picture as displayed (upright, with square pixels), in pixels.
        height: likewise.
        fps: average frames per second that the container states; 0.0 if it does not.
        duration_seconds: length of the picture track that the container states, or None; of joined recordings
            that may be a part (``VideoReader.length_seconds`` is by the packets).
        has_audio: whether there is a sound track.
        codec: the codec of the pictures, e.g. ``h264``.
        num_frames: the number that the container states, or None; some containers state it wrongly.
        appearance: how its pictures become what is shown.
        first_pts_seconds: second 0 by the container's own stamps, None where that is not known beforehand.
        created_utc_seconds: second 0 in UTC, by the creation time that the file states, or None.
    """

    width: int
    height: int
    fps: float
    duration_seconds: float | None
    has_audio: bool
    codec: str
    num_frames: int | None
    appearance: Appearance = Appearance()
    first_pts_seconds: float | None = None
    created_utc_seconds: float | None = None

    def time_at(self, seconds: float) -> SourceTime:
        """What the clocks of a file say at a position of it, where its stamps go on without a joint."""
        pts, created = self.first_pts_seconds, self.created_utc_seconds
        return SourceTime(
            None if pts is None else pts + seconds,
            None if created is None else created + seconds,
            None if created is None else ClockKind.FILE,
        )


class Guide(Protocol):
    """Where a stream wants to go on reading; asked by the source, in whatever thread reads it."""

    @property
    def is_stopped(self) -> bool:
        """Whether nobody wants more: a source that waits for data gives up waiting."""
        ...

    def next_start(self, start_seconds: float) -> float:
        """Where the next clip is to start: ``start_seconds``, or whole steps later where time has run on."""
        ...

    def hold(self, end_seconds: float, waited_seconds: float, ahead_seconds: float = 0.0) -> None:
        """Told that the clip that ends there had to be waited for: as far as it is late, the source is.

        Args:
            end_seconds: the end of the clip.
            waited_seconds: wall time.
            ahead_seconds: how many seconds of what follows the clip have come already.
        """
        ...


@runtime_checkable
class Reconnecting(Protocol):
    """A source that is connected again where it was lost."""

    @property
    def num_reconnects(self) -> int:
        """How often it was lost and has shown a picture again."""
        ...


@runtime_checkable
class Arriving(Protocol):
    """A source whose pictures come when they come: no clock says when a step is due."""

    def behind(self, end_seconds: float) -> float:
        """Seconds since the last picture of the step that ends there came."""
        ...


def reconnects_of(source: object) -> int:
    """How often a source was lost and is back; 0 for one that cannot be."""
    return source.num_reconnects if isinstance(source, Reconnecting) else 0


@runtime_checkable
class Source(Protocol):
    """Anything that hands out clips: a file, a camera, a synthetic match.

    A context manager that closes itself.
    """

    @property
    def name(self) -> str:
        """The source as the user named it."""
        ...

    @property
    def info(self) -> VideoInfo:
        """What is known of its pictures."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether it runs by the clock: shown at realtime pace unless told otherwise."""
        ...

    @property
    def problems(self) -> list[str]:
        """What went wrong without ending the stream, a sentence each; complete once ``clips`` ends."""
        ...

    def clips(
        self,
        fps: float,
        step_seconds: float,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        guide: Guide | None = None,
    ) -> Iterator[Clip]:
        """Yield the frames of one step after another; numbered in a row, also where some are left out.

        Args:
            fps: frames per second; ``fps * step_seconds`` is a whole number.
            step_seconds: seconds per clip.
            start_seconds: position of the first clip.
            duration_seconds: the source counts as ended this long after the start; None: all of it.
            guide: says before each clip where to go on; None: one step after the other.

        Raises:
            SourceError: it ends before ``start_seconds``.
        """
        ...

    def opening_text(self, start_seconds: float) -> str:
        """What the source says of itself before it begins at ``start_seconds``; mostly nothing."""
        ...

    def close(self) -> None:
        """Let go of files and decoders; more than once is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
