"""From what a user types to a source of clips."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from svlm_cli.errors import SourceError

if TYPE_CHECKING:
    from svlm_cli.media.source import Source

SCHEME = re.compile(r"^(?P<scheme>[a-z][a-z0-9+.-]+):", re.IGNORECASE)
CAMERA = re.compile(r"^(camera:|/dev/video)")


def open_source(source: str) -> Source:
    """Open a source by name.

    Args:
        source: a video file, or ``arena:SPORT?key=value&...`` for a synthetic match.

    Returns:
        A source to be used as a context manager.

    Raises:
        SourceError: it cannot be opened, or is of a kind that is not read yet.
        UsageError: a malformed ``arena:`` address.
    """
    found = SCHEME.match(source)
    scheme = found["scheme"].lower() if found else ""
    if scheme == "arena":
        from svlm_cli.arena.source import ArenaSource

        return ArenaSource(source)
    if scheme in ("http", "https", "rtsp", "rtmp", "udp", "srt") or CAMERA.match(source) or source == "-":
        raise SourceError(
            f"{source}: live and network sources are not read yet", "download it and give the file"
        )
    from svlm_cli.media.reader import open_video

    return open_video(source.removeprefix("file://"))
