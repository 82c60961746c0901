"""Pictures pushed in over a WebSocket, events out: ``svlm.push.v1``, as docs/api.md tells it.

Whoever sends may send as much as it was given credit for, which is given as pictures are taken; who sends
more, or too fast, or what is no part of the protocol, is told why and closed.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from svlm_cli import values
from svlm_cli.documents import MalformedError
from svlm_cli.errors import UsageError
from svlm_cli.media.pushed import MOST_PIXELS, MOST_SIDE, PushedSource
from svlm_cli.stream.page.audience import TooManyViewers, Viewer
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.limits import SEND_SECONDS
from svlm_cli.stream.page.taking import TOO_EARLY, Refused, answered
from svlm_cli.text import encodable

SUBPROTOCOL = "svlm.push.v1"
MOST_A_SECOND = 60
MOST_TITLE_LETTERS = 200
MOST_TEXT_LETTERS = 4096
FIRST_SECONDS = 10.0
PAUSE_SECONDS = 60.0  # without a message
WAIT_SECONDS = 2.0  # until what came too early is tried again
STEPS_AHEAD = 2
LEAST_CREDIT = 4
STAMP_BYTES = 8
LEAST_SIDE = 16
VIOLATION, TOO_LARGE, DONE, GONE = 1008, 1009, 1000, 1001


@dataclass(frozen=True, slots=True)
class PushStart:
    """What a sender says first.

    Args:
        fps: pictures a second that it sends.
        width, height: the size of each.
        title: a title of what it shows; may be empty.
    """

    fps: float
    width: int
    height: int
    title: str = ""

    @classmethod
    def read(cls, text: str) -> PushStart:
        """From its JSON.

        Raises:
            UsageError: it is something else.
        """
        try:
            content = json.loads(text) if len(text) <= MOST_TEXT_LETTERS else None
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict) or content.get("type") != "start":
            raise UsageError("the first message is no start", '{"type": "start", "fps": 8, "width": 640, ...')
        title = content.get("title", "")
        width, height = _side(content, "width"), _side(content, "height")
        try:
            fps = values.number(content.get("fps"), "fps", 0.0, MOST_A_SECOND)
        except MalformedError:
            fps = 0.0
        if not fps:
            raise UsageError(f"start: fps is no number above 0, {MOST_A_SECOND} at most")
        if width * height > MOST_PIXELS:
            raise UsageError(f"start: more than {MOST_PIXELS:,} pixels")
        if not isinstance(title, str) or len(title) > MOST_TITLE_LETTERS or title.startswith("@"):
            raise UsageError(f"start: title: at most {MOST_TITLE_LETTERS} letters, no @ first")
        return cls(fps, width, height, encodable(" ".join(title.split())))


class Opener(Protocol):
    """Makes a channel of what somebody sends."""

    def open(
        self, name: str, start: PushStart, taken: Callable[[int], None]
    ) -> tuple[str, PushedSource, float]:
        """Open a channel; may take its time.

        Args:
            name: the name that is asked for; empty for any.
            start: what the sender says of itself.
            taken: called with the number of pictures that were taken, from another thread.

        Returns:
            Its name, where the pictures go, and seconds per step.

        Raises:
            SvlmError: it cannot be opened.
        """
        ...


class PushDoor:
    """Lets senders in.

    Args:
        board: where their channels are shown.
        opener: makes channels of what they send.
    """

    def __init__(self, board: Board, opener: Opener) -> None:
        self._board = board
        self._opener = opener

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one sender, from its start to the end of its channel."""
        await _Sender(websocket, self._board, self._opener).serve()


