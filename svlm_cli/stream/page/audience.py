"""Those who look on: each has a bounded queue; one that does not keep up is let go and may come back."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

VIEWER_EVENTS = 1200
MAX_VIEWERS = 64


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way to a viewer.

    Args:
        number: counted over all channels of a run.
        channel: the channel it is of.
        text: its JSON.
        is_last: whether it ends its channel.
    """

    number: int
    channel: str
    text: str
    is_last: bool = False


class TooManyViewers(Exception):  # noqa: N818 - told to the one who comes last
    """No room for another viewer."""


@dataclass(frozen=True, slots=True, eq=False)
class Viewer:
    """One who looks on, from ``Audience.join`` to ``Audience.leave``.

    Args:
        loop: the loop that it is served in.
        coming: messages to be sent; None is the end.
        missed: what it had not seen when it came.
        channel: the one it wants to see, None for all.
        has_ended: whether nothing more was to come by then.
    """

    loop: asyncio.AbstractEventLoop
    coming: asyncio.Queue[Message | None]
    missed: tuple[Message, ...]
    channel: str | None
    has_ended: bool


class Audience:
    """All who look on at one run.

    Args:
        ends: whether the end of a channel ends those who look on at all: there is one channel, and no more.

    Attributes:
        run_id: tells this run from others at the same address.
        lock: held while a message is numbered, kept and handed out.
    """

    def __init__(self, *, ends: bool = True) -> None:
        self.run_id = secrets.token_hex(4)
        self.lock = threading.Lock()
        self._ends = ends
        self._number = 0
        self._viewers: set[Viewer] = set()

    def __len__(self) -> int:
        return len(self._viewers)

    def tell(self, channel: str, text: str, keep: Callable[[Message], None], *, is_last: bool) -> None:
        """Send an event to all who want it; from any thread, never waits.

        Args:
            channel: the channel it is of.
            text: its JSON.
            keep: takes the message for those who come later.
            is_last: whether it ends its channel.
        """
        with self.lock:
            self._number += 1
            message = Message(self._number, channel, text, is_last)
            keep(message)
            viewers = [each for each in self._viewers if each.channel in (None, channel)]
        for viewer in viewers:
            _call(viewer.loop, self._hand, viewer, message)

    def seen(self, after: str) -> int:
        """The number of the last message that somebody has seen: ``RUN-NUMBER``, or a number of this run."""
        run, _, number = after.rpartition("-")
        is_ours = run in (self.run_id, "") and re.fullmatch("[0-9]{1,18}", number) is not None
        return int(number) if is_ours else 0

    def join(
        self, channel: str | None, kept: Callable[[], Iterable[Message]], has_ended: Callable[[], bool]
    ) -> Viewer:
        """Let a viewer in, to be served in the running loop; ``leave`` lets it go.

        Args:
            channel: the one it wants to see, None for all.
            kept: what it is sent first.
            has_ended: whether nothing more is to come.

        Raises:
            TooManyViewers: there is no room.
        """
        with self.lock:
            if len(self._viewers) >= MAX_VIEWERS:
                raise TooManyViewers
            missed = tuple(sorted(kept(), key=lambda message: message.number))
            coming: asyncio.Queue[Message | None] = asyncio.Queue(VIEWER_EVENTS)
            viewer = Viewer(asyncio.get_running_loop(), coming, missed, channel, has_ended())
            self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A viewer is gone; more than once is fine."""
        with self.lock:
            self._viewers.discard(viewer)

    async def follow(self, viewer: Viewer) -> AsyncIterator[Message]:
        """What a viewer has missed and what comes next, until its end, or until it falls behind."""
        for message in viewer.missed:
            yield message
        ended = viewer.has_ended
        while not ended and (coming := await viewer.coming.get()) is not None:
            yield coming
            ended = coming.is_last and (self._ends or viewer.channel is not None)

    def close(self, channel: str | None = None) -> None:
        """Let all viewers go behind what is still to be sent; only those of a channel where one is named."""
        with self.lock:
            viewers = [each for each in self._viewers if channel is None or each.channel == channel]
        for viewer in viewers:
            _call(viewer.loop, self._see_off, viewer)

    def _hand(self, viewer: Viewer, message: Message) -> None:
        """In the viewer's loop."""
        try:
            viewer.coming.put_nowait(message)
        except asyncio.QueueFull:
            self._let_go(viewer)

    def _see_off(self, viewer: Viewer) -> None:
        try:
            viewer.coming.put_nowait(None)
        except asyncio.QueueFull:
            self._let_go(viewer)

    def _let_go(self, viewer: Viewer) -> None:
        self.leave(viewer)
        while not viewer.coming.empty():
            viewer.coming.get_nowait()
        viewer.coming.put_nowait(None)


def _call(loop: asyncio.AbstractEventLoop, function: object, *args: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]
    except RuntimeError:  # its loop is closed: the viewer is gone
        return
