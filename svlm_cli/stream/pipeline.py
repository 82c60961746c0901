"""Reading and seeing ahead: the next clip is prepared while the present one is spoken about.

Two threads, each with one stage: read, decode and resize; then the vision tower. At most ``ahead`` clips are
on their way at any time, so memory is bounded and a source that runs by the clock is not read before its
time. Pixels die in the second stage.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TypeVar

import torch

from svlm_cli.media.source import Guide
from svlm_cli.stream.sight import SeenClip, Sight, SizedClip
from svlm_cli.types import Clip

POLL_SECONDS = 0.1
JOIN_SECONDS = 2.0

ItemT = TypeVar("ItemT")


class SourceEnded(Exception):  # noqa: N818 - not an error
    """There are no more clips."""


class _End:
    """The clips have ended, by ``error`` if there is one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def begun_when_read(clips: Callable[[], Iterator[Clip]]) -> Generator[Clip, None, None]:
    """Clips of a source: going to the first may take seconds, or fail, in the thread that reads them."""
    yield from clips()


class Pipeline:
    """Clips of a source, seen; to be iterated over with ``take`` and closed.

    Args:
        clips: the clips of the source; iterated and closed in the reader's thread.
        sight: resizes them.
        look: runs the vision tower.
        guide: the one that the source was given: the time that the first clip took to come is the source's.
        ahead: clips to be prepared beyond the one that is spoken about; 0 prepares each when it is taken.
        watch: shown every clip as it was read, in the reader's thread.
        sees: run the vision tower too; else clips are to be had with ``take_sized``.
        notify: called in the reader's thread whenever there is one, or the end.
    """

    def __init__(
        self,
        clips: Iterator[Clip],
        sight: Sight,
        look: Callable[[SizedClip], SeenClip],
        guide: Guide,
        ahead: int,
        watch: Callable[[Clip], None] | None = None,
        *,
        sees: bool = True,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._clips = clips
        self._notify = notify
        self._guide = guide
        self._sight = sight
        self._look_at = look
        self._watch = watch
        self._is_closed = threading.Event()
        self._room = threading.Semaphore(ahead)
        self._sized: queue.SimpleQueue[SizedClip | _End] = queue.SimpleQueue()
        self._seen: queue.SimpleQueue[SeenClip | _End] = queue.SimpleQueue()
        stages = {"svlm-read": self._read} | ({"svlm-vision": self._look} if sees else {})
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True) for name, work in stages.items() if ahead
        ]
        for thread in self._threads:
            thread.start()

    def take(self, timeout_seconds: float = POLL_SECONDS) -> SeenClip | None:
        """The next clip, or None where there is none yet.

        Raises:
            SourceEnded: there are no more.
            Exception: what ended the source.
        """
        if not self._threads:
            clip = next(self._clips, None)
            if clip is None:
                raise SourceEnded
            return self._look_at(self._size(clip))
        return self._taken(self._seen, timeout_seconds)

    def take_sized(self) -> SizedClip | None:
        """The next clip as it goes into the tower, or None where there is none yet; as ``take``."""
        return self._taken(self._sized, 0.0)

    def _taken(self, ready: queue.SimpleQueue[ItemT | _End], timeout_seconds: float) -> ItemT | None:
        try:
            item = ready.get(timeout=timeout_seconds) if timeout_seconds else ready.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, _End):
            ready.put(item)
            raise item.error or SourceEnded
        self._room.release()
        return item

    def leave(self) -> None:
        """Tell both threads to end."""
        self._is_closed.set()
        self._room.release()

    def close(self, patience_seconds: float = JOIN_SECONDS) -> None:
        """End both threads; one that hangs in a source for longer is left to end by itself."""
        self.leave()
        if not self._threads:
            self._clips.close()  # type: ignore[attr-defined]
        for thread in self._threads:
            thread.join(patience_seconds)

    def _size(self, clip: Clip) -> SizedClip:
        if clip.index == 0:
            self._guide.hold(clip.end_seconds, math.inf)
        if self._watch is not None:
            self._watch(clip)
        return self._sight.resize(clip)

    def _read(self) -> None:
        error = None
        try:
            with closing(self._clips):  # type: ignore[type-var]
                while self._may_go_on():
                    clip = next(self._clips, None)
                    if clip is None:
                        break
                    self._sized.put(self._size(clip))
                    self._notify()
        except BaseException as failure:
            error = failure
        self._sized.put(_End(error))
        self._notify()

    def _may_go_on(self) -> bool:
        self._room.acquire()
        return not self._is_closed.is_set()

    def _look(self) -> None:
        while True:
            item = self._sized.get()
            if isinstance(item, _End):
                self._seen.put(item)
                return
            try:
                with torch.inference_mode():
                    self._seen.put(self._look_at(item))
            except BaseException as failure:
                self._seen.put(_End(failure))
                self._is_closed.set()
                return
