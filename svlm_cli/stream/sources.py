"""From what a user types to a source of clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svlm_cli.media.address import LiveOptions
    from svlm_cli.media.source import Source


def open_source(source: str, live: LiveOptions | None = None) -> Source:
    """Open a source by name.

    Args:
        source: a video file; an http(s), RTSP, RTMP, UDP or SRT address, or a page with a video that yt-dlp
            knows; ``camera:0`` or ``/dev/video0``; ``-`` for standard input; ``arena:SPORT?key=value&...``
            for a synthetic match.
        live: how what is not a file is opened and held; defaults where None.

    Returns:
        A source to be used as a context manager.

    Raises:
        SourceError: it cannot be opened.
        UsageError: a malformed ``arena:`` address.
    """
    if source.lower().startswith("arena:"):
        from svlm_cli.arena.source import ArenaSource

        return ArenaSource(source)
    from svlm_cli.media.address import is_live_address

    if is_live_address(source):
        from svlm_cli.media.live.source import open_live

        return open_live(source, live)
    from svlm_cli.media.file.reader import open_video

    return open_video(source.removeprefix("file://"))
