"""A source of pictures that somebody sends, each with its time: in memory, as far as there is room."""

from __future__ import annotations

import io
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from svlm_cli.errors import SourceError
from svlm_cli.media.source import Guide, VideoInfo
from svlm_cli.media.timeline import LONGEST_SECONDS, SHORTEST_STEP_SECONDS, TIME_TOLERANCE_SECONDS, Steps
from svlm_cli.types import Clip

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MOST_SIDE, MOST_PIXELS = 8192, 1 << 24
MOST_WAITING_BYTES = 1 << 26
GAP_SECONDS = 2.0
KEPT_STEPS = 16  # more than are on their way at any time
POLL_SECONDS = 0.1
_TOLD = {
    "doubled": "with the time of the one before",
    "backward": "with a time before that of the last one",
    "late": "of a step that was over",
    "far": "more than an hour ahead of the last one",
    "oversize": f"too large: at most {MOST_SIDE} pixels a side and {MOST_PIXELS:,} in all",
    "undecodable": "no whole JPEG, PNG or WebP",
    "crowded": f"while {MOST_WAITING_BYTES >> 20} MiB waited already",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """A picture as it came, when it appears, and when it came."""

    seconds: float
    data: bytes
    came_at: float


class PushedSource:
    """Implements ``media.source.Source`` over what is offered to it; one thread offers, another reads.

    Nothing is left out to keep pace: whoever sends is told how much is taken, and its times are the clock.
    Where nothing comes for more than two seconds, and two steps, the steps without a picture are left out.

    Args:
        name: shown to viewers.
        width, height: the size of every picture; others are scaled to it.
        fps: at which pictures are sent: the last one lasts as long.
        taken: called with the number of pictures that the reader has taken; in its thread.
    """

    def __init__(
        self, name: str, width: int, height: int, fps: float, taken: Callable[[int], None] = lambda _: None
    ) -> None:
        self.name = name
        self.is_live = False  # its times are the clock
        self.info = VideoInfo(width, height, fps, None, has_audio=False, codec="", num_frames=None)
        self._taken = taken
        self._sent: queue.SimpleQueue[_Sent | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._lost = ""
        self._origin: int | None = None
        self._last: int | None = None
        self._waiting_bytes = 0
        self._begun_seconds = 0.0  # of the step that is made
        self._zero = 0.0
        self._is_over = False
        self._ahead: deque[_Sent] = deque()
        self._newest = -1.0
        self._newest_came_at = time.monotonic()
        self._whole_at: deque[tuple[float, float]] = deque(maxlen=KEPT_STEPS)
        self._shown: tuple[float, np.ndarray] | None = None

    @property
    def problems(self) -> list[str]:
        """What was left out, a sentence for each kind."""
        with self._lock:
            counts, lost = dict(self._counts), self._lost
        told = [f"{_pictures(count)} left out: {_TOLD[kind]}" for kind, count in counts.items()]
        return [*told, lost] if lost else told

    def offer(self, microseconds: int, data: bytes) -> bool:
        """Take a picture, or leave it out and count it; never waits.

        Args:
            microseconds: its time, on the sender's clock; the first is second 0.
            data: JPEG, PNG or WebP.

        Returns:
            Whether it was taken.
        """
        with self._lock:
            if self._origin is None:
                self._origin = microseconds
            seconds = (microseconds - self._origin) / 1e6
            kind = self._kind_of_fault(microseconds, seconds, len(data))
            if kind:
                self._counts[kind] = self._counts.get(kind, 0) + 1
                return False
            self._last = microseconds
            self._waiting_bytes += len(data)
        self._sent.put(_Sent(seconds, data, time.monotonic()))
        return True

    def _kind_of_fault(self, microseconds: int, seconds: float, num_bytes: int) -> str:
        if self._last is not None:
            if microseconds == self._last:
                return "doubled"
            if microseconds < self._last:
                return "late" if seconds < self._begun_seconds else "backward"
            if microseconds - self._last > LONGEST_SECONDS * 1e6:
                return "far"
        return "crowded" if self._waiting_bytes + num_bytes > MOST_WAITING_BYTES else ""

    def end(self, reason: str = "") -> None:
        """No more will come; what has come is still shown.

        Args:
            reason: told as a problem.
        """
        with self._lock:
            self._lost = self._lost or reason
        self._sent.put(None)

    def behind(self, end_seconds: float) -> float:
        """Seconds since the last picture of the step that ends there came; ``media.source.Arriving``."""
        came = [came_at for end, came_at in list(self._whole_at) if end == end_seconds]
        return time.monotonic() - came[0] if came else 0.0

    def opening_text(self, start_seconds: float) -> str:  # noqa: ARG002 - the Source contract's name
        """Nothing."""
        return ""

    def clips(
        self,
        fps: float,
        step_seconds: float,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        guide: Guide | None = None,
    ) -> Iterator[Clip]:
        """Yield the frames of one step after another; see ``media.source.Source``. Once only.

        Args:
            fps, step_seconds, duration_seconds, guide: as there.
            start_seconds: the number of the first second.

        Raises:
            SourceError: no picture came.
        """
        self._zero = start_seconds
        steps = Steps(fps, step_seconds, start_seconds, duration_seconds)
        index = 0
        for start in steps.starts(guide):
            self._begun_seconds = start - self._zero
            end = start + step_seconds
            self._read_to(start + SHORTEST_STEP_SECONDS + 2 * TIME_TOLERANCE_SECONDS, guide)
            if guide is not None and guide.is_stopped:
                return
            if self._ends_seconds() <= start + SHORTEST_STEP_SECONDS:
                break
            if self._is_gap(start, end, step_seconds):
                continue
            began = time.perf_counter()
            images = []
            for seconds in steps.times(start):
                waited = time.perf_counter()
                self._read_to(seconds, guide)
                began += time.perf_counter() - waited
                images.append(self._image(seconds, guide))
            self._whole_at.append((end, self._newest_came_at))
            frames = [image for image in images if image is not None]
            if not frames:
                break
            frames = [frames[0]] * (len(images) - len(frames)) + frames
            yield Clip(index, start, end, np.stack(frames), time.perf_counter() - began)
            index += 1
        if index == 0 and not (guide is not None and guide.is_stopped):
            raise SourceError(f"{self.name}: no picture came that can be shown", "send JPEG, PNG or WebP")

    def _read_to(self, seconds: float, guide: Guide | None) -> None:
        """Read on until it is known what is on screen then, or until the guide has stopped."""
        while self._newest < seconds - TIME_TOLERANCE_SECONDS and not self._is_over:
            try:
                sent = self._sent.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if guide is not None and guide.is_stopped:
                    return
                continue
            if sent is None:
                self._is_over = True
                return
            with self._lock:
                self._waiting_bytes -= len(sent.data)
            self._newest = sent.seconds + self._zero
            self._ahead.append(_Sent(self._newest, sent.data, sent.came_at))
            self._newest_came_at = sent.came_at
            self._taken(1)

    def _ends_seconds(self) -> float:
        """Where it ends; before its end was met, a time that it reaches at least."""
        return self._newest + (1 / self.info.fps if self._is_over and self._newest >= 0 else 0.0)

    def _is_gap(self, start: float, end: float, step_seconds: float) -> bool:
        """Whether nothing came for (nearly) all of a step, and for long."""
        times = [each.seconds for each in self._ahead]
        if self._shown is not None:
            times.insert(0, self._shown[0])
        before = [seconds for seconds in times if seconds <= start + TIME_TOLERANCE_SECONDS]
        after = [seconds for seconds in times if seconds > start + TIME_TOLERANCE_SECONDS]
        longest = max(GAP_SECONDS, 2 * step_seconds)
        return bool(before and after) and after[0] >= end and after[0] - before[-1] > longest

    def _image(self, seconds: float, guide: Guide | None) -> np.ndarray | None:
        """What is on screen: the last of that time or before that can be shown, else the first after."""
        limit = seconds + TIME_TOLERANCE_SECONDS
        due = []
        while self._ahead and self._ahead[0].seconds <= limit:
            due.append(self._ahead.popleft())
        for sent in reversed(due):
            if (image := self._decoded(sent.data)) is not None:
                self._shown = (sent.seconds, image)
                break
        while self._shown is None and not (self._is_over and not self._ahead):
            if not self._ahead:
                self._read_to(self._newest + 2 * TIME_TOLERANCE_SECONDS, guide)
                if not self._ahead and guide is not None and guide.is_stopped:
                    return None
                continue
            sent = self._ahead.popleft()
            if (image := self._decoded(sent.data)) is not None:
                self._shown = (sent.seconds, image)
        return None if self._shown is None else self._shown[1]

    def _decoded(self, data: bytes) -> np.ndarray | None:
        """A picture as uint8 RGB (height, width, 3); None where it cannot be shown, which is counted."""
        from PIL import Image

        kind = "undecodable"
        try:
            with _opened(data) as picture:
                if max(picture.size) > MOST_SIDE or picture.width * picture.height > MOST_PIXELS:
                    kind = "oversize"
                    raise ValueError
                shown = picture.convert("RGB")
        except Exception:  # whatever a decoder makes of bytes from outside
            with self._lock:
                self._counts[kind] = self._counts.get(kind, 0) + 1
            return None
        size = (self.info.width, self.info.height)
        if shown.size != size:
            shown = shown.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(shown)

    def close(self) -> None:
        """Nothing more is read; more than once is fine."""
        self.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(data: bytes) -> ImageFile:
    """A picture by how it begins; not by ``Image.open``, which warns on standard error of large ones.

    Raises:
        Exception: it is none.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    file = io.BytesIO(data)
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(file)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(file)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile(file)
    raise ValueError("none of the three")


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
