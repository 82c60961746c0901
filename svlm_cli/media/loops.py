"""Playlists of HLS that lead back to playlists: libav goes round in them for as long as it is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

SUFFIXES = frozenset({".m3u8", ".m3u"})
LOOP_HINT = "name the playlist of one variant, which lists segments"
_MOST_BYTES = 1 << 20
_VARIANT = "#EXT-X-STREAM-INF:"
_OTHERS = re.compile(r'^#EXT-X-(?:MEDIA|I-FRAME-STREAM-INF):.*?\bURI="([^"]*)"')


def is_master(text: str) -> bool:
    """Whether a playlist lists variants; such a list must not stand in another (RFC 8216, 4.3.4.2)."""
    return text.lstrip("\ufeff").startswith("#EXTM3U") and _VARIANT in text


def lists_playlists(text: str, url: str) -> bool:
    """Whether a playlist of segments lists itself, or other playlists, in their place."""
    if not text.lstrip("\ufeff").startswith("#EXTM3U") or _VARIANT in text:
        return False
    listed = [each for line in text.splitlines() if (each := line.strip()) and not each.startswith("#")]
    return any(_joined(url, each) == url or _suffix(each) in SUFFIXES for each in listed)


def goes_round(file: Path) -> bool:
    """Whether a playlist on the disk lists itself, or a list of variants as one of its variants."""
    if file.suffix.lower() not in SUFFIXES:
        return False
    text = _text(file)
    if not is_master(text):
        return lists_playlists(text, file.name)
    return any(
        is_master(inner := _text(file.parent / name)) or lists_playlists(inner, name) for name in _names(text)
    )


def _names(text: str) -> Iterator[str]:
    """What a list of variants names on this machine."""
    for line in map(str.strip, text.splitlines()):
        found = _OTHERS.match(line)
        name = found[1] if found else line
        if name and not name.startswith("#") and "://" not in name:
            yield name


def _text(file: Path) -> str:
    with suppress(OSError, ValueError):
        if file.is_file():
            with file.open("rb") as data:
                return data.read(_MOST_BYTES).decode("utf-8", "replace")
    return ""


def _joined(url: str, listed: str) -> str:
    with suppress(ValueError):
        return urljoin(url, listed)
    return ""


def _suffix(listed: str) -> str:
    with suppress(ValueError):
        return Path(urlsplit(listed).path).suffix.lower()
    return ""
