"""The page of a stream (``svlm stream --serve``): starlette behind uvicorn, in a thread of its own.

Nothing on the page comes from another host. On loopback only loopback's own names are answered (a page
elsewhere may point a name of its own here); anywhere else every request needs the token that is printed at
the start.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from svlm_cli import values
from svlm_cli.errors import OutputError, UsageError
from svlm_cli.stream.page.guard import SafeHeaders, TokenGuard, check_token, is_own_origin
from svlm_cli.stream.page.hub import Hub, TooManyViewers
from svlm_cli.stream.page.limits import (
    BACKLOG,
    IDLE_SECONDS,
    LOGGING,
    SEND_SECONDS,
    Entrance,
    ImpatientProtocol,
    QuietServer,
    most_connections,
    most_downloads,
)
from svlm_cli.stream.questions import MAX_QUESTION_LETTERS, Questions
from svlm_cli.text import encodable

PAGE = Path(__file__).parents[2] / "assets" / "page"
LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]", "::1"]
MAX_BODY_BYTES = 4096
ASK_EVERY_SECONDS = 1.0
BODY_SECONDS = 4.0  # before the connection goes
MAX_ASKERS = 1024
START_SECONDS = 10.0
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
        hub: the hub of the stream.
        questions: where what is asked on the page goes.
        address: from ``parse_address``.
        token: to be asked for off loopback; one is made where it is empty.

    Attributes:
        url: to open in a browser; holds the token where one was made.
        made_token: whether one was made.

    Raises:
        OutputError: the address cannot be taken.
        UsageError: the token cannot be sent.
    """

    def __init__(self, hub: Hub, questions: Questions, address: tuple[str, int], token: str = "") -> None:
        check_token(token)
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
        config = uvicorn.Config(
            page_app(hub, questions, asked, self._socket.getsockname()[1]),
            http=ImpatientProtocol,
            ws="none",
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


def page_app(hub: Hub, questions: Questions, token: str | None, port: int) -> Starlette:
    """The application; with a token every request must bring it."""
    page = _Page(hub, questions)
    routes = [
        Route("/", page.index),
        Route("/events", page.events),
        Route("/picture", page.picture),
        Route("/ask", page.ask, methods=["POST"]),
        Route("/words.vtt", page.words),
        Route("/events.jsonl", page.all_events),
        Mount("/static", StaticFiles(directory=PAGE)),
    ]
    guard = (
        Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)
        if token is None
        else Middleware(TokenGuard, token=token, port=port)
    )
    return Starlette(routes=routes, middleware=[Middleware(SafeHeaders), guard])


class _Page:
    def __init__(self, hub: Hub, questions: Questions) -> None:
        self._hub = hub
        self._questions = questions
        self._last_asked: OrderedDict[str, float] = OrderedDict()
        self._downloads = asyncio.Semaphore(most_downloads())

    async def index(self, _: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    async def events(self, request: Request) -> Response:
        """Server-sent events; a browser that comes back says what it has seen."""
        try:
            return _Following(self._hub, request.headers.get("last-event-id", ""))
        except TooManyViewers:
            return JSONResponse({"error": "too many viewers"}, 503)

    async def picture(self, request: Request) -> Response:
        jpeg = self._hub.picture(request.query_params.get("at", ""))
        if jpeg is None:
            return Response(status_code=404)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    async def words(self, _: Request) -> Response:
        return self._download(self._hub.words_path, "text/vtt")

    async def all_events(self, _: Request) -> Response:
        return self._download(self._hub.events_path, "application/jsonl")

    async def ask(self, request: Request) -> Response:
        """Take a question: JSON ``{"question": TEXT}``."""
        if not is_own_origin(request.headers):
            return JSONResponse({"error": "questions are taken from this page only"}, 403)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"error": "send JSON"}, 415)
        try:
            question = _question(await asyncio.wait_for(_body(request), BODY_SECONDS))
        except TimeoutError:
            return JSONResponse({"error": "this took too long"}, 408)
        if question is None:
            limit = f"a question has 1 to {MAX_QUESTION_LETTERS} letters"
            return JSONResponse({"error": limit}, 400)
        if self._asks_too_often(request.client.host if request.client else ""):
            return JSONResponse({"error": "one question a second, please"}, 429)
        if not self._questions.ask(question):
            return JSONResponse({"error": "too many questions wait already"}, 429)
        return JSONResponse({"asked": question}, 202)

    def _download(self, path: Path, media_type: str) -> Response:
        if not path.is_file():
            return JSONResponse({"error": "nothing has been said yet"}, 404)
        if self._downloads.locked():
            return JSONResponse({"error": "too many downloads"}, 503)
        return _Download(path, media_type, self._downloads)

    def _asks_too_often(self, who: str) -> bool:
        now = time.monotonic()
        last = self._last_asked.pop(who, None)
        is_too_often = last is not None and now - last < ASK_EVERY_SECONDS
        self._last_asked[who] = last if is_too_often and last is not None else now
        while len(self._last_asked) > MAX_ASKERS:
            self._last_asked.popitem(last=False)
        return is_too_often


class _Following(EventSourceResponse):
    """The events of a stream to one viewer, which has its place from the moment this is made."""

    def __init__(self, hub: Hub, after: str) -> None:
        self._hub = hub
        self._viewer = hub.join(after)
        super().__init__(self._messages(), send_timeout=SEND_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until either has had enough."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._viewer)

    async def _messages(self) -> AsyncIterator[dict[str, str]]:
        async for message in self._hub.follow(self._viewer):
            yield {"id": f"{self._hub.run_id}-{message.number}", "data": message.text}


class _Download(FileResponse):
    """A file that grows while it is sent: as long as it was at the beginning.

    Args:
        path: its path.
        media_type: its media type.
        room: one of so many at once.
    """

    def __init__(self, path: Path, media_type: str, room: asyncio.Semaphore) -> None:
        super().__init__(
            path, media_type=media_type, filename=path.name, headers={"Cache-Control": "no-store"}
        )
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        left = 0

        async def send_no_more(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                left = int(Headers(raw=message["headers"])["content-length"])
            elif message["type"] == "http.response.body":
                message["body"] = message["body"][:left]
                left -= len(message["body"])
            await send(message)

        async with self._room:
            await super().__call__(scope, receive, send_no_more)


async def _body(request: Request) -> bytes:
    """The body, or what it takes to see that it is too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            break
    return body


def _question(body: bytes) -> str | None:
    """The question in a body, encodable; None where there is none."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    question = content.get("question") if isinstance(content, dict) else None
    if not isinstance(question, str) or not 1 <= len(question.strip()) <= MAX_QUESTION_LETTERS:
        return None
    return encodable(question.strip())


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def _is_everywhere(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0]).is_unspecified
