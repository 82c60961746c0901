"""What viewers send: JSON, small, whole in time, from a page of our own, and not too often."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse

from svlm_cli.errors import SvlmError, TooEarlyError, UsageError
from svlm_cli.stream.page.guard import OWN_ONLY, is_own_origin
from svlm_cli.stream.page.refusing import refusal
from svlm_cli.stream.questions import MAX_QUESTION_LETTERS
from svlm_cli.text import encodable

MAX_BODY_BYTES = 4096
BODY_SECONDS = 4.0  # before the connection goes
ASK_EVERY_SECONDS = 1.0
TOO_EARLY = 503
MAX_ASKERS = 1024
ResultT = TypeVar("ResultT")


class Refused(Exception):  # noqa: N818 - an answer, not a failure of ours
    """A request that is not taken.

    Args:
        status: the status of the answer.
        error: why.
        hint: what to send instead; may be empty.
    """

    def __init__(self, status: int, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint

    @property
    def answer(self) -> JSONResponse:
        """What is told of it."""
        return refusal(self.status, self.error, self.hint)


def require_own_origin(request: Request, origins: Collection[str]) -> None:
    """Take what changes anything only from this page, from a program, or from a page that is allowed to.

    Raises:
        Refused: it comes from elsewhere.
    """
    if not is_own_origin(request.headers, origins):
        raise Refused(403, *OWN_ONLY)


async def taken(request: Request, origins: Collection[str]) -> dict[str, object]:
    """The JSON object that a request brings.

    Raises:
        Refused: it brings none, or too late, or from elsewhere.
    """
    require_own_origin(request, origins)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "send JSON", "Content-Type: application/json")
    try:
        body = await asyncio.wait_for(_body(request), BODY_SECONDS)
    except TimeoutError:
        raise Refused(408, "this took too long") from None
    try:
        content = json.loads(body) if len(body) <= MAX_BODY_BYTES else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Refused(400, f"this is no JSON object of at most {MAX_BODY_BYTES} bytes")
    return content


async def _body(request: Request) -> bytes:
    """The body, or what it takes to see that it is too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            break
    return body


def question_in(content: dict[str, object]) -> str:
    """The question, encodable.

    Raises:
        Refused: there is none.
    """
    question = content.get("question")
    if not isinstance(question, str) or not 1 <= len(question.strip()) <= MAX_QUESTION_LETTERS:
        raise Refused(
            400, f"a question has 1 to {MAX_QUESTION_LETTERS} letters", '{"question": "Who has the ball?"}'
        )
    return encodable(question.strip())


class Pauses:
    """Who has asked lately: one request a second from each address."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, float] = OrderedDict()

    def require(self, request: Request) -> None:
        """Note a request.

        Raises:
            Refused: it comes too soon after the last.
        """
        who = request.client.host if request.client else ""
        now = time.monotonic()
        last = self._last.pop(who, None)
        is_too_often = last is not None and now - last < ASK_EVERY_SECONDS
        self._last[who] = last if is_too_often and last is not None else now
        while len(self._last) > MAX_ASKERS:
            self._last.popitem(last=False)
        if is_too_often:
            raise Refused(429, "one question a second, please", "wait a second")


async def answered(work: Callable[[], ResultT]) -> ResultT:
    """What comes of work that takes its time, in a thread of its own that holds no end up.

    Raises:
        Refused: it was refused.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ResultT] = loop.create_future()

    def settle(result: ResultT | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as failure:
            error = failure
        loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="svlm-page-work", daemon=True).start()
    try:
        return await done
    except SvlmError as refused:
        is_early = isinstance(refused, TooEarlyError)
        status = TOO_EARLY if is_early else 400 if isinstance(refused, UsageError) else 502
        raise Refused(status, refused.message, refused.hint) from refused
