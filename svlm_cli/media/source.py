"""What a stream asks of anything it can watch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from svlm_cli.types import Clip


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known about a video before it is read to its end.

    Args:
        width: of a picture as displayed (after rotation), in pixels.
        height: likewise.
        fps: average frames per second that the container states; 0.0 if it does not.
        duration_seconds: length of the picture track that the container states, or None.
        has_audio: whether there is a sound track.
        codec: of the pictures, e.g. ``h264``.
        num_frames: that the container states, or None; some containers state it wrongly.
    """

    width: int
    height: int
    fps: float
    duration_seconds: float | None
    has_audio: bool
    codec: str
    num_frames: int | None


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
        """Whether it runs by the clock and cannot be read again."""
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
    ) -> Iterator[Clip]:
        """Yield the frames of one step after another.

        Args:
            fps: frames per second; ``fps * step_seconds`` is a whole number.
            step_seconds: seconds per clip.
            start_seconds: position of the first clip.
            duration_seconds: the source counts as ended this long after the start; None: all of it.

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
