"""The sound of a video on the clock of its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from svlm_cli.errors import SourceError
from svlm_cli.media.behind import recording_behind
from svlm_cli.media.clock.timed import Join
from svlm_cli.media.container import DamageError, Fruitless, decoded, stream_tick
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.mixing import SAMPLE_RATE, Mixer
from svlm_cli.media.packets import OneClock
from svlm_cli.media.probe import open_container, open_file
from svlm_cli.media.timeline import LONGEST_SECONDS
from svlm_cli.media.tracks import SoundChoice, SoundTrack, in_order, named, shown_track, sound_tracks, why

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

__all__ = ["SAMPLE_RATE", "Sound", "listen", "read_sound"]

# Stamps of sound are rounded to milliseconds in some containers: a smaller step is no gap.
_GAP_SAMPLES = SAMPLE_RATE // 10
# Mixed at a time.
_BLOCK_SAMPLES = SAMPLE_RATE // 4
# Damaged stamps claim years of silence.
_LONGEST_SAMPLES = LONGEST_SECONDS * SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """What was heard of a file.

    Args:
        samples: int16, shape (n,), mono at ``SAMPLE_RATE``; sample 0 is at the first picture.
        track: the track that was listened to.
        reason: why it was taken: asked for, default, language or order.
        others: the file's other sound tracks.
        cancelled_seconds: how long one channel was taken alone, as together they would cancel each other.
        joins: where the file's clock starts again or leaps ahead; seconds count as the samples do.
        behind_byte: where in the file another recording begins that is not read; None for nowhere.
        mute_from_seconds: where the track goes on and nothing of it decodes any more; None for nowhere.
    """

    samples: np.ndarray
    track: SoundTrack
    reason: str
    others: tuple[SoundTrack, ...] = ()
    cancelled_seconds: float = 0.0
    joins: tuple[Join, ...] = ()
    behind_byte: int | None = None
    mute_from_seconds: float | None = None


def read_sound(path: str) -> np.ndarray:
    """The samples of ``listen``, by the rule for tracks alone."""
    return listen(path).samples


def listen(path: str, choice: SoundChoice | None = None) -> Sound:
    """Decode the sound track that belongs to the pictures of a file.

    Second 0 is that of the first picture, as in ``open_video``, of a file of sound alone that of its first
    sample: sound from before it is left out, and where there is no sound, at the start or in a gap, there is
    silence: an hour, or as much as there is sound, at most. Where the file's clock starts again or leaps, the
    sound goes on as the pictures do. Damaged packets, also of pictures, are stepped over. A track that gives
    nothing at all makes room for the next.

    Args:
        path: the path of a local file.
        choice: which track.

    Raises:
        SourceError: the file cannot be read, or has no such sound that can be decoded.
    """
    choice = choice or SoundChoice()
    with closing(open_file(path)) as file:
        picture = shown_track(path, file.container)
        tracks = sound_tracks(file.container, picture)
        format_name = file.container.format.name
        shown_id = None if picture is None else picture.id
        ids = [stream.id for stream in file.container.streams]
    if not tracks:
        raise SourceError(f"{path} has no sound", "give it a transcript with --transcript-from")
    origin = _first_picture_seconds(path) if picture is not None else None
    candidates = in_order(tracks, choice)
    for track in candidates:
        reader = _TrackReader(path, track, origin)
        samples = reader.read()
        if samples is not None:
            return Sound(
                samples,
                track,
                why(track, choice),
                tuple(each for each in tracks if each is not track),
                reader.mixer.cancelled_seconds,
                tuple(reader.joins),
                recording_behind(path, format_name, ids[track.index] if shown_id is None else shown_id),
                reader.mute_from_seconds,
            )
    if not any(track.codec for track in tracks):
        raise SourceError(f"{path}: libav has no decoder for its sound", "convert it with ffmpeg")
    elsewhere = [each for each in tracks if not each.is_of_picture]
    if not candidates and elsewhere:
        what = f"no sound of {path} belongs to its pictures; there is {named(elsewhere)}"
        raise SourceError(what, "take one of them with --audio-track N")
    raise SourceError(f"no sound of {path} could be decoded; it has {named(tracks)}", "check it with ffprobe")


class _TrackReader:
    """One sound track from beginning to end.

    Args:
        path: the path of the file.
        track: its track.
        origin: second 0 on the clock of the file's first stretch; None for the track's first sample.

    Attributes:
        mixer: knows of channels that cancel each other.
        joins, mute_from_seconds: as in ``Sound``, once it was read.
    """

    def __init__(self, path: str, track: SoundTrack, origin: float | None) -> None:
        self._path = path
        self._track = track
        self._origin = origin
        self.mixer = Mixer()
        self.joins: list[Join] = []
        self.mute_from_seconds: float | None = None

    def read(self) -> np.ndarray | None:
        """Its samples; None where nothing of it could be decoded."""
        pieces: list[np.ndarray] = []
        position = silent = 0
        for start, samples in self._placed():
            gap = start - position
            if gap > _GAP_SAMPLES:
                if gap + silent <= max(_LONGEST_SAMPLES, position - silent):
                    pieces.append(np.zeros(gap, np.int16))
                    silent += gap
                    position = start
            elif position - start > _GAP_SAMPLES:  # before second 0, or stamps that jump back
                samples = samples[position - start :]
            pieces.append(samples)
            position += len(samples)
        return None if position == silent else np.concatenate(pieces)

    def _placed(self) -> Iterator[tuple[int, np.ndarray]]:
        """Samples and where they stand, in samples after second 0."""
        with closing(open_file(self._path)) as file:
            picture = shown_track(self._path, file.container)
            stream = file.container.streams[self._track.index]
            clock = OneClock(file, picture, stream)
            base = stream_tick(stream)
            start = at = 0
            held: list[np.ndarray] = []
            tail = Fruitless()
            for frame in chain(_frames(clock, stream, tail), [None]):
                if frame is not None and frame.pts is not None:
                    seconds = float(frame.pts * base)
                    self._origin = seconds if self._origin is None else self._origin
                    start = round((seconds - self._origin) * SAMPLE_RATE)
                for channels in self.mixer.channels(frame):
                    if held and not _goes_on(held, start - at, channels):
                        yield at, self.mixer.mono(np.concatenate(held, axis=1))
                        held = []
                    at = at if held else start
                    held.append(channels)
                    start += channels.shape[1]
            if held:
                yield at, self.mixer.mono(np.concatenate(held, axis=1))
            origin = self._origin or 0.0
            begin = tail.begin(base)
            self.mute_from_seconds = None if begin is None else begin - origin
            self.joins = [Join(each.seconds - origin, each.by_seconds) for each in clock.joins.joins]


def _goes_on(held: list[np.ndarray], distance: int, channels: np.ndarray) -> bool:
    """Whether a piece of sound, so many samples after the start of others, is mixed with them."""
    length = sum(piece.shape[1] for piece in held)
    is_alike = len(channels) == len(held[0]) and channels.dtype == held[0].dtype
    return is_alike and length < _BLOCK_SAMPLES and abs(distance - length) <= _GAP_SAMPLES


def _frames(clock: OneClock, stream: Any, tail: Fruitless) -> Iterator[AudioFrame]:
    own = (packet for packet in clock.packets() if packet.stream_index == stream.index)
    for packet in chain(own, [None]):
        try:
            frames = decoded(stream.codec_context, packet)
        except DamageError:
            frames = []
        tail.add(packet, len(frames))
        yield from frames


def _first_picture_seconds(path: str) -> float:
    """Second 0 of ``open_video``; where no picture can be decoded, when the first was to be shown."""
    try:
        with closing(PyavPictures(path)) as pictures:
            return float(pictures.origin_seconds)
    except SourceError:
        with closing(open_container(path)) as video:
            packets = video.packets_past_damage(video.stream)
            stamps = (packet.pts for packet in packets if packet.pts is not None)
            return float(next(stamps, 0) * video.tick)
