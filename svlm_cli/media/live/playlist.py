"""Master playlists of HLS (RFC 8216): which variants there are, and which is the best to show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from svlm_cli import values

_INIT = re.compile(r'^#EXT-X-MAP:(?:.*,)?\s*URI="([^"\n]*)"', re.MULTILINE)
_PART = re.compile(r"#EXT-X-BYTERANGE:([0-9]{1,15})(?:@([0-9]{1,15}))?")
_GAP = "#EXT-X-GAP"
_VARIANT = "#EXT-X-STREAM-INF:"
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
_RESOLUTION = re.compile(r"([0-9]{1,5})\s*[xX×]\s*([0-9]{1,5})")
_MOST_BITS = 10**15 - 1
_SOUND_CODECS = ("mp4a", "ac-3", "ec-3", "ac-4", "opus", "flac", "fLaC")


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition of a broadcast.

    Args:
        url: the URL of its playlist.
        height: the height of its pictures, 0 where the master does not say.
        bits_per_second: at its peak, 0 where it does not say.
        is_sound: whether it is said to hold sound alone.
    """

    url: str
    height: int
    bits_per_second: int
    is_sound: bool


def variants(text: str, base_url: str) -> list[Variant]:
    """The variants of a master playlist, as listed; none where it is a playlist of segments, or no playlist.

    Those that are no HTTP addresses are left out: a server must not make this machine open its own files.

    Args:
        text: the text of the playlist.
        base_url: where it came from.
    """
    if not text.lstrip("\ufeff").startswith("#EXTM3U"):
        return []
    return list(_variants(text.splitlines(), base_url))


def best_first(found: list[Variant], max_height: int) -> list[Variant]:
    """Variants in the order in which to try them: the best of those that are not too high, last the lowest.

    Of equal height the one of more bits comes first, and equal ones (spares on other servers) as listed.
    In between come those that do not say their height, which may fit or be sound alone, by their bits.
    """
    shown = [each for each in found if not each.is_sound] or found
    untold = [each for each in shown if not each.height]
    fitting = [each for each in shown if 0 < each.height <= max_height]
    too_high = [each for each in shown if each.height > max_height]
    return [
        *sorted(fitting, key=lambda each: (-each.height, -each.bits_per_second)),
        *sorted(untold, key=lambda each: -each.bits_per_second),
        *sorted(too_high, key=lambda each: (each.height, -each.bits_per_second)),
    ]


def samples(text: str, base_url: str) -> list[str]:
    """Addresses of a few segments of a playlist, the newest first: if none of them is there, none is.

    Args:
        text: the text of the playlist.
        base_url: where it came from.
    """
    found: list[str] = []
    is_gap = False
    for line in map(str.strip, text.splitlines()):
        is_gap = is_gap or line == _GAP
        if line and not line.startswith("#"):
            url = None if is_gap else http_url(base_url, line)
            found += [url] if url is not None else []
            is_gap = False
    places = sorted({len(found) - 1, len(found) // 2, 0}, reverse=True)
    return [found[place] for place in places] if found else []


def newest_part(text: str, base_url: str) -> tuple[str, int] | None:
    """Of a playlist of parts of files the address of the newest, and at which byte it begins, if not 0."""
    found: tuple[str, int] | None = None
    begin = end = 0
    for line in map(str.strip, text.splitlines()):
        told = _PART.fullmatch(line)
        if told is not None:
            begin = end if told[2] is None else int(told[2])
            end = begin + int(told[1])
        elif line and not line.startswith("#"):
            url = http_url(base_url, line)
            found = (url, begin) if url is not None and begin else found
            begin = 0
    return found


def newest_init(text: str, base_url: str) -> str | None:
    """The address of what must come before the newest segment (EXT-X-MAP); None where nothing must."""
    found = _INIT.findall(text)
    return http_url(base_url, found[-1]) if found else None


def http_url(base_url: str, line: str) -> str | None:
    """The address that a line of a playlist names, or None where it is none over HTTP."""
    try:
        url = urljoin(base_url, line)
        parts = urlsplit(url)
        is_http = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    return url if is_http else None


def _variants(lines: list[str], base_url: str) -> Iterator[Variant]:
    attributes: dict[str, str] | None = None
    for line in map(str.strip, lines):
        if line.startswith(_VARIANT):
            pairs = _ATTRIBUTE.findall(line.removeprefix(_VARIANT))
            attributes = {name: value.strip('"') for name, value in pairs}
        elif line and not line.startswith("#") and attributes is not None:
            url = http_url(base_url, line)
            if url is None:
                attributes = None
                continue
            size = _RESOLUTION.fullmatch(attributes.get("RESOLUTION", "").strip())
            bits = attributes.get("BANDWIDTH", "").strip()
            codecs = [each.strip() for each in attributes.get("CODECS", "").split(",") if each.strip()]
            yield Variant(
                url,
                int(size[2]) if size else 0,
                values.digits(bits, _MOST_BITS) or 0,
                is_sound=bool(codecs) and all(each.startswith(_SOUND_CODECS) for each in codecs),
            )
            attributes = None
