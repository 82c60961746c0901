"""From what a user types to a source of clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svlm_cli.errors import UsageError
from svlm_cli.settings import VIEWING, Reader, Viewing

if TYPE_CHECKING:
    from svlm_cli.media.address import LiveOptions
    from svlm_cli.media.source import Source


def open_source(source: str, live: LiveOptions | None = None, viewing: Viewing = VIEWING) -> Source:
    """Open a source by name.

    Args:
        source: a video file; an http(s), RTSP, RTMP, UDP or SRT address, or a page with a video that yt-dlp
            knows; ``camera:0`` or ``/dev/video0``; ``-`` for standard input; ``arena:SPORT?key=value&...``
            for a synthetic match.
        live: how what is not a file is opened and held; defaults where None.
        viewing: how pictures are read and shown.

    Returns:
        A source to be used as a context manager.

    Raises:
        SourceError: it cannot be opened.
        UsageError: a malformed ``arena:`` address; decord is to read what is no file.
    """
    if source.lower().startswith("arena:"):
        from svlm_cli.arena.source import ArenaSource

        _require_file(source, viewing)
        return ArenaSource(source)
    from svlm_cli.media.address import is_live_address

    if is_live_address(source):
        from svlm_cli.media.live.source import open_live

        _require_file(source, viewing)
        return open_live(source, live, viewing)
    from svlm_cli.media.file.reader import open_video

    return open_video(source.removeprefix("file://"), viewing=viewing)


def _require_file(source: str, viewing: Viewing) -> None:
    if viewing.reader is Reader.DECORD:
        raise UsageError(f"decord reads files only, not {source}", "leave out --reader")
