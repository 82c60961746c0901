"""Which pictures are shown and which sound belongs to them: one rule for every command.

The picture decides. A sound track is taken from its program, of those that libav can decode: the one asked
for, else one flagged as default, else one in the language asked for, else the first in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from svlm_cli import values
from svlm_cli.errors import SourceError, UsageError
from svlm_cli.language import is_language, language_code
from svlm_cli.text import encodable

if TYPE_CHECKING:
    from av.video.stream import VideoStream

AUTO = "auto"
# ISO 639 knows codes of two letters and three, more than any table here.
_CODE = re.compile(r"[a-z]{2,3}")
_LAST_NUMBER = 9_999  # a track beyond is a language


@dataclass(frozen=True, slots=True)
class SoundChoice:
    """Which sound is wanted.

    Args:
        track: ``auto``, the number of a sound track in the file, from 1, or a language.
        language: the language of the commentary, which decides where no flag does.

    Raises:
        UsageError: ``track`` is neither.
    """

    track: str = AUTO
    language: str = "en"

    def __post_init__(self) -> None:
        if self.track == AUTO or self.number is not None or _CODE.fullmatch(language_code(self.track)):
            return
        raise UsageError(
            f"{values.short(self.track)} is no sound track",
            "give its number in the file, from 1, or a language, e.g. eng",
        )

    @property
    def number(self) -> int | None:
        """The number asked for, if one was."""
        return values.digits(self.track, _LAST_NUMBER) or None


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """A sound track of a file.

    Args:
        number: among the file's sound tracks, from 1.
        index: among all its streams, from 0.
        language: as the file has it, empty where it does not say.
        title: likewise.
        codec: libav's name of it, empty where it has no decoder.
        channels: the number of channels that the file states, 0 where it does not.
        is_default: whether the file flags it so.
        is_aside: whether it is a description for the blind, a comment, without voices, or a part of another.
        is_of_picture: whether it is in the program of the pictures shown; True in files without programs.
    """

    number: int
    index: int
    language: str
    title: str
    codec: str
    channels: int
    is_default: bool
    is_aside: bool
    is_of_picture: bool

    def __str__(self) -> str:
        about = [self.language or "no language", self.codec or "no decoder for it"]
        about += [f"{self.channels} channels"] if self.channels else []
        about += [f'"{self.title}"'] if self.title else []
        about += ["default"] if self.is_default else []
        about += [] if self.is_of_picture else ["of another program"]
        return f"track {self.number} ({', '.join(about)})"


def picture_track(name: str, container: Any) -> VideoStream:
    """The stream whose pictures are shown: libav's best that is no cover art and can be decoded.

    Raises:
        SourceError: there is none; says why.
    """
    from av.stream import Disposition

    cover = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        if container.streams.audio:
            raise SourceError(f"{name} has sound only, no pictures", "name a file with a video track")
        raise SourceError(f"{name} holds no video track", "name a video file")
    best = container.streams.best("video")
    ranked: list[VideoStream] = [*(each for each in streams if each is best), *streams]
    for stream in ranked:
        if stream.codec_context is not None:
            return stream
    raise SourceError(f"{name}: libav has no decoder for its video track", "convert it with ffmpeg")


def shown_track(name: str, container: Any) -> VideoStream | None:
    """As ``picture_track``; None where there is none, as in a file of sound alone."""
    with suppress(SourceError):
        return picture_track(name, container)
    return None


def sound_tracks(container: Any, picture: VideoStream | None) -> tuple[SoundTrack, ...]:
    """Every sound track of an open container, in its order.

    Args:
        container: PyAV's container.
        picture: the picture track whose program counts; None for a file of sound alone.
    """
    return tuple(
        _described(number, stream, _is_of(container, picture, stream))
        for number, stream in enumerate(container.streams.audio, 1)
    )


def in_order(tracks: Sequence[SoundTrack], choice: SoundChoice) -> list[SoundTrack]:
    """The tracks that may be listened to, the first that gives any sound being the one; empty for none.

    Raises:
        SourceError: what was asked for is not there, or cannot be decoded; says what is.
    """
    number = choice.number
    if number is not None:
        found = [each for each in tracks if each.number == number]
    elif choice.track != AUTO:
        is_alone = len(tracks) == 1 and not tracks[0].language  # it may well be
        found = [each for each in tracks if is_alone or is_language(each.language, choice.track)]
    else:
        found = [each for each in tracks if each.is_of_picture]
    decodable = [each for each in found if each.codec]
    if choice.track != AUTO and not decodable:
        asked = f"sound track {choice.track}"
        what = f"libav has no decoder for {asked}" if found else f"there is no {asked}"
        raise SourceError(f"{what}; there is {named(tracks)}", "take one of them with --audio-track N")
    return sorted(
        decodable,
        key=lambda each: (
            not each.is_of_picture,
            not each.is_default,
            not is_language(each.language, choice.language),
            each.is_aside,
            each.number,
        ),
    )


def named(tracks: Sequence[SoundTrack]) -> str:
    """Tracks for people."""
    return ", ".join(str(each) for each in tracks) or "no sound track"


def why(track: SoundTrack, choice: SoundChoice) -> str:
    """By which part of the rule a track was taken."""
    if choice.track != AUTO:
        return "asked for"
    if track.is_default:
        return "default"
    return "language" if is_language(track.language, choice.language) else "order"


def _described(number: int, stream: Any, is_of_picture: bool) -> SoundTrack:
    from av.stream import Disposition

    aside = (
        Disposition.visual_impaired
        | Disposition.descriptions
        | Disposition.comment
        | Disposition.dependent
        | Disposition.karaoke
        | Disposition.clean_effects
    )
    context = stream.codec_context
    tag = encodable(stream.language or "")
    return SoundTrack(
        number=number,
        index=stream.index,
        language="" if language_code(tag) == "und" else tag,
        title=encodable(stream.metadata.get("title", "")),
        codec="" if context is None else context.codec.canonical_name,
        channels=0 if context is None else context.channels,
        is_default=bool(stream.disposition & Disposition.default),
        is_aside=bool(stream.disposition & aside),
        is_of_picture=is_of_picture,
    )


def _is_of(container: Any, picture: VideoStream | None, stream: Any) -> bool:
    """Whether libav relates them: either is the best of its kind in the other's program."""
    if picture is None:
        return True
    best = container.streams.best
    return best("video", related=stream) is picture or best("audio", related=picture) is stream
