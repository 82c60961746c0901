"""One form for all that is refused: ``{"error": ..., "hint": ...}`` in JSON, whichever library refuses it."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OWN_TYPES = ("application/json", "text/html")
_TOLD = {
    HTTPStatus.NOT_FOUND: ("there is nothing at this path", "GET /api.json tells what there is"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("this method is not taken here", "GET /api.json tells which are"),
}
_LONGEST = 200


def refusal(status: int, error: str, hint: str = "") -> JSONResponse:
    """An error as all of the API are.

    Args:
        status: 400 or more.
        error: why.
        hint: what to send instead; may be empty.
    """
    return JSONResponse({"error": error, "hint": hint}, status)


def refusal_body(error: str, hint: str = "") -> bytes:
    """The content of such an answer, where no response of ours carries it."""
    return json.dumps({"error": error, "hint": hint}).encode()


async def failed(_: Request, _error: Exception) -> Response:
    """What is answered where we fail ourselves."""
    return refusal(500, "this failed", "report it with the request that was sent")


class ErrorsInJson:
    """Puts errors that the libraries beneath say in other words into the form of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        start: Message | None = None
        body = b""

        async def send_in_json(message: Message) -> None:
            nonlocal start, body
            kind = message["type"].removeprefix("websocket.")
            if kind == "http.response.start" and _is_foreign(message):
                start = message
            elif start is None or kind != "http.response.body":
                await send(message)
            else:
                body += message.get("body", b"")[: _LONGEST - len(body)]
                if not message.get("more_body"):
                    content = _content(start["status"], body.decode(errors="replace"))
                    headers = MutableHeaders(scope=start)
                    headers["content-type"], headers["content-length"] = "application/json", str(len(content))
                    await send(start)
                    await send({"type": message["type"], "body": content})

        await self._app(scope, receive, send_in_json)


def _is_foreign(start: Message) -> bool:
    media_type = Headers(raw=start["headers"]).get("content-type", "").partition(";")[0]
    return start["status"] >= 400 and media_type not in _OWN_TYPES


def _content(status: int, text: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    error, hint = _TOLD.get(HTTPStatus(status), (text.strip() or phrase, ""))
    return refusal_body(error, hint)
