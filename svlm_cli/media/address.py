"""From a live address to what libav opens: protocol options, cameras, pages that yt-dlp resolves."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath, PurePosixPath
from urllib.parse import urlsplit

from svlm_cli.errors import SourceError, UsageError

NETWORK_SCHEMES = frozenset({"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "srt", "tcp", "rtp"})
PUSH = "push:"  # pictures come to the page
CAMERA = re.compile(r"^(?:camera:(?P<number>[0-9]{1,9})|(?P<device>/dev/video[0-9]{1,9}))\Z")
_MEDIA_SUFFIXES = frozenset(
    {".m3u8", ".mpd", ".mp4", ".m4v", ".mov", ".ts", ".mts", ".mkv", ".webm", ".flv", ".avi", ".mpg", ".ogv"}
)
_PLAYLIST_SUFFIXES = frozenset({".m3u8", ".m3u"})


class RtspTransport(StrEnum):
    """How pictures come over RTSP: within its own connection, or beside it."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a live source is opened and held.

    Args:
        rtsp_transport: over TCP nothing is lost on the way; UDP is what some cameras know alone.
        stall_seconds: a source that sends no picture for so long counts as lost.
        reconnect_seconds: how long to try to get a lost source back; 0 for not at all, infinity for ever.
        opening_seconds: how long to wait for a source that is not there yet; likewise.
        max_height: the greatest height of the pictures, where a page or a playlist offers several.

    Raises:
        UsageError: a value outside its limits.
    """

    rtsp_transport: RtspTransport = RtspTransport.TCP
    stall_seconds: float = 10.0
    reconnect_seconds: float = 60.0
    max_height: int = 720
    opening_seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rtsp_transport", RtspTransport(self.rtsp_transport))
        if self.stall_seconds <= 0:
            raise UsageError(f"--stall-seconds must be above 0, not {self.stall_seconds:g}")
        if self.reconnect_seconds < 0:
            raise UsageError(f"--reconnect-seconds must be 0 or more, not {self.reconnect_seconds:g}")
        if self.opening_seconds < 0:
            raise UsageError(f"seconds to wait for a source must be 0 or more, not {self.opening_seconds:g}")
        if self.max_height < 1:
            raise UsageError(f"--max-height must be 1 or more, not {self.max_height}")


@dataclass(frozen=True, slots=True)
class Input:
    """What libav opens.

    Args:
        url: or a device's name.
        format: the demuxer to use, None to find out.
        options: the options of the protocol and the demuxer.
    """

    url: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def is_live_address(source: str) -> bool:
    """Whether this names something that is not a file on this machine."""
    scheme = source.partition(":")[0].lower()
    return (
        source == "-" or CAMERA.match(source) is not None or ("://" in source and scheme in NETWORK_SCHEMES)
    )


def shown_address(source: str) -> str:
    """The address without a password, for messages; one that holds ``@`` goes as a whole."""
    return re.sub(r"(?<=://)([^/?#@:]*):[^/?#]*@", r"\1:***@", source)


def public_name(source: str) -> str:
    """What viewers elsewhere may know of a source: base name and host, no path, no key, nobody's name.

    A match of the arena, a camera and standard input are as they are.
    """
    if source == "-" or source.startswith("arena:") or CAMERA.match(source):
        return source
    scheme, is_address, rest = source.partition("://")
    if not is_address or scheme == "file":
        return PurePath(rest or source).name or source
    place, *parts = re.split(r"[?#]", rest, maxsplit=1)[0].split("/")
    if scheme.startswith("rtmp"):  # rtmp://host/app/key
        parts = parts[:1]
    host, base = place.rpartition("@")[2], next(filter(None, reversed(parts)), "")
    return f"{scheme}://{host}/{base}" if base else f"{scheme}://{host}"


def plain_input(source: str, options: LiveOptions) -> Input:
    """What libav opens for an address that needs no looking up.

    Raises:
        SourceError: cameras cannot be read on this system.
    """
    if source == "-":
        return Input("pipe:0")
    camera = CAMERA.match(source)
    if camera is not None:
        return _camera(source, camera["number"], camera["device"])
    scheme = urlsplit(source).scheme.lower()
    if scheme in ("rtsp", "rtsps"):
        return Input(source, options={"rtsp_transport": options.rtsp_transport.value})
    if scheme == "udp":
        # A burst must find room while the receiver is held up; what is lost is lost without an error.
        return Input(source, options={"fifo_size": "262144", "overrun_nonfatal": "1"})
    if scheme in ("rtmp", "rtmps"):
        return Input(source, options={"rtmp_live": "any"})
    return Input(source)


def may_be_page(source: str) -> bool:
    """Whether an address may be a page with a video in it, and not the video."""
    parts = urlsplit(source)
    return (
        parts.scheme in ("http", "https") and PurePosixPath(parts.path).suffix.lower() not in _MEDIA_SUFFIXES
    )


def is_playlist(source: str) -> bool:
    """Whether an address over HTTP is that of an HLS playlist by its name."""
    parts = urlsplit(source)
    is_named = PurePosixPath(parts.path).suffix.lower() in _PLAYLIST_SUFFIXES
    return is_named and parts.scheme.lower() in ("http", "https")


def _camera(source: str, number: str | None, device: str | None) -> Input:
    system = platform.system()
    if system == "Linux":
        return Input(device or f"/dev/video{number}", "v4l2")
    if system == "Darwin" and number is not None:
        return Input(number, "avfoundation", {"framerate": "30"})
    raise SourceError(
        f"{source}: cameras are read on Linux and macOS only", "send the camera over RTSP or UDP"
    )
