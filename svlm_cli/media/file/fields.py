"""Whole pictures of interlaced ones: FFmpeg's bwdif, run for the pictures that are shown and no others.

bwdif makes a picture of a frame and its two neighbours. What it gives for a frame depends on nothing else, so
that a picture is the same in sequence and after a jump, and those between the pictures that are shown cost
nothing (a test compares with a run over every frame).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from svlm_cli.media.container import libav
from svlm_cli.media.timeline import Picture
from svlm_cli.settings import Deinterlace, Viewing

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame

_MODE = "mode=send_frame:parity=auto:deint=all"
# Of three frames, only the middle one is computed: when the third is pushed.
_MIDDLE_ALONE = ":enable='eq(mod(n,3),2)'"


@dataclass(frozen=True, slots=True, eq=False)
class Woven:
    """An interlaced frame with the frames before and after it, where there are any."""

    frame: VideoFrame
    before: VideoFrame | None
    after: VideoFrame | None


class Deinterlacer:
    """Makes one picture of the two fields of a frame; not thread-safe.

    Which field comes first is the frame's own flag; a frame without flags counts as top field first.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._layout: tuple[object, ...] = ()

    def whole(self, woven: Woven) -> VideoFrame:
        """The picture of a frame, as large, with the same tags and without its display matrix.

        Raises:
            DamageError: libav cannot make it.
        """
        layout = _layout(woven.frame)
        before, after = (
            each if each is not None and _layout(each) == layout else None
            for each in (woven.before, woven.after)
        )
        with libav():
            if before is None or after is None:
                frames = [each for each in (before, woven.frame, after) if each is not None]
                made: list[VideoFrame] = _run(_graph(woven.frame, _MODE), frames, is_over=after is None)
                return made[0 if before is None else 1]
            if self._graph is None or self._layout != layout:
                self._graph, self._layout = _graph(woven.frame, _MODE + _MIDDLE_ALONE), layout
                # bwdif computes the first frame of a graph from its own lines alone.
                _run(self._graph, [before, woven.frame, after])
            last: VideoFrame = _run(self._graph, [before, woven.frame, after])[-1]
            return last


class FieldOrder:
    """Hands pictures on in their order, an interlaced one as soon as its neighbours are known.

    Args:
        viewing: which are deinterlaced.
        image: makes the image of a frame; the second argument is told that it could not.
    """

    def __init__(
        self,
        viewing: Viewing,
        image: Callable[[VideoFrame | Woven, Callable[[], None]], np.ndarray],
    ) -> None:
        self._mode = Deinterlace.OFF if viewing.is_raw else viewing.deinterlace
        self._image = image
        self._before: VideoFrame | None = None
        self._held: tuple[float, float, VideoFrame, Callable[[], None]] | None = None
        self._before_held: VideoFrame | None = None

    def is_wanted(self, frame: VideoFrame) -> bool:
        """Whether a frame is deinterlaced."""
        if self._mode is Deinterlace.AUTO:
            return bool(frame.interlaced_frame)
        return self._mode is Deinterlace.ON

    def pass_over(self, frame: VideoFrame) -> None:
        """Take a frame as what comes before the next one, without a picture of it."""
        self._before = frame

    def add(
        self, start: float, length: float, frame: VideoFrame, on_failure: Callable[[], None]
    ) -> list[Picture]:
        """Take the next frame in presentation order.

        Args:
            start, length: the start and length of its picture, in seconds.
            frame: decoded.
            on_failure: told if its image cannot be made.

        Returns:
            Pictures that can be shown now, in order: maybe none, maybe one held before and this one.
        """
        ready = self.finish(frame)
        if self.is_wanted(frame):
            self._held, self._before_held = (start, length, frame, on_failure), self._before
        else:
            ready.append(Picture(start, length, _Image(self._image, frame, on_failure)))
        self._before = frame
        return ready

    def finish(self, after: VideoFrame | None = None) -> list[Picture]:
        """The picture that is held, if any, as nothing comes behind it but ``after``."""
        if self._held is None:
            return []
        start, length, frame, on_failure = self._held
        woven = Woven(frame, self._before_held, after)
        self._held = self._before_held = None
        return [Picture(start, length, _Image(self._image, woven, on_failure))]

    def forget(self) -> None:
        """What comes next does not follow what came before."""
        self._before = self._held = self._before_held = None


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """Makes the image of a picture when it is called."""

    make: Callable[[Any, Callable[[], None]], np.ndarray]
    frame: VideoFrame | Woven
    on_failure: Callable[[], None]

    def __call__(self) -> np.ndarray:
        return self.make(self.frame, self.on_failure)


def _layout(frame: VideoFrame) -> tuple[object, ...]:
    return frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range


def _graph(frame: VideoFrame, options: str) -> Graph:
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1  # a pool of threads for each graph costs more than it saves
    layout = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
    # Else a format that bwdif does not take (packed, say) would be brought to one by another matrix.
    tags = f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    source = graph.add("buffer", layout + tags)
    filtered, sink = graph.add("bwdif", options), graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    return graph


def _run(graph: Graph, frames: list[VideoFrame], *, is_over: bool = False) -> list[Any]:
    """Push frames and pull what comes of them."""
    import av

    made = []
    for frame in [*frames, None] if is_over else frames:
        graph.push(frame)
        while True:
            try:
                made.append(graph.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    return made
