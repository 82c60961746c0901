"""The first bytes behind an HTTP address, before libav opens it: a playlist, or a file that cannot be played.

Whatever goes wrong here is no error: libav then finds out, with its own patience.
"""

from __future__ import annotations

import base64
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from svlm_cli import __version__, values

MOST_PLAYLIST_BYTES = 1 << 20
_HEAD_BYTES = 4096
_LONGEST_BYTES = 1 << 62
# libav holds what it has read last, and goes back in that.
_HELD_BYTES = 1 << 18
_PART, _EMPTY = 206, 416
NOT_REACHED, NO_PARTS = "their server cannot be reached", "their server sends no parts of files (HTTP ranges)"
GONE = frozenset({"HTTP 404", "HTTP 410", NO_PARTS})
_FIRST_BYTE = re.compile(r"\s*bytes\s+([0-9]{1,18})-", re.IGNORECASE)
_LATE_BOX, _INDEX_BOXES = b"mdat", frozenset({b"moov", b"moof"})


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a server has answered.

    Args:
        url: the address that answered, behind all redirections, with the name and password of the one asked.
        body: its first bytes.
        is_part: whether it is the part that was asked for.
        claims_parts: whether the server says that it serves parts.
        length: the length of the whole answer in bytes, None where the server does not say.
        cookies: the cookies that it has set, as libav takes them.
    """

    url: str
    body: bytes
    is_part: bool
    claims_parts: bool
    length: int | None
    cookies: str


@dataclass(frozen=True, slots=True)
class ServedFile:
    """How a server serves a file.

    Args:
        sends_parts: when it is asked for them.
        claims_parts: by what it says.
        has_late_index: an MP4 whose pictures come before its index, too far to go back from one to the other.
    """

    sends_parts: bool
    claims_parts: bool
    has_late_index: bool


def glimpse(
    url: str,
    headers: Mapping[str, str],
    seconds: float,
    num_bytes: int,
    *,
    asks_part: bool = False,
    begin: int = 0,
) -> Glimpse | None:
    """Ask for an address and read the beginning of the answer; None where that does not work.

    Args:
        url: http or https.
        headers: the headers to send.
        seconds: patience.
        num_bytes: most to read.
        asks_part: ask for these bytes alone.
        begin: the first byte; of a part.
    """
    with suppress(OSError, HTTPException, ValueError):
        part = {"Range": f"bytes={begin}-{begin + num_bytes - 1}"} if asks_part else {}
        with closing(_answer(url, {**headers, **part}, seconds)) as answer:
            body = answer.read(num_bytes)
            says_part = answer.status == _PART
            told = _FIRST_BYTE.match(answer.headers.get("Content-Range", ""))
            is_part = says_part and (told is None or int(told[1]) == begin)
            accepts = answer.headers.get("Accept-Ranges", "").strip().lower()
            stated = answer.headers.get("Content-Length", "").strip()
            length = values.digits(stated, _LONGEST_BYTES)
            cookies = "\n".join(answer.headers.get_all("Set-Cookie") or [])
            found = _with_password(answer.url, url)
            return Glimpse(found, body, is_part, says_part or accepts == "bytes", length, cookies)
    return None


def refusal(url: str, headers: Mapping[str, str], seconds: float) -> str:
    """Why nothing comes from an address, as HTTP has it; empty where something does, or nobody knows."""
    try:
        with closing(_answer(url, {**headers, "Range": "bytes=0-0"}, seconds)):
            return ""
    except urllib.error.HTTPError as error:
        with closing(error):
            return "" if error.code == _EMPTY else f"HTTP {error.code}"
    except urllib.error.URLError as error:
        return NOT_REACHED if isinstance(error.reason, (ConnectionRefusedError, socket.gaierror)) else ""
    except (OSError, HTTPException, ValueError):
        return ""


def served_file(url: str, headers: Mapping[str, str], seconds: float) -> ServedFile | None:
    """How a server serves a file; None where it gives no answer."""
    # Not from the first byte: there are servers that call everything a part from there on.
    seen = glimpse(url, headers, seconds, _HEAD_BYTES, asks_part=True, begin=1)
    if seen is None:
        seen = glimpse(url, headers, seconds, _HEAD_BYTES)
    if seen is None:
        return None
    head = (
        b"\0" + seen.body if seen.is_part else seen.body
    )  # a box begins with its length, which is no such one
    is_short = seen.length is not None and seen.length <= _HELD_BYTES
    sends = seen.is_part
    if not sends and seen.claims_parts and not is_short:  # the first one asked may have filled a cache
        again = glimpse(url, headers, seconds, 1, asks_part=True, begin=_HEAD_BYTES)
        sends = again is not None and again.is_part
    return ServedFile(sends, seen.claims_parts, not is_short and _has_late_index(head))


def cookie_header(cookies: str) -> dict[str, str]:
    """The cookies of a ``Glimpse`` as a browser sends them back."""
    pairs = [each.partition(";")[0].strip() for each in cookies.splitlines()]
    return {"Cookie": "; ".join(filter(None, pairs))} if any(pairs) else {}


def _answer(url: str, headers: Mapping[str, str], seconds: float) -> Any:
    plain, own = _without_password(url)
    wanted = {"User-Agent": f"svlm/{__version__}", **own, **headers}
    request = urllib.request.Request(plain, headers=wanted)  # noqa: S310 - the caller's http address
    return urllib.request.urlopen(request, timeout=seconds)  # noqa: S310


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
