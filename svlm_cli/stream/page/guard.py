"""Who may see the page of a stream, and what a browser may do with it: ASGI middleware.

Plain ASGI, as middleware that reads and passes on responses would hold up a stream of events.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from svlm_cli.errors import UsageError
from svlm_cli.stream.page.refusing import refusal

PAGES = ("/", "/overlay", "/camera")  # that may be opened with ?token=
COOKIE = "svlm_token_{port}"  # a browser sends cookies to all ports of a host
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[?::1\]?)(:[0-9]{1,5})?", re.IGNORECASE)
OWN_ONLY = ("this is taken from this page only", "allow a page of another host by --cors")
FORM = (
    "<!doctype html><title>svlm</title><meta name=viewport content='width=device-width'>"
    "<meta name=color-scheme content='light dark'>{told}"
    "<form><label>Token, as svlm printed it: <input name=token autofocus></label>{kept} "
    "<button>Open</button></form>"
)
WRONG = "<p role=alert>This is not the token of this page.</p>"


def check_token(token: str) -> None:
    """Make sure that headers and cookies can carry a token.

    Raises:
        UsageError: they cannot.
    """
    if not re.fullmatch(r"[!-~]*", token):
        raise UsageError(
            "the page's token has blanks or letters beyond ASCII", "choose SVLM_PAGE_TOKEN without them"
        )


def check_origins(origins: Iterable[str]) -> tuple[str, ...]:
    """Origins of pages that may use the API, as browsers name them; ``*`` is every one.

    Raises:
        UsageError: one is none.
    """
    found = tuple(origins)
    for origin in found:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise UsageError(
                f"--cors {origin[:80]}: not SCHEME://HOST[:PORT]", "try --cors https://studio.example, or *"
            )
    return found


def is_own_origin(headers: Headers, origins: Collection[str] = ()) -> bool:
    """Whether no page of another host sends this, but one that may; a program, no page, names no origin.

    Args:
        headers: the headers of the request.
        origins: what ``check_origins`` gave.
    """
    named = [origin for origin in headers.getlist("origin") if not {origin, "*"} & set(origins)]
    try:
        hosts = {urlsplit(origin).netloc for origin in named}
    except ValueError:  # no address at all
        return False
    return hosts <= {headers.get("host")}


class SafeHeaders:
    """Adds ``HEADERS`` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HostGuard:
    """Answers to loopback's own names alone: a page elsewhere may point a name of its own here.

    Args:
        app: behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        is_asked = scope["type"] in ("http", "websocket")
        if is_asked and not _LOOPBACK.fullmatch(Headers(scope=scope).get("host", "")):
            refused = refusal(
                400, "this name is not answered here", "localhost and 127.0.0.1 are; others with a token"
            )
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


class SocketGuard:
    """Lets WebSockets through to their own paths alone, and from pages that may.

    Args:
        app: behind it.
        paths: the paths that answer WebSockets.
        origins: what ``check_origins`` gave.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str], origins: Collection[str] = ()) -> None:
        self._app = app
        self._paths = paths
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] == "websocket":
            refused = None
            if scope.get("path") not in self._paths:
                refused = refusal(
                    404, "there is no WebSocket at this path", "it is at /push, with push: as source"
                )
            elif not is_own_origin(Headers(scope=scope), self._origins):
                refused = refusal(403, *OWN_ONLY)
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)


class TokenGuard:
    """Lets through whoever brings the token: in a cookie, as a bearer, or once in the page's address.

    Args:
        app: behind it.
        token: the token that a request must bring.
        port: the port of the page.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._cookie = COOKIE.format(port=port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope)
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        asked = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        path, is_page = scope.get("path", ""), scope["type"] == "http" and scope.get("path", "") in PAGES
        given = asked.pop("token", None) if is_page else None
        is_known = self._is_right(cookie) or self._is_right(bearer)
        if is_known and given is None:
            await self._app(scope, receive, send)
            return
        if given is not None and (is_known or self._is_right(given)):  # it is not to stay in the address
            response: Response = RedirectResponse(f"{path}?{urlencode(asked)}" if asked else path, 303)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        elif is_page and "text/html" in headers.get("accept", ""):
            kept = (f"<input type=hidden name='{escape(k)}' value='{escape(v)}'>" for k, v in asked.items())
            response = HTMLResponse(FORM.format(told=WRONG if given else "", kept="".join(kept)), 401)
        else:
            response = refusal(
                401, "this wants the token", "Authorization: Bearer TOKEN, as svlm printed it at its start"
            )
        await response(scope, receive, send)

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())
