"""What is sent piece by piece: events as they come, and files that grow meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from sse_starlette import EventSourceResponse
from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from svlm_cli.stream.page.audience import Audience, Viewer
from svlm_cli.stream.page.limits import SEND_SECONDS


class Following(EventSourceResponse):
    """Server-sent events to one viewer.

    Args:
        audience: the audience that the viewer has joined; the viewer leaves it with the response.
        viewer: it.
    """

    def __init__(self, audience: Audience, viewer: Viewer) -> None:
        self._audience = audience
        self._viewer = viewer
        super().__init__(self._messages(), send_timeout=SEND_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until either has had enough."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._audience.leave(self._viewer)

    async def _messages(self) -> AsyncIterator[dict[str, str]]:
        async for message in self._audience.follow(self._viewer):
            yield {"id": f"{self._audience.run_id}-{message.number}", "data": message.text}


class Download(FileResponse):
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
