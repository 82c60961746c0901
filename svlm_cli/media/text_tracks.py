"""Captions that a video file holds itself: its tracks of text, as WebVTT on the clock of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from svlm_cli.cue_text import TIME_TAG, escape_vtt, timestamp
from svlm_cli.language import UNKNOWN, is_language, language_code
from svlm_cli.media.container import DamageError, libav, stream_tick
from svlm_cli.media.packets import OneClock
from svlm_cli.media.probe import open_file
from svlm_cli.media.tracks import shown_track
from svlm_cli.text import encodable
from svlm_cli.values import LATEST_SECONDS

if TYPE_CHECKING:
    from av.packet import Packet

_WEBVTT, _CEA_608 = "webvtt", "eia_608"
_CLEARED = bytes.fromhex("fc942cfc942c")  # field 1: erase displayed memory, twice as is the rule
# Of ASS, which libav makes of all forms: what is drawn, and what says how text looks.
_DRAWN = re.compile(r"\{[^{}]*\\p[1-9]")
_LOOKS = re.compile(r"\{[^{}]*\}")
# Captions of pictures are decoded some pictures after they were sent.
_MOST_LATE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TextTrack:
    """A track of captions in a file.

    Args:
        number: among the file's tracks of captions, from 1.
        index: among all its streams, from 0.
        language: as the file has it, empty where it does not say.
        title: likewise.
        codec: libav's name of it, empty where it has no decoder.
        is_text: whether it holds text, and not pictures of text.
        is_default: whether the file flags it so.
        is_forced: whether it holds only what is said in other languages.
    """

    number: int
    index: int
    language: str
    title: str
    codec: str
    is_text: bool
    is_default: bool
    is_forced: bool

    def __str__(self) -> str:
        about = [self.language or "no language", self.codec or "no decoder for it"]
        about += [f'"{self.title}"'] if self.title else []
        about += ["forced"] if self.is_forced else []
        about += [] if self.is_text or not self.codec else ["pictures of text, which are not read"]
        return f"caption track {self.number} ({', '.join(about)})"


def text_tracks(path: str) -> tuple[TextTrack, ...]:
    """The tracks of captions in a file, in its order.

    Raises:
        SourceError: it cannot be read.
    """
    with closing(open_file(path)) as file:
        streams = file.container.streams.subtitles
        return tuple(_described(number, stream) for number, stream in enumerate(streams, 1))


def best_text_track(tracks: Sequence[TextTrack], language: str) -> TextTrack | None:
    """The one in a language, else one of which nobody says; None where there is neither."""
    suitable = [each for each in tracks if each.is_text]
    suitable = [each for each in suitable if not each.language or is_language(each.language, language)]
    return min(suitable, key=_rank, default=None)


def read_text_track(path: str, track: TextTrack) -> str:
    """What a track says, as WebVTT; times count from where the file begins with any track.

    Where the file's clock starts again or leaps, they go on as those of pictures do.

    Raises:
        SourceError: the file cannot be read.
    """
    with closing(open_file(path)) as file:
        stream = file.container.streams[track.index]
        start = file.container.start_time
        begin = 0.0 if start is None else start / 1e6
        clock = OneClock(file, shown_track(path, file.container), stream)
        own = (packet for packet in clock.packets() if packet.stream_index == track.index)
        cues = [cue for packet in _with_end(own, stream) for cue in _cues(packet, stream, begin)]
    return "WEBVTT\n\n" + "".join(
        f"{timestamp(start)} --> {timestamp(end)}\n{shown}\n\n" for start, end, shown in sorted(cues)
    )


def _with_end(packets: Iterator[Packet[Any]], stream: Any) -> Iterator[Packet[Any]]:
    """The packets, and one that clears the screen: libav tells what CEA-608 showed once it is gone."""
    import av

    last = None
    for last in packets:
        yield last
    if last is not None and last.pts is not None and stream.codec_context.codec.canonical_name == _CEA_608:
        end = av.Packet(_CLEARED)
        end.pts = end.dts = last.pts + (last.duration or 0)
        end.time_base = stream.time_base
        yield end


def _rank(track: TextTrack) -> tuple[bool, bool, bool, int]:
    return track.is_forced, not track.language, not track.is_default, track.number


def _described(number: int, stream: Any) -> TextTrack:
    from av.codec.codec import Properties
    from av.stream import Disposition

    context = stream.codec_context
    tag = encodable(stream.language or "")
    return TextTrack(
        number=number,
        index=stream.index,
        language="" if language_code(tag) in UNKNOWN else tag,
        title=encodable(stream.metadata.get("title", "")),
        codec="" if context is None else context.codec.canonical_name,
        is_text=context is not None and bool(context.codec.properties & Properties.TEXT_SUB.value),
        is_default=bool(stream.disposition & Disposition.default),
        is_forced=bool(stream.disposition & Disposition.forced),
    )


def _cues(packet: Packet[Any], stream: Any, begin: float) -> Iterator[tuple[float, float, str]]:
    """Start and end in seconds, and the rows, of what a packet shows."""
    if packet.pts is None:
        return
    tick = float(stream_tick(stream))
    stamp, length = packet.pts * tick, (packet.duration or 0) * tick
    if not (0 <= stamp - begin + length <= LATEST_SECONDS):
        return
    if stream.codec_context.codec.canonical_name == _WEBVTT:  # the decoder leaves out the times of words
        rows = bytes(packet).decode("utf-8", "replace").splitlines()
        moved = [_moved(row, stamp, length, begin) for row in rows]
        yield from _cue(stamp - begin, stamp - begin + length, moved)
        return
    try:
        with libav():
            found = stream.codec_context.decode2(packet)
            texts = [each.dialogue.decode("utf-8", "replace") for each in found or () if each.type == b"ass"]
            shown_for = found.end_display_time / 1000 if texts else 0.0
            late = 0.0 if not texts or found.pts is None else found.pts / 1e6 - stamp
    except DamageError:
        return
    start = stamp - begin + (late if abs(late) < _MOST_LATE_SECONDS else 0.0)
    for text in texts:
        if not _DRAWN.search(text):
            rows = [escape_vtt(_LOOKS.sub("", row).replace(r"\h", " ")) for row in text.splitlines()]
            yield from _cue(start, start + (length or min(shown_for, LATEST_SECONDS)), rows)


def _cue(start: float, end: float, rows: Sequence[str]) -> Iterator[tuple[float, float, str]]:
    shown = [row.strip() for row in rows if row.strip()]
    if end >= 0 and shown:
        yield max(0.0, start), end, "\n".join(shown)


def _moved(row: str, stamp: float, length: float, begin: float) -> str:
    """A row with its times as the file counts: they may count from the cue, as Matroska has it."""

    def moved(found: re.Match[str]) -> str:
        seconds = int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])
        counts_from_file = stamp <= seconds <= stamp + length
        return f"<{timestamp(max(0.0, seconds - begin if counts_from_file else stamp + seconds - begin))}>"

    return TIME_TAG.sub(moved, row)
