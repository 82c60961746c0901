"""Why a download failed, in one word and one line, from what yt-dlp raised."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any

from svlm_cli.errors import SourceError

DISK_FULL = "disk full"
# What sites and yt-dlp say, in order: the first that fits names the failure.
_SAYINGS: tuple[tuple[str, str, str], ...] = (
    (r"no space left|disk quota|file too large", DISK_FULL, "make room, then run the same command again"),
    (
        r"could not find .*cookies|cookies? database|cannot decrypt|failed to decrypt",
        "no cookies",
        "is that browser on this machine? else export a file for --cookies",
    ),
    (
        r"private video|is private|video is private",
        "private",
        "log in in a browser and give --cookies-from-browser",
    ),
    (
        r"not available (in|from) your (country|location)|geo.?restrict|blocked it in your country",
        "geo-blocked",
        "it can be had from another country only",
    ),
    (
        r"sign in|log.?in|members.only|members on level|age.restricted|confirm your age|cookies|premium|paid",
        "needs login",
        "log in in a browser and give --cookies-from-browser",
    ),
    (
        r"removed|no longer available|account.*terminated|has been deleted|does not exist|video unavailable"
        r"|this video is unavailable|not found|gone",
        "removed",
        "",
    ),
    (r"drm", "protected", "a protected stream cannot be had"),
    (
        r"unsupported url|no video formats|no media found|is not a valid url",
        "not a video",
        "check the address",
    ),
    (
        r"timed? ?out|connection|network|unreachable|name or service|getaddrinfo|resolve|ssl|certificate"
        r"|incomplete|incompleteread|bytes read|redirect|fragment|temporarily",
        "network",
        "run the same command again: it goes on where it stopped",
    ),
)
_HTTP: dict[int, tuple[str, str]] = {
    401: ("needs login", "give --cookies or --cookies-from-browser"),
    403: ("forbidden (403)", "give --cookies-from-browser if a browser can see it"),
    404: ("removed (404)", "check the address"),
    410: ("removed (410)", ""),
    416: ("network", "run the same command again"),
    429: ("too many requests (429)", "wait, then run the same command again with fewer --workers"),
    451: ("geo-blocked (451)", "it can be had from another country only"),
}
_CLUTTER = re.compile(
    r"\x1b\[[0-9;]*m|^\[[^\]]+\] (?:[^\s:]+: )?|; please report this issue.*|\s*\(caused by .*",
    re.DOTALL,
)
_MAX_DETAIL = 300


def disk_full(detail: str) -> SourceError:
    """The failure of a disk, whatever was made of it."""
    return SourceError(f"{DISK_FULL}: {detail}", "make room, then run the same command again")


def failure_of(error: Exception) -> SourceError:
    """The failure of one address, which the message does not name.

    Args:
        error: the error that yt-dlp or the system raised.

    Returns:
        An error whose message begins with the reason: private, removed, geo-blocked, needs login, network,
        disk full, not a video, ...
    """
    chain = list(_causes(error))
    told = str(error).removeprefix("ERROR: ")
    detail = " ".join(_CLUTTER.sub("", told).split())[:_MAX_DETAIL]
    reason, hint = _reason(chain, detail)
    return SourceError(f"{reason}: {detail}", hint)


def _reason(chain: list[BaseException], detail: str) -> tuple[str, str]:
    from yt_dlp.networking.exceptions import HTTPError, TransportError
    from yt_dlp.utils import DownloadCancelled, GeoRestrictedError, UnsupportedError

    if any(isinstance(each, DownloadCancelled) for each in chain):
        return "stopped", "run the same command again: it goes on where it stopped"
    if any(isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT) for each in chain):
        return DISK_FULL, "make room, then run the same command again"
    if any(isinstance(each, GeoRestrictedError) for each in chain):
        return "geo-blocked", "it can be had from another country only"
    if any(isinstance(each, UnsupportedError) for each in chain):
        return "not a video", "check the address"
    status = next((each for each in chain if isinstance(each, HTTPError)), None)
    if status is not None:
        if status.redirect_loop:
            return "network", "the address leads back to itself"
        return _HTTP.get(status.status, (f"network (HTTP {status.status})", "run the same command again"))
    for saying, reason, hint in _SAYINGS:
        if re.search(saying, detail, re.IGNORECASE):
            return reason, hint
    if any(isinstance(each, (TransportError, TimeoutError, ConnectionError)) for each in chain):
        return "network", "run the same command again: it goes on where it stopped"
    return "failed", ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and everything it came of."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        told = getattr(each, "exc_info", None) or (None, None, None)
        waiting += [each.__cause__, each.__context__, getattr(each, "cause", None), told[1]]
