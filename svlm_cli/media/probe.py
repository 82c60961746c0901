"""Opening a video: the checks, the facts, and one clear line for each way it can fail."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.errors import SourceError, boundary
from svlm_cli.media.behind import outer_boxes
from svlm_cli.media.container import MOST_PIXELS, PLAYLIST_FORMATS, DamageError, OpenFile, OpenVideo, libav
from svlm_cli.media.loops import LOOP_HINT, goes_round
from svlm_cli.media.source import Appearance, VideoInfo
from svlm_cli.media.tracks import picture_track, sound_tracks
from svlm_cli.utc import is_moment, utc_seconds

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# libav "plays" text files and ANSI art as pictures of a terminal.
_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
# Containers that write down how long their pictures last; others are estimated from what is there.
_LENGTH_STATING_FORMATS = frozenset({"mov", "mp4", "matroska", "webm", "avi", "flv", "asf"})
_MAX_THREADS = 8
_IMAGE_FORMATS = frozenset({"gif", "apng", "image2"})
_IMAGE_BRANDS = frozenset({"avif", "avis", "heic", "heix", "hevc", "mif1", "msf1"})
_WEBP_HEAD_BYTES, _WEBP_MOVES = 21, 0x02  # flag of its header (RFC 9649, 2.7)
# Eleven days: what states more is damaged.
_LONGEST_VIDEO_SECONDS = 1e6
_DURATION = re.compile(r"([0-9]{1,6}):([0-9]{1,6}):([0-9]{1,6}(?:\.[0-9]+)?)")


def is_url(path: str) -> bool:
    """Whether libav should open this by protocol, and not as a local file."""
    return "://" in path


def open_container(path: str) -> OpenVideo:
    """Open a local file or anything else that libav opens, and find its pictures.

    Raises:
        SourceError: missing, not readable, no video, or no decoder for it; one line says which.
    """
    if is_url(path):
        return open_input(path)
    _check_file(path)
    return open_input(f"file:{path}", name=path)


def open_file(path: str) -> OpenFile:
    """Open a local file, of pictures, of sound, or both.

    Raises:
        SourceError: missing, not readable, or nothing that libav reads; one line says which.
    """
    _check_file(path)
    return OpenFile(_opened(f"file:{path}", path))


def open_input(
    url: str,
    container_format: str | None = None,
    options: Mapping[str, str] | None = None,
    timeouts_seconds: tuple[float, float] | None = None,
    name: str = "",
    max_height: int | None = None,
) -> OpenVideo:
    """Open what libav knows by a URL, and find its pictures.

    Args:
        url: the address with its protocol.
        container_format: the demuxer to use, None to find out.
        options: the options of the protocol and the demuxer.
        timeouts_seconds: longest wait for the opening, and for each read after it; None for ever.
        name: what messages call it, where that is not the URL.
        max_height: the greatest height, where a manifest offers several; None for any.

    Raises:
        SourceError: no video, or no decoder for it; one line says which.
    """
    name = name or url
    container = _opened(url, name, container_format, options, timeouts_seconds)
    try:
        with boundary(f"cannot open {name}", SourceError, "it is damaged; get it again"):
            stream = picture_track(name, container)
            if container.format.name in PLAYLIST_FORMATS:
                stream = _best_within(container, stream, max_height)
            # One thread more than cores, as libav does; bounded, as each holds a decoded frame.
            stream.thread_type = "AUTO"
            stream.thread_count = min(_MAX_THREADS, (os.cpu_count() or 1) + 1)
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
            return OpenVideo.of(container, stream)
    except BaseException:
        container.close()
        raise


def _best_within(container: InputContainer, usual: VideoStream, max_height: int | None) -> VideoStream:
    """Of the variants of a manifest the best that is not too high, else the lowest."""
    known = [each for each in container.streams.video if each.codec_context is not None and each.height > 0]
    fitting = [each for each in known if max_height is None or each.height <= max_height]
    if fitting:
        return max(fitting, key=lambda each: (each.height, each.bit_rate or 0))
    return min(known, key=lambda each: each.height, default=usual)


def _opened(
    url: str,
    name: str,
    container_format: str | None = None,
    options: Mapping[str, str] | None = None,
    timeouts_seconds: tuple[float, float] | None = None,
) -> InputContainer:
    import av

    try:
        with libav():
            container: InputContainer = av.open(
                url,
                format=container_format,
                options={"max_pixels": str(MOST_PIXELS), **(options or {})},
                timeout=timeouts_seconds,
                metadata_errors="replace",
            )
    except DamageError as error:
        raise _unreadable(name, error.message) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise SourceError(f"{name} is not a video: it is text", "name a video file")
    return container


def describe(
    video: OpenVideo, width: int, height: int, origin_seconds: float | None, appearance: Appearance
) -> VideoInfo:
    """What the container says about an open video.

    Args:
        video: an open one.
        width: the width of its first picture as displayed.
        height: likewise.
        origin_seconds: the container's own time of the first picture, None where none was decoded.
        appearance: the appearance of its first picture.

    Raises:
        SourceError: that cannot be made out.
    """
    with boundary("what the file states of its pictures cannot be read", SourceError, "get it again"):
        return VideoInfo(
            width=width,
            height=height,
            fps=float(video.rate or 0),
            duration_seconds=stated_duration(video, origin_seconds or 0.0),
            has_audio=any(
                track.is_of_picture and track.codec for track in sound_tracks(video.container, video.stream)
            ),
            codec=video.stream.codec_context.codec.canonical_name,
            num_frames=video.stream.frames or None,
            appearance=appearance,
            first_pts_seconds=origin_seconds,
            created_utc_seconds=_created(video),
        )


def _created(video: OpenVideo) -> float | None:
    """When a file says that it was made, in seconds since 1970; of many that is the time of an export."""
    seconds = utc_seconds(video.container.metadata.get("creation_time", ""))
    return seconds if seconds is not None and is_moment(seconds) and seconds > 0 else None


def stated_duration(video: OpenVideo, origin_seconds: float) -> float | None:
    """Length of the picture track in seconds, as the container states or libav estimates it."""
    seconds = _claimed_duration(video, origin_seconds)
    return seconds if seconds is not None and 0 < seconds < _LONGEST_VIDEO_SECONDS else None


def _claimed_duration(video: OpenVideo, origin_seconds: float) -> float | None:
    container, stream = video.container, video.stream
    begin = (stream.start_time or 0) * video.tick
    # Of a track whose first pictures cannot be decoded, what comes behind them.
    late = max(0.0, origin_seconds - float(begin)) if stream.start_time is not None else 0.0
    if container.format.name == "avi" and stream.frames:
        # The header's count, in ticks; for a truncated AVI libav makes ``duration`` a guess.
        return float(stream.frames * video.tick) - late
    if container.format.name == "flv" and container.duration:
        return float(container.duration) / 1e6 - origin_seconds  # its header counts from 0
    tag = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if (
        tag is not None
    ):  # Matroska: the end of the track on its own clock, of which libav may claim that of all
        hours, minutes, seconds = tag.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - origin_seconds
    if stream.duration is not None and stream.duration > 0:
        return float((stream.duration - _fragments_begin(video)) * video.tick) - late
    return float(container.duration) / 1e6 if container.duration else None


def _fragments_begin(video: OpenVideo) -> int:
    """The first decoding stamp of an MP4 of fragments: libav states where that ends, not its length."""
    if not video.is_mp4 or video.stream.frames or not len(video.stream.index_entries):
        return 0
    return int(video.stream.index_entries[0].timestamp)


def states_picture_length(video: OpenVideo) -> bool:
    """Whether its stated duration is what the pictures must last, so that less means truncation."""
    container, stream = video.container, video.stream
    if _LENGTH_STATING_FORMATS.isdisjoint(container.format.name.split(",")):
        return False
    own = stream.duration is not None or "DURATION" in stream.metadata
    return own or len(container.streams) == 1


def is_image(video: OpenVideo) -> bool:
    """Whether a file is of a kind that mostly holds one picture and may hold more: GIF, PNG, AVIF ..."""
    name = video.container.format.name
    is_of_kind = name in _IMAGE_FORMATS or name.endswith("_pipe")
    return is_of_kind or video.container.metadata.get("major_brand") in _IMAGE_BRANDS


def still(path: str) -> SourceError:
    """The error for a file of one picture."""
    return SourceError(f"{path} is a single still picture: too short to stream", "name a video")


def undecodable(path: str) -> SourceError:
    """The error for a video stream from which no picture came out."""
    if "://" not in path and _is_moving_webp(Path(path)):
        what = f"{path} is an animated WebP, which libav does not read"
        return SourceError(what, "make a video of it")
    return SourceError(f"no picture of {path} could be decoded", "it is damaged or incomplete; get it again")


def _check_file(path: str) -> None:
    with boundary(f"cannot open {path}", SourceError, "check the path"):
        _check_kind(path, Path(path))


def _check_kind(path: str, file: Path) -> None:
    if file.is_dir():
        raise SourceError(f"{path} is a folder, not a video", "name a file in it")
    if not file.exists():
        raise SourceError(f"no such file: {path}", "check the path")
    if not os.access(path, os.R_OK):
        raise SourceError(f"no permission to read {path}", f"try: chmod u+r {path}")
    # Opening one of these would wait, maybe for ever, for somebody who writes.
    if file.is_fifo():
        raise SourceError(f"{path} is a pipe, not a video file", f"try: svlm stream - < {path}")
    if file.is_socket() or file.is_char_device():
        raise SourceError(f"{path} is a device or a socket, not a video file", "name a file")
    if file.is_file() and file.stat().st_size == 0:
        raise SourceError(f"{path} is empty", "get the file again")
    if goes_round(file):
        raise SourceError(f"{path} is a playlist that leads to playlists and no pictures", LOOP_HINT)


def _unreadable(path: str, reason: str) -> SourceError:
    if "Protocol not found" in reason:
        pipe = "ffmpeg -i ADDRESS -c copy -f mpegts - | svlm stream -"
        return SourceError(f"cannot open {path}: PyAV's libav does not speak this protocol", f"try: {pipe}")
    if not Path(path).is_file():
        return SourceError(f"cannot open {path}: {reason}", "check that it is there and sends a video")
    if _lacks_index(Path(path)):
        return SourceError(
            f"{path} is incomplete: it ends before the index (moov box) of an MP4 is whole",
            "download or record it again to the end",
        )
    return SourceError(f"{path} is not a video that libav can read: {reason}", f"try: ffprobe {path}")


def _is_moving_webp(file: Path) -> bool:
    try:
        with file.open("rb") as data:
            head = data.read(_WEBP_HEAD_BYTES)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & _WEBP_MOVES)


def _lacks_index(file: Path) -> bool:
    """Whether this is an MP4 or QuickTime file without a whole moov box."""
    size = file.stat().st_size
    boxes = list(outer_boxes(file))
    return bool(boxes) and not any(kind == b"moov" and end <= size for kind, _, end in boxes)
