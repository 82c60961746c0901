"""A match of the arena as a source of clips, like any other video."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Self

import numpy as np

from svlm_cli.arena.address import ArenaAddress, parse_address
from svlm_cli.arena.render import Renderer
from svlm_cli.arena.setup import draw_setup
from svlm_cli.arena.timeline import Timeline
from svlm_cli.arena.truth import opening_text
from svlm_cli.errors import NothingThereError
from svlm_cli.media.source import Guide, VideoInfo
from svlm_cli.media.timeline import SHORTEST_STEP_SECONDS, TIME_TOLERANCE_SECONDS, Steps
from svlm_cli.types import Clip

# Of many matches one is drawn at a time: it is the interpreter's work, and threads that do it at once take
# its lock from each other, and from the model, at every call of NumPy (64 channels: 1.7 x the CPU time).
_DRAWING = threading.Lock()


class ArenaSource:
    """Implements ``media.source.Source``; draws what is asked for and nothing else.

    The video has ``address.fps`` frames per second: what is on screen at a time is its latest frame.

    Args:
        address: the match, or its text, e.g. ``arena:soccer?seed=7``.

    Raises:
        UsageError: the text is no valid address.
    """

    def __init__(self, address: ArenaAddress | str) -> None:
        self.address = parse_address(address) if isinstance(address, str) else address
        self.name = str(address)
        self.is_live = math.isinf(self.address.duration_seconds)
        self.problems: list[str] = []
        self._setup = draw_setup(self.address.sport, self.address.seed)
        self._renderer = Renderer(self._setup, self.address.width, self.address.height)
        seconds = self.address.duration_seconds
        self._num_frames = None if math.isinf(seconds) else max(1, round(seconds * self.address.fps))
        self.info = VideoInfo(
            width=self.address.width,
            height=self.address.height,
            fps=self.address.fps,
            duration_seconds=None if self._num_frames is None else self._num_frames / self.address.fps,
            has_audio=False,
            codec="arena",
            num_frames=self._num_frames,
        )

    def opening_text(self, start_seconds: float = 0.0) -> str:
        """What the stream must be told before it begins at ``start_seconds``: kits, names, score, referee."""
        return opening_text(self.address, start_seconds)

    def clips(
        self,
        fps: float,
        step_seconds: float,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        guide: Guide | None = None,
    ) -> Iterator[Clip]:
        """Yield the frames of one step after another; see ``media.source.Source``.

        Where the match ends within a step, its last frame stays on screen.

        Raises:
            NothingThereError: it ends before ``start_seconds``.
        """
        stated = self.info.duration_seconds
        end_seconds = math.inf if stated is None else stated
        if start_seconds > 0 and start_seconds + SHORTEST_STEP_SECONDS > end_seconds:
            told = f"{self.name} ends at {end_seconds:g} s, before the start at {start_seconds:g} s"
            raise NothingThereError(told, end_seconds=end_seconds)
        if duration_seconds is not None:
            end_seconds = min(end_seconds, start_seconds + duration_seconds)
        return self._clips(Steps(fps, step_seconds, start_seconds), guide, end_seconds)

    def frames(self, from_frame: int = 0) -> Iterator[np.ndarray]:
        """Every frame of the video in order, uint8 RGB (height, width, 3)."""
        timeline, frame = Timeline(self._setup), from_frame
        while self._num_frames is None or frame < self._num_frames:
            yield self._renderer.draw(timeline.scene(frame / self.address.fps))
            frame += 1

    def _clips(self, steps: Steps, guide: Guide | None, end_seconds: float) -> Iterator[Clip]:
        timeline = Timeline(self._setup)
        for index, start in enumerate(steps.starts(guide)):
            if start + SHORTEST_STEP_SECONDS > end_seconds:
                return
            began = time.perf_counter()
            numbers = [self._frame_at(seconds, end_seconds) for seconds in steps.times(start)]
            with _DRAWING:
                drawn = {
                    n: self._renderer.draw(timeline.scene(n / self.address.fps))
                    for n in dict.fromkeys(numbers)
                }
            frames = np.stack([drawn[n] for n in numbers])
            yield Clip(index, start, start + steps.step_seconds, frames, time.perf_counter() - began)

    def _frame_at(self, seconds: float, end_seconds: float) -> int:
        """Number of the frame on screen; the last one before the end from there on."""
        rate = self.address.fps
        frame = math.floor((seconds + TIME_TOLERANCE_SECONDS) * rate)
        if math.isfinite(end_seconds):
            frame = min(frame, math.ceil((end_seconds - TIME_TOLERANCE_SECONDS) * rate) - 1)
        return max(0, frame)

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
