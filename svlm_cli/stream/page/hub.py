"""Between one stream and its viewers: events and pictures out, at no cost to the stream.

The stream's threads only ever append to bounded queues; a viewer that does not keep up is let go, and comes
back to where it was when it asks again.
"""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.errors import OutputError
from svlm_cli.media.address import public_name
from svlm_cli.stream.outputs.formats import json_line
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import Clip, EndEvent, StartEvent, StreamEvent, WarningEvent, reached_by

if TYPE_CHECKING:
    import numpy as np

KEPT_EVENTS = 900
KEPT_PICTURES = 300
KEPT_UNSEEN = 4
VIEWER_EVENTS = 1200
MAX_VIEWERS = 64
PICTURE_WIDTH, MOST_HEIGHT = 640, 4096  # JPEG ends at 65,500
PICTURE_QUALITY = 80
WORDS_FILE, EVENTS_FILE = "words.vtt", "events.jsonl"


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way to a page: its number, its JSON, and whether it ends the stream."""

    number: int
    text: str
    is_last: bool = False


class TooManyViewers(Exception):  # noqa: N818 - told to the one who comes last
    """No room for another viewer."""


@dataclass(frozen=True, slots=True, eq=False)
class Viewer:
    """One who looks on, from ``Hub.join`` to ``Hub.leave``.

    Args:
        loop: that it is served in.
        coming: messages to be sent; None is the end.
        missed: what it had not seen when it came.
        has_ended: whether the stream was over by then.
    """

    loop: asyncio.AbstractEventLoop
    coming: asyncio.Queue[Message | None]
    missed: tuple[Message, ...]
    has_ended: bool


class Hub:
    """Publishes one stream.

    Args:
        folder: for the files that viewers may download; of this stream alone.
        private: files that warnings may name (outputs, the state): viewers see their base names.

    Attributes:
        run_id: tells this run from others at the same address.
    """

    def __init__(self, folder: Path, private: Iterable[Path] = ()) -> None:
        self.run_id = secrets.token_hex(4)
        self.words_path, self.events_path = folder / WORDS_FILE, folder / EVENTS_FILE
        self._writers: Writers | None = Writers([self.words_path, self.events_path])
        self._lock = threading.Lock()
        self._number = 0
        self._start: Message | None = None
        self._kept: deque[Message] = deque(maxlen=KEPT_EVENTS)
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._unseen: OrderedDict[str, np.ndarray] = OrderedDict()
        self._viewers: set[Viewer] = set()
        names = {str(path): path.name for path in (*private, self.words_path, self.events_path)}
        self._hidden = dict(sorted(names.items(), key=lambda each: -len(each[0])))
        self._ended = False

    @property
    def num_viewers(self) -> int:
        """How many look on."""
        return len(self._viewers)

    def publish(self, event: StreamEvent) -> list[WarningEvent]:
        """Send an event to all viewers; from the stream's thread, never waits.

        Where the source and the files of the stream lie, on this machine or with what keys, is not told.

        Returns:
            What goes wrong with the files for viewers, once.
        """
        event = self._fit(event)
        warnings = self._write(event)
        with self._lock:
            self._number += 1
            message = Message(self._number, json_line(event), isinstance(event, EndEvent))
            if isinstance(event, StartEvent):
                self._start = message
            else:
                self._kept.append(message)
            self._ended = self._ended or isinstance(event, EndEvent)
            viewers = list(self._viewers)
        for viewer in viewers:
            _call(viewer.loop, self._hand, viewer, message)
        return warnings

    def _fit(self, event: StreamEvent) -> StreamEvent:
        """The event as viewers may see it."""
        if isinstance(event, StartEvent):
            source = public_name(event.source)
            hidden = {event.source: source} | self._hidden
            # Longest first: a short name may be a part of a long one.
            self._hidden = dict(sorted(hidden.items(), key=lambda each: -len(each[0])))
            settings = dict(event.settings)
            if adapter := settings.get("adapter"):
                settings["adapter"] = _without_folder(str(adapter))
            model = _without_folder(event.model)
            return replace(event, source=source, model=model, settings=settings)
        if isinstance(event, WarningEvent):
            message = event.message
            for private, shown in self._hidden.items():
                message = message.replace(private, shown) if private else message
            return replace(event, message=message)
        return event

    def _write(self, event: StreamEvent) -> list[WarningEvent]:
        if self._writers is None:
            return []
        try:
            return self._writers.write(event)
        except OutputError as error:
            self._writers = None
            told = f"nothing can be downloaded from the page: {error.message}"
            return [WarningEvent(told, reached_by(event))]

    def watch(self, clip: Clip) -> None:
        """Keep a small picture of a clip, or its last frame while nobody looks on; in the reader's thread."""
        name = f"{clip.start_seconds:.3f}"
        if not self._viewers:
            self._unseen[name] = clip.frames[-1].copy()
            while len(self._unseen) > KEPT_UNSEEN:
                self._unseen.popitem(last=False)
            return
        picture = small_jpeg(clip.frames[-1])
        with self._lock:
            self._pictures[name] = picture
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)

    def picture(self, start_seconds: str) -> bytes | None:
        """The JPEG of the step that starts there (three decimals), while it is kept."""
        kept = self._pictures.get(start_seconds)
        if kept is None and (frame := self._unseen.get(start_seconds)) is not None:
            return small_jpeg(frame)
        return kept

    def join(self, after: str = "") -> Viewer:
        """Let a viewer in, to be served in the running loop; ``leave`` lets it go.

        Args:
            after: ``RUN-NUMBER`` of the last message it has seen; of another run: all that is kept.

        Raises:
            TooManyViewers: there is no room.
        """
        run, _, number = after.partition("-")
        seen = int(number) if run == self.run_id and re.fullmatch("[0-9]{1,18}", number) else 0
        with self._lock:
            if len(self._viewers) >= MAX_VIEWERS:
                raise TooManyViewers
            kept = [message for message in (self._start, *self._kept) if message and message.number > seen]
            viewer = Viewer(
                asyncio.get_running_loop(), asyncio.Queue(VIEWER_EVENTS), tuple(kept), self._ended
            )
            self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A viewer is gone; more than once is fine."""
        with self._lock:
            self._viewers.discard(viewer)

    async def follow(self, viewer: Viewer) -> AsyncIterator[Message]:
        """What a viewer has missed and what comes next, until the stream ends or the viewer falls behind."""
        for message in viewer.missed:
            yield message
        ended = viewer.has_ended
        while not ended and (coming := await viewer.coming.get()) is not None:
            yield coming
            ended = coming.is_last

    def close(self) -> None:
        """Let all viewers go and close the files."""
        with self._lock:
            viewers = list(self._viewers)
        for viewer in viewers:
            _call(viewer.loop, self._see_off, viewer)
        if self._writers is not None:
            self._writers.close()

    def _hand(self, viewer: Viewer, message: Message) -> None:
        """In the viewer's loop."""
        try:
            viewer.coming.put_nowait(message)
        except asyncio.QueueFull:
            self._let_go(viewer)

    def _see_off(self, viewer: Viewer) -> None:
        """The end, behind what is still to be sent."""
        try:
            viewer.coming.put_nowait(None)
        except asyncio.QueueFull:
            self._let_go(viewer)

    def _let_go(self, viewer: Viewer) -> None:
        self.leave(viewer)
        while not viewer.coming.empty():
            viewer.coming.get_nowait()
        viewer.coming.put_nowait(None)


def _without_folder(name: str) -> str:
    """The base name of what lies on this machine; a name on Hugging Face as it is."""
    return Path(name).name if Path(name).exists() else name


def small_jpeg(frame: np.ndarray) -> bytes:
    """A frame, uint8 RGB (height, width, 3), as a JPEG no wider than a page shows it, and never a tower."""
    from PIL import Image

    image = Image.fromarray(frame)
    if image.width > PICTURE_WIDTH or image.height > MOST_HEIGHT:
        image.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=PICTURE_QUALITY)
    return out.getvalue()


def _call(loop: asyncio.AbstractEventLoop, function: object, *args: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]
    except RuntimeError:  # its loop is closed: the viewer is gone
        return
