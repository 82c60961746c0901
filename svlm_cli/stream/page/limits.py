"""How much of this process the viewers of a page may hold: connections, descriptors, and for how long.

Limits hold where a connection is taken, before anything of it is read: whoever opens thousands of them finds
the page full, and the stream goes on to save its state.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response as HandshakeResponse
from websockets.server import ServerProtocol

from svlm_cli.stream.page.refusing import refusal_body

MOST_CONNECTIONS = 512
MOST_DOWNLOADS = 32
REQUEST_SECONDS = 5.0
IDLE_SECONDS = 15.0
SEND_SECONDS = 30.0
LAST_SECONDS = 2.0  # of a WebSocket that has broken its rules
CROWD = 0.5  # of the connections: where more are held, none is kept for a next request
BACKLOG = 128
FULL_BODY = refusal_body("too many connections", "try again later")
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(FULL_BODY), FULL_BODY)
)
# What libraries log of viewers (one that is gone in mid-write, say) is no line of ours.
LOGGING = {
    "version": 1,
    "incremental": True,
    "loggers": {
        name: {"level": "CRITICAL"} for name in ("uvicorn", "asyncio", "sse_starlette", "websockets")
    },
}


def most_connections() -> int:
    """How many connections at once: at most half of the descriptors that this process may hold."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, soft // 2)


def most_downloads() -> int:
    """How many files at once; each holds a descriptor beside its connection."""
    return min(MOST_DOWNLOADS, most_connections() // 4)


class Entrance(socket.socket):
    """A listening socket that lets so many in at once; the next one is told 503 and is gone.

    Args:
        listening: the socket to take over.
        most: connections at once.
    """

    def __init__(self, listening: socket.socket, most: int) -> None:
        super().__init__(fileno=listening.detach())
        self._most = most
        self._inside: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            BlockingIOError: there is none, or it was one too many.
        """
        connection, address = super().accept()
        self._inside = [each for each in self._inside if each.fileno() >= 0]
        if len(self._inside) < self._most:
            self._inside.append(connection)
            return connection, address
        with connection, suppress(OSError):
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.recv(65536)  # what is left unread at the close would take the answer with it
            connection.send(FULL)
        raise BlockingIOError


class TakenInTime(asyncio.Protocol):
    """Lets go of a reader that takes nothing of what is sent for ``SEND_SECONDS``."""

    loop: asyncio.AbstractEventLoop
    transport: Any
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The reader is slow."""
        super().pause_writing()
        self._stalled = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken something."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class ImpatientProtocol(TakenInTime, H11Protocol):
    """HTTP of uvicorn that lets go of whoever holds a connection without using it.

    A request, whichever of its connection, is to be there whole ``REQUEST_SECONDS`` after it has begun, the
    first after the connection was made; between two there may be ``IDLE_SECONDS``; and what is sent has to be
    taken: a reader that takes nothing for ``SEND_SECONDS`` is gone. In a crowd a connection ends with its
    answer, so that nobody keeps others out by asking for something now and then.
    """

    _deadline: asyncio.TimerHandle | None = None
    _is_coming = True
    _is_handed_over = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._allow(REQUEST_SECONDS)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over: from now on another has its time."""
        self._is_handed_over = True
        self._allow(None)
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Say in JSON that this is no request of HTTP, and close."""
        body = refusal_body(msg.rstrip("."), "send HTTP/1.1, as curl and browsers do")
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._allow(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request; what h11 does not bear in its present state ends the connection."""
        try:
            super().data_received(data)
        except Exception:
            self.transport.abort()
        else:
            if not self._is_handed_over:
                self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the answer to be taken; in a crowd this one was the last."""
        is_whole = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE)  # whatever lies behind the request
        if (
            is_whole
            and len(self.connections) > CROWD * most_connections()
            and not self.transport.is_closing()
        ):
            self.connections.discard(self)  # counted no more, though its end is still to come
            self.transport.close()
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        """Set the time that is left by what of a request is there."""
        state = self.conn.their_state
        was_coming = self._is_coming
        self._is_coming = state is h11.SEND_BODY or (state is h11.IDLE and bool(self.conn.trailing_data[0]))
        if self.transport.is_closing():
            self._allow(SEND_SECONDS)
        elif self._is_coming:
            if not was_coming:
                self._allow(REQUEST_SECONDS)
        elif state is h11.IDLE:  # uvicorn's own timer closes it; this one where that cannot send what is left
            self._allow(IDLE_SECONDS + SEND_SECONDS)
        else:
            self._allow(None)

    def _allow(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


class _Handshakes(ServerProtocol):
    """Refuses a handshake in JSON, as all else is refused."""

    def reject(self, status: Any, text: str) -> HandshakeResponse:
        """The answer to a handshake that is none."""
        response = super().reject(status, text)
        response.body = refusal_body(" ".join(text.split()), "open a WebSocket as browsers do")
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
        response.headers["Content-Type"] = "application/json"
        response.headers["Content-Length"] = str(len(response.body))
        return response


class ImpatientSocket(TakenInTime, WebSocketsSansIOProtocol):
    """WebSockets of uvicorn that let go of a reader that takes nothing, and of what is no WebSocket."""

    _is_deaf = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Handshakes(max_size=self.config.ws_max_size, logger=self.logger)

    def data_received(self, data: bytes) -> None:
        """Take a piece; what the library does not bear ends the connection."""
        if self._is_deaf:
            return
        try:
            super().data_received(data)
        except Exception:
            self.transport.abort()

    def handle_parser_exception(self) -> None:
        """Say why it is closed, and let what is under way run out: a reset would take the reason with it."""
        self._is_deaf = self.close_sent = True
        told = self.conn.close_sent
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006 if told is None else told.code})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LAST_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self.resume_writing()
        super().connection_lost(exc)


class QuietServer(uvicorn.Server):
    """Writes nothing to standard error: what happens to a viewer's connection is no error of the stream."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start in the running loop."""
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        await super().startup(sockets)
