"""The page of a stream (``svlm stream --serve``): starlette behind uvicorn, in a thread of its own.

Nothing on the page comes from another host. On loopback only loopback's own names are answered (a page
elsewhere may point a name of its own here); anywhere else every request needs the token that is printed at
the start.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from svlm_cli import values
from svlm_cli.errors import OutputError, UsageError
from svlm_cli.stream.channels.channel import Desk
from svlm_cli.stream.page.answers import ASSETS, PageAnswers
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.guard import (
    HostGuard,
    SafeHeaders,
    SocketGuard,
    TokenGuard,
    check_origins,
    check_token,
)
from svlm_cli.stream.page.limits import (
    BACKLOG,
    IDLE_SECONDS,
    LOGGING,
    Entrance,
    ImpatientProtocol,
    ImpatientSocket,
    QuietServer,
    most_connections,
)
from svlm_cli.stream.page.push import Opener, PushDoor
from svlm_cli.stream.page.refusing import ErrorsInJson, failed
from svlm_cli.stream.page.taking import Refused

START_SECONDS = 10.0
MOST_BYTES = 1 << 23  # of one message of a WebSocket
_LAST_PORT = 65535


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[V6]:PORT`` or ``PORT`` on 127.0.0.1; port 0 takes a free one.

    Raises:
        UsageError: it is none of these.
    """
    host, _, port = text.rpartition(":")
    number = values.digits(port, _LAST_PORT)
    if number is None:
        told = text if len(text) <= 80 else f"{text[:77]}..."
        raise UsageError(f"--serve {told}: not HOST:PORT", "try --serve 127.0.0.1:8000")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", number


class PageServer:
    """Serves the page while it is open as a context manager.

    Args:
        board: the channels.
        address: what ``parse_address`` gave.
        token: the token to ask for off loopback; one is made where it is empty.
        origins: the origins of pages elsewhere that may use the API.
        desk: where channels are added and removed, None where they are not.
        opener: makes channels of pictures that are pushed in, None where none are taken.

    Attributes:
        url: the address to open in a browser; holds the token where one was made.
        made_token: whether one was made.
        app, answers: what is served.

    Raises:
        OutputError: the address cannot be taken.
        UsageError: the token cannot be sent, an origin is none.
    """

    def __init__(
        self,
        board: Board,
        address: tuple[str, int],
        token: str = "",
        origins: Iterable[str] = (),
        desk: Desk | None = None,
        opener: Opener | None = None,
    ) -> None:
        check_token(token)
        allowed = check_origins(origins)
        host, port = address
        try:
            listening = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except OSError as error:
            raise OutputError(
                f"cannot serve on {host}:{port}: {error.strerror}", "name another port"
            ) from error
        self._socket = Entrance(listening, most_connections())
        is_loopback = _is_loopback(self._socket)
        self.made_token = not is_loopback and not token
        asked = None if is_loopback else token or secrets.token_urlsafe(16)
        shown = socket.gethostname() if _is_everywhere(self._socket) else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}/"
        if self.made_token:
            self.url += f"?token={asked}"
        self.answers = PageAnswers(board, allowed, desk, takes_frames=opener is not None)
        door = None if opener is None else PushDoor(board, opener)
        self.app = page_app(self.answers, asked, self._socket.getsockname()[1], allowed, door)
        config = uvicorn.Config(
            self.app,
            http=ImpatientProtocol,
            ws="none" if opener is None else ImpatientSocket,
            ws_max_size=MOST_BYTES,
            ws_per_message_deflate=False,
            log_config=LOGGING,
            log_level="critical",
            access_log=False,
            backlog=BACKLOG,
            timeout_keep_alive=round(IDLE_SECONDS),
            timeout_graceful_shutdown=1,
            lifespan="off",
        )
        self._server = QuietServer(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="svlm-page", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(3.0)
        self._socket.close()


def page_app(
    answers: PageAnswers,
    token: str | None,
    port: int,
    origins: tuple[str, ...] = (),
    door: PushDoor | None = None,
) -> Starlette:
    """The application; with a token every request must bring it."""
    routes: list[BaseRoute] = [
        Route("/", answers.index),
        Route("/overlay", answers.overlay),
        Route("/events", answers.events),
        Route("/picture", answers.picture),
        Route("/ask", answers.ask, methods=["POST"]),
        Route("/words.vtt", answers.words),
        Route("/events.jsonl", answers.all_events),
        Route("/captions.m3u8", answers.captions),
        Route("/captions/{name}", answers.segment),
        Route("/health", answers.health),
        Route("/metrics", answers.metrics),
        Route("/channels", answers.channels, methods=["GET", "POST", "DELETE"]),
        Route("/api.json", answers.api),
        Route("/camera", answers.camera),
        Mount("/static", StaticFiles(directory=ASSETS)),
    ]
    if door is not None:
        routes.append(WebSocketRoute("/push", door.serve))
    guards = [
        Middleware(ErrorsInJson),
        Middleware(SafeHeaders),
        Middleware(SocketGuard, paths=("/push",), origins=origins),
    ]
    if token is None:
        guards.append(Middleware(HostGuard))
    if origins:
        guards.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            )
        )
    if token is not None:
        guards.append(Middleware(TokenGuard, token=token, port=port))
    return Starlette(
        routes=routes, middleware=guards, exception_handlers={Refused: _refused, Exception: failed}
    )


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refused)
    return refusal.answer


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def _is_everywhere(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0]).is_unspecified
