"""One reader for video files: clips in sequence for streaming, frames at any time for training."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Protocol, Self

import numpy as np

from svlm_cli.errors import NothingThereError, SourceError
from svlm_cli.media.container import DamageError
from svlm_cli.media.probe import undecodable
from svlm_cli.media.source import Guide, VideoInfo
from svlm_cli.media.timeline import SHORTEST_STEP_SECONDS, Picture, Playhead, Steps
from svlm_cli.settings import VIEWING, Reader, Viewing
from svlm_cli.text import encodable
from svlm_cli.types import Clip

_JUMP_SECONDS = 5.0


class Pictures(Protocol):
    """What a backend gives: the pictures of one open video, from any position.

    ``pictures(t)`` begins a pass, in presentation order, at the picture on screen at ``t`` or at an
    earlier one; it ends the pass before it.
    """

    @property
    def info(self) -> VideoInfo:
        """Facts that hold for the whole video."""
        ...

    @property
    def num_corrupt(self) -> int:
        """Pictures skipped so far."""
        ...

    @property
    def length_seconds(self) -> float | None:
        """How long they last, by the packets of the file; None where nobody knows."""
        ...

    @property
    def has_one_clock(self) -> bool:
        """Whether all stamps read so far are one clock's."""
        ...

    @property
    def problems(self) -> list[str]:
        """Damage met so far, one sentence each."""
        ...

    def pictures(self, from_seconds: float) -> Iterator[Picture]:
        """Begin a pass."""
        ...

    def close(self) -> None:
        """Close file and decoder."""
        ...


def open_video(path: str | os.PathLike[str], backend: str = "", *, viewing: Viewing = VIEWING) -> VideoReader:
    """Open a video file.

    Args:
        path: a local file; PyAV also opens whatever else libav opens.
        backend: ``pyav``, ``decord`` (optional, exact files only) or ``auto``: PyAV, which measures better in
            sequence and at random and steps over damage (docs/media.md); empty for ``viewing``'s.
        viewing: how its pictures are shown, and by which library.

    Raises:
        SourceError: it cannot be opened, holds no picture, or the backend cannot read it exactly.
    """
    name = os.fspath(path)
    try:
        reader = Reader(backend or viewing.reader)
    except ValueError:
        raise SourceError(f'unknown video backend "{backend}"', f"one of: {', '.join(Reader)}") from None
    if reader is Reader.DECORD:
        from svlm_cli.media.file.decord_reader import DecordPictures

        return VideoReader(encodable(name), DecordPictures(name, viewing))
    from svlm_cli.media.file.pyav_reader import PyavPictures

    return VideoReader(encodable(name), PyavPictures(name, viewing))