class _Closing(Exception):  # noqa: N818 - how a connection ends
    """The connection is to be closed with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Sender:
    """One connection; in the server's loop."""

    def __init__(self, websocket: WebSocket, board: Board, opener: Opener) -> None:
        self._socket = websocket
        self._board = board
        self._opener = opener
        self._loop = asyncio.get_running_loop()
        self._source: PushedSource | None = None
        self._viewer: Viewer | None = None
        self._arrived: deque[float] = deque()
        self._credit = self._owed = 0
        self._is_owed = asyncio.Event()
        self._has_ended = False

    async def serve(self) -> None:
        """From accepting it to closing it; whatever happens, its channel ends."""
        is_known = SUBPROTOCOL in self._socket.scope["subprotocols"]
        await self._socket.accept(SUBPROTOCOL if is_known else None)
        reason = "the sender is gone"
        try:
            if not is_known:
                raise _Closing(VIOLATION, f"open the subprotocol {SUBPROTOCOL}")
            await self._open()
            await self._talk()
        except _Closing as closing:
            reason = "" if closing.code == DONE else f"the sender was closed: {closing.reason}"
            await self._close(closing)
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            if self._source is not None:
                self._source.end("" if self._has_ended else reason)
            if self._viewer is not None:
                self._board.audience.leave(self._viewer)

    async def _open(self) -> None:
        """Take the start and open a channel."""
        try:
            async with asyncio.timeout(FIRST_SECONDS):  # wait_for can swallow a cancellation (CPython 3.11)
                text = await self._text()
        except TimeoutError:
            raise _Closing(VIOLATION, "no start came") from None
        try:
            start = PushStart.read(text)
            name, self._source, step_seconds = await self._opened(start)
            self._viewer = self._board.join(name)
        except TooManyViewers:
            raise _Closing(VIOLATION, "too many viewers") from None
        except (Refused, UsageError) as refused:
            error = refused.error if isinstance(refused, Refused) else refused.message
            await self._send(json.dumps({"error": error, "hint": refused.hint}))
            raise _Closing(VIOLATION, error) from None
        window = math.ceil(STEPS_AHEAD * step_seconds * start.fps) + 1
        self._owe(min(MOST_A_SECOND, max(LEAST_CREDIT, window)))

    async def _opened(self, start: PushStart) -> tuple[str, PushedSource, float]:
        """What the opener makes of a start; whoever comes before there may be channels is told, and waits."""
        wanted = self._socket.query_params.get("channel", "")
        while True:
            try:
                return await answered(lambda: self._opener.open(wanted, start, self._give_back))
            except Refused as refused:
                if refused.status != TOO_EARLY:
                    raise
                await self._send(json.dumps({"type": "wait", "reason": refused.error}))
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    if _is_end(await self._text()):
                        raise _Closing(DONE, "")
                    raise _Closing(VIOLATION, "a message before there was credit")

    async def _talk(self) -> None:
        """Read and send until either has come to its end."""
        tasks = [asyncio.create_task(work) for work in (self._read(), self._tell(), self._grant())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _text(self) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        return message.get("text") or ""

    async def _read(self) -> None:
        """Take what comes, always: what is not read is not answered either."""
        assert self._source is not None
        while True:
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    message = await self._socket.receive()
            except TimeoutError:
                if self._has_ended:
                    continue
                raise _Closing(VIOLATION, f"nothing came for {PAUSE_SECONDS:.0f} s") from None
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            if self._has_ended:
                continue
            if (data := message.get("bytes")) is not None:
                self._take(data)
            elif _is_end(message.get("text") or ""):
                self._has_ended = True
                self._source.end()
            else:
                raise _Closing(VIOLATION, "neither a picture nor the end")

    def _take(self, data: bytes) -> None:
        assert self._source is not None
        now = time.monotonic()
        self._arrived.append(now)
        if self._num_arrived(now) > MOST_A_SECOND:
            raise _Closing(VIOLATION, f"more than {MOST_A_SECOND} pictures a second")
        if len(data) <= STAMP_BYTES:
            raise _Closing(VIOLATION, "no picture behind the 8 bytes of its time")
        if self._credit <= 0:
            raise _Closing(VIOLATION, "more pictures than credit was given for")
        self._credit -= 1
        if not self._source.offer(int.from_bytes(data[:STAMP_BYTES], "big"), data[STAMP_BYTES:]):
            self._owe(1)

    def _num_arrived(self, now: float) -> int:
        while self._arrived and now - self._arrived[0] >= 1.0:
            self._arrived.popleft()
        return len(self._arrived)

    def _give_back(self, count: int) -> None:
        """From the thread that reads the source."""
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self._owe, count)

    def _owe(self, count: int) -> None:
        self._owed += count
        self._is_owed.set()

    async def _grant(self) -> None:
        """Give credit for what was taken, never so much that its use could be too fast."""
        while True:
            await self._is_owed.wait()
            room = MOST_A_SECOND - self._num_arrived(time.monotonic()) - self._credit
            if (count := min(self._owed, room)) > 0:
                self._owed -= count
                self._credit += count
                await self._send(json.dumps({"type": "credit", "frames": count}))
            if not self._owed:
                self._is_owed.clear()
            else:
                await asyncio.sleep(0.05)

    async def _tell(self) -> None:
        """The events of the channel; behind its end the connection ends."""
        assert self._viewer is not None
        async for message in self._board.audience.follow(self._viewer):
            await self._send(message.text)
            if message.is_last:
                raise _Closing(DONE, "")
        raise _Closing(GONE, "the channel is gone")

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(text)

    async def _close(self, closing: _Closing) -> None:
        with suppress(Exception):
            reason = closing.reason.encode()[:120].decode(errors="ignore")
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.close(closing.code, reason)


def _side(content: dict[str, object], name: str) -> int:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST_SIDE <= value <= MOST_SIDE:
        raise UsageError(f"start: {name} is no whole number from {LEAST_SIDE} to {MOST_SIDE}")
    return value


def _is_end(text: str) -> bool:
    try:
        content = json.loads(text) if len(text) <= MOST_TEXT_LETTERS else None
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("type") == "end"
