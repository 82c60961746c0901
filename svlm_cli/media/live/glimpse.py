"""The first bytes behind an HTTP address, before libav opens it: a playlist, or a file that cannot be played.

Whatever goes wrong here is no error: libav then finds out, with its own patience.
"""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import unquote, urlsplit, urlunsplit

from svlm_cli import __version__, values

MOST_PLAYLIST_BYTES = 1 << 20
_HEAD_BYTES = 4096
_LONGEST_BYTES = 1 << 62
# libav holds what it has read last, and goes back in that.
_HELD_BYTES = 1 << 18
_LATE_BOX, _INDEX_BOXES = b"mdat", frozenset({b"moov", b"moof"})


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a server has answered.

    Args:
        url: the address that answered, behind all redirections, with the name and password of the one asked.
        body: its first bytes.
        has_parts: whether it serves parts of the file.
        length: the length of the whole answer in bytes, None where the server does not say.
        cookies: the cookies that it has set, as libav takes them.
    """

    url: str
    body: bytes
    has_parts: bool
    length: int | None
    cookies: str


def glimpse(
    url: str, headers: Mapping[str, str], seconds: float, num_bytes: int, *, asks_part: bool = False
) -> Glimpse | None:
    """Ask for an address and read the beginning of the answer; None where that does not work.

    Args:
        url: http or https.
        headers: the headers to send.
        seconds: patience.
        num_bytes: most to read.
        asks_part: ask for these bytes alone.
    """
    with suppress(OSError, HTTPException, ValueError):
        plain, own = _without_password(url)
        wanted = {"User-Agent": f"svlm/{__version__}", **own, **headers}
        if asks_part:
            wanted["Range"] = f"bytes=0-{num_bytes - 1}"
        request = urllib.request.Request(plain, headers=wanted)  # noqa: S310 - the caller's http address
        with closing(urllib.request.urlopen(request, timeout=seconds)) as answer:  # noqa: S310
            body = answer.read(num_bytes)
            has_parts = answer.status == 206 or answer.headers.get("Accept-Ranges", "").lower() == "bytes"
            stated = answer.headers.get("Content-Length", "").strip()
            length = values.digits(stated, _LONGEST_BYTES)
            cookies = "\n".join(answer.headers.get_all("Set-Cookie") or [])
            return Glimpse(_with_password(answer.url, url), body, has_parts, length, cookies)
    return None


def lacks_parts(url: str, headers: Mapping[str, str], seconds: float) -> bool:
    """Whether an MP4 cannot be played from a server: its index is at its end, and no parts are served."""
    seen = glimpse(url, headers, seconds, _HEAD_BYTES, asks_part=True)
    if seen is None or seen.has_parts or (seen.length is not None and seen.length <= _HELD_BYTES):
        return False
    return _has_late_index(seen.body)


def _has_late_index(head: bytes) -> bool:
    """Whether an MP4's pictures come before its index, by its first boxes (ISO/IEC 14496-12)."""
    position = 0
    if head[4:8] not in (b"ftyp", b"wide", b"mdat"):
        return False
    while position + 8 <= len(head):
        length, kind = int.from_bytes(head[position : position + 4], "big"), head[position + 4 : position + 8]
        if kind == _LATE_BOX:
            return True
        if kind in _INDEX_BOXES or length < 8:
            return False
        position += length
    return False


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    """An address without name and password, which become a header."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    named = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    secret = base64.b64encode(named.encode()).decode()
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare), {"Authorization": f"Basic {secret}"}


def _with_password(url: str, asked: str) -> str:
    """The address that answered; where it is the same server, with the name and password asked with."""
    before, found = urlsplit(asked), urlsplit(url)
    name, _, host = before.netloc.rpartition("@")
    if not name or found.netloc != host:
        return url
    return urlunsplit(found._replace(netloc=f"{name}@{host}"))