class VideoReader:
    """A video file as a ``Source``; made by ``open_video``.

    One pass at a time: beginning another (``clips`` or ``frames_at``) ends the one before, whose
    iterator then raises RuntimeError. Use it, and close it, from one thread at a time.

    Attributes:
        name: the path as given, but for bytes that are no text.
        is_live: False.
    """

    is_live = False

    def __init__(self, name: str, backend: Pictures) -> None:
        self.name = name
        self._backend = backend

    @property
    def info(self) -> VideoInfo:
        """What is known of the video; sizes are those of its frames."""
        return self._backend.info

    @property
    def length_seconds(self) -> float | None:
        """How long the video lasts, by its packets; None where nobody knows, as of some addresses.

        Free where the file's index has them all. Else, as of a transport stream, they are read once.

        Raises:
            SourceError: the file can no longer be read.
        """
        return self._backend.length_seconds

    @property
    def num_corrupt(self) -> int:
        """Pictures skipped so far because they could not be decoded whole."""
        return self._backend.num_corrupt

    @property
    def problems(self) -> list[str]:
        """Damage met so far, one sentence each; complete after a pass to the end."""
        return self._backend.problems

    def clips(
        self,
        fps: float,
        step_seconds: float,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        guide: Guide | None = None,
    ) -> Iterator[Clip]:
        """Yield the frames of each step, in sequence, holding no more than one step in memory.

        Frame ``k`` of the step that starts at ``s`` is the picture on screen at ``s + k / fps``: the
        one with the greatest presentation time not after it, counted from the video's first picture.
        A step exists if it starts more than 0.05 s before the video's end (or before the end of
        ``duration_seconds``); where the video ends inside a step, its last picture stays.

        Args:
            fps: frames per second of the clips, not of the file.
            step_seconds: seconds per clip; ``fps * step_seconds`` must be a whole number.
            start_seconds: where the first step starts.
            duration_seconds: the video counts as ended this long after the start; None: all of it.
            guide: says before each clip where to go on.

        Raises:
            SourceError: at the call, not later: the video ends before ``start_seconds``.
            ValueError: an argument outside its limits.
        """
        began = time.perf_counter()
        steps = Steps(fps, step_seconds, start_seconds, duration_seconds)
        playhead = Playhead(self._backend.pictures(start_seconds))
        if not playhead.lasts_beyond(start_seconds + SHORTEST_STEP_SECONDS):
            raise self._ends_before(start_seconds, playhead.end_seconds)
        return self._clips(playhead, steps, guide, time.perf_counter() - began)

    def frames_at(self, times_seconds: Sequence[float] | np.ndarray) -> np.ndarray:
        """The pictures on screen at any times, by the same rule; seeks instead of reading through.

        Args:
            times_seconds: times in any order; one before the first picture or after the end has the nearest.

        Returns:
            uint8 RGB, shape (num_times, height, width, 3), in the order of ``times_seconds``.

        Raises:
            ValueError: a time that is no finite number.
        """
        times = np.asarray(times_seconds, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all():
            raise ValueError("times_seconds must be finite numbers in one row")
        order = np.argsort(times, kind="stable")
        ascending = np.maximum(times[order], 0.0)
        frames = np.empty((len(times), self.info.height, self.info.width, 3), dtype=np.uint8)
        for near in np.split(np.arange(len(times)), np.flatnonzero(np.diff(ascending) > _JUMP_SECONDS) + 1):
            if len(near):
                playhead = Playhead(self._backend.pictures(float(ascending[near[0]])))
                frames[order[near]] = self._frames(playhead, ascending[near].tolist())
        return frames

    def opening_text(self, start_seconds: float) -> str:  # noqa: ARG002 - the Source contract's name
        """Nothing: a file does not introduce itself."""
        return ""

    def close(self) -> None:
        """Close file and decoder; more than once is fine."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _clips(
        self, playhead: Playhead, steps: Steps, guide: Guide | None, opening_seconds: float
    ) -> Iterator[Clip]:
        for index, start in enumerate(steps.starts(guide)):
            began = time.perf_counter() - (opening_seconds if index == 0 else 0.0)
            if not playhead.lasts_beyond(start + SHORTEST_STEP_SECONDS):
                return
            frames = self._frames(playhead, steps.times(start))
            told = self.info.time_at(start) if self._backend.has_one_clock else None
            seconds = time.perf_counter() - began
            yield Clip(index, start, start + steps.step_seconds, frames, seconds, told)

    def _frames(self, playhead: Playhead, times: Sequence[float]) -> np.ndarray:
        """The images on screen at ascending times, as one array."""
        frames = np.empty((len(times), self.info.height, self.info.width, 3), dtype=np.uint8)
        for frame, seconds in zip(frames, times, strict=True):
            try:
                image = playhead.image(seconds)
            except DamageError as error:
                raise undecodable(self.name) from error
            if image is None:
                raise undecodable(self.name)
            frame[...] = image
        return frames

    def _ends_before(self, start_seconds: float, end_seconds: float) -> SourceError:
        length = f"{self.name} lasts {end_seconds:.2f} s"
        if start_seconds == 0.0:
            return SourceError(f"{length}: too short to stream", "name a video, not a still picture")
        told = f"{length}: there is nothing at {start_seconds:g} s"
        return NothingThereError(told, "start earlier", end_seconds)
