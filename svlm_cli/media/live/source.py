"""A source that runs by the clock: network addresses, cameras, standard input."""

from __future__ import annotations

import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Self

import numpy as np

from svlm_cli.errors import NothingThereError, SourceError
from svlm_cli.media.address import LiveOptions, shown_address
from svlm_cli.media.container import OpenVideo
from svlm_cli.media.file.convert import SQUARE, appearance, believed_aspect, shown_width
from svlm_cli.media.live.connecting import Connector, UnservableError
from svlm_cli.media.live.dates import Dating
from svlm_cli.media.live.pictures import LivePictures
from svlm_cli.media.live.receiver import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, Receiver
from svlm_cli.media.live.source_clock import SourceClock
from svlm_cli.media.probe import describe
from svlm_cli.media.source import Guide, VideoInfo
from svlm_cli.media.timeline import SHORTEST_STEP_SECONDS, Playhead, Steps
from svlm_cli.settings import VIEWING, Viewing
from svlm_cli.text import encodable, visible
from svlm_cli.types import Clip

CLOSE_SECONDS = 1.0
POLL_SECONDS = 0.1


def open_live(source: str, options: LiveOptions | None = None, viewing: Viewing = VIEWING) -> LiveSource:
    """Open an address, a camera or standard input (``-``).

    Args:
        source: see ``media.address``.
        options: defaults where None.
        viewing: how its pictures are shown; its reader is PyAV.

    Raises:
        SourceError: it cannot be opened or holds no pictures.
    """
    return LiveSource(source, options or LiveOptions(), viewing)


def _beside(connect: Callable[[], OpenVideo]) -> OpenVideo:
    """What ``connect`` gives, from a thread of its own: a Ctrl-C need not wait for the network."""
    outcome: queue.SimpleQueue[OpenVideo | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(connect())
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=work, name="svlm-open", daemon=True).start()
    while True:
        try:
            found = outcome.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if isinstance(found, BaseException):
            raise found
        return found


def _patiently(connector: Connector, most_seconds: float, name: str) -> OpenVideo:
    """Connect; while the source is not there yet, again, with pauses that grow.

    Raises:
        SourceError: it did not come in time, or cannot be played at all.
    """
    began, pause = time.monotonic(), FIRST_DELAY_SECONDS
    while True:
        try:
            return connector.connect()
        except UnservableError:
            raise
        except SourceError as error:
            if time.monotonic() - began >= most_seconds:
                raise
            if pause == FIRST_DELAY_SECONDS:
                told = visible(f"{name} is not there yet ({error.message}); waiting for it")
                logging.getLogger(__name__).warning("%s", told)
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_DELAY_SECONDS)


def _described(video: OpenVideo, viewing: Viewing) -> VideoInfo:
    """What an open source says of its pictures before the first one is decoded."""
    aspect = SQUARE if viewing.is_raw else believed_aspect(video.pixel_aspect)
    decoder = video.stream.codec_context
    width = shown_width(decoder.width, aspect)
    return describe(video, width, decoder.height, None, appearance(decoder, video.pixel_aspect, viewing))


class LiveSource:
    """Implements ``media.source.Source`` over a ``Receiver``; made by ``open_live``.

    Second 0 is the first picture after ``clips`` was called, or, where the source is a file with an end, its
    first picture. Where a source was lost for a while, the seconds without a picture are left out and time
    has gone on.

    Attributes:
        name: the address as given, but for a password.
        is_live: whether it has no end that is known.
    """

    def __init__(self, source: str, options: LiveOptions, viewing: Viewing) -> None:
        self.name = encodable(shown_address(source))
        shown = "standard input" if self.name == "-" else self.name
        connector = Connector(source, shown, options)
        self._viewing = viewing
        self._stall_seconds = options.stall_seconds
        self._problems: list[str] = []
        video = _beside(partial(_patiently, connector, options.opening_seconds, shown))
        self.is_live = not video.has_end
        self.info: VideoInfo = _described(video, viewing)
        self._clock = SourceClock()
        has_dates = video.container.format.name == "hls"
        self._dating = Dating(self._clock, lambda: connector.playlist) if has_dates else None
        self._receiver = Receiver(
            video,
            connector.connect,
            options,
            self._problems.append,
            is_finite=not self.is_live,
            may_reconnect=source != "-",
            sends_again=video.is_playlist,
            sends_parts=connector.sends_parts,
            source_clock=self._clock,
        )
        self._receiver.start()

    @property
    def problems(self) -> list[str]:
        """What went wrong so far, a sentence each."""
        return list(self._problems)

    @property
    def num_reconnects(self) -> int:
        """How often it was lost and has shown a picture again."""
        return 0 if self._pictures is None else self._pictures.num_reconnects

    def opening_text(self, start_seconds: float) -> str:  # noqa: ARG002 - the Source contract's name
        """Nothing: a broadcast does not introduce itself."""
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
            start_seconds: where the first step starts; what is live begins now, and its first second has this
                number.

        Raises:
            NothingThereError: a file with an end ends before the start.
            SourceLostError: a live source was lost and did not come back.
        """
        steps = Steps(fps, step_seconds, start_seconds, duration_seconds)
        zero = start_seconds if self.is_live else 0.0
        stall = self._stall_seconds if self.is_live else math.inf
        pictures = self._pictures = LivePictures(
            self._receiver.buffer, self._problems.append, guide, zero, self._viewing, stall
        )
        return self._clips(pictures, steps, guide)

    def _clips(self, pictures: LivePictures, steps: Steps, guide: Guide | None) -> Iterator[Clip]:
        playhead = Playhead(pictures.all())
        index = 0
        for start in steps.starts(guide):
            end = start + steps.step_seconds
            began, waited = time.perf_counter(), pictures.waited_seconds
            pictures.hurry_to(start)
            if not playhead.lasts_beyond(start + SHORTEST_STEP_SECONDS):
                break
            if pictures.is_gap(start, end):
                continue
            images = self._images(playhead, [pictures.shown_at(t, start) for t in steps.times(start)])
            waited = pictures.waited_seconds - waited
            if guide is not None:
                if guide.is_stopped:
                    return
                guide.hold(end, waited, self._receiver.buffer.newest_seconds - end)
            if index == 0 and self._dating is not None:
                self._dating.wait_for_first()
            told = self._clock.at(start - self._receiver.buffer.shift_seconds)
            yield Clip(index, start, end, images, time.perf_counter() - began - waited, told)
            index += 1
        if pictures.error is not None:
            raise pictures.error
        if index == 0 and not (guide is not None and guide.is_stopped):
            lacks = f"{self.name} holds nothing at {steps.start_seconds:g} s"
            raise NothingThereError(lacks, "start earlier")

    def _images(self, playhead: Playhead, times: Sequence[float]) -> np.ndarray:
        """The images on screen at ascending times: uint8, shape (num_times, height, width, 3)."""
        images = [playhead.image(seconds) for seconds in times]
        return np.stack([image for image in images if image is not None])

    def close(self) -> None:
        """Stop receiving; more than once is fine."""
        if self._dating is not None:
            self._dating.close()
        self._receiver.close(CLOSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
