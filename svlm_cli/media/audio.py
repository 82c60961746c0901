"""The sound of a video on the clock of its pictures."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from svlm_cli.errors import SourceError
from svlm_cli.media.container import DamageError, OpenVideo, decoded, libav, stream_tick
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.probe import open_container
from svlm_cli.media.timeline import LONGEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

SAMPLE_RATE = 16_000
# Stamps of sound are rounded to milliseconds in some containers: a smaller step is no gap.
_GAP_SAMPLES = SAMPLE_RATE // 10
# Damaged headers claim one sample a second, and damaged stamps years of silence.
_LEAST_RATE, _MOST_RATE = 4_000, 768_000
_LONGEST_SAMPLES = LONGEST_SECONDS * SAMPLE_RATE


def read_sound(path: str) -> np.ndarray:
    """Decode the sound track of a video.

    Second 0 is that of the first picture, as in ``open_video``: sound from before it is left out, and where
    there is no sound, at the start or in a gap, there is silence: an hour, or as much as there is sound, at
    most, as damaged stamps claim years. Damaged packets, also of pictures, are stepped over.

    Args:
        path: of a local file.

    Returns:
        int16, shape (n,), mono at ``SAMPLE_RATE``; two bytes a sample, 115 MB an hour.

    Raises:
        SourceError: the file cannot be read, or has no sound that can be decoded.
    """
    pieces: list[np.ndarray] = []
    position = silent = 0
    for start, samples in _placed(path):
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
    if position == silent:
        raise SourceError(f"no sound of {path} could be decoded", "check it with ffprobe")
    return np.concatenate(pieces)


def _placed(path: str) -> Iterator[tuple[int, np.ndarray]]:
    """Decoded samples and where they stand, in samples after the first picture."""
    origin = _first_picture_seconds(path)
    with closing(open_container(path)) as video:
        stream = _sound_stream(path, video)
        base = stream_tick(stream)
        converter = _Converter()
        start = 0
        for frame in chain(_decoded(video, stream), [None]):
            if frame is not None and frame.pts is not None:
                start = round((frame.pts * base - origin) * SAMPLE_RATE)
            for samples in converter.samples(frame):
                yield start, samples
                start += len(samples)


def _sound_stream(path: str, video: OpenVideo) -> Any:
    streams = video.container.streams.audio
    if not streams:
        raise SourceError(f"{path} has no sound", "give it a transcript with --transcript-from")
    if streams[0].codec_context is None:
        raise SourceError(f"{path}: libav has no decoder for its sound", "convert it with ffmpeg")
    return streams[0]


def _decoded(video: OpenVideo, stream: Any) -> Iterator[AudioFrame]:
    for packet in chain(video.packets_past_damage(stream), [None]):
        try:
            frames = decoded(stream.codec_context, packet)
        except DamageError:
            continue
        yield from frames


class _Converter:
    """Frames of sound to int16 mono at ``SAMPLE_RATE``; where their kind changes, it begins anew."""

    def __init__(self) -> None:
        self._resampler: AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None

    def samples(self, frame: AudioFrame | None) -> list[np.ndarray]:
        """What can be had after one more frame; None gets what is still held."""
        import av

        try:
            with libav():
                kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
                held = self._resampled(None) if kind != self._kind else []
                if frame is None or not _LEAST_RATE <= frame.sample_rate <= _MOST_RATE:
                    return held
                if kind != self._kind:
                    self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
                    self._kind = kind
                frame.pts = None
                return held + self._resampled(frame)
        except DamageError:
            self._resampler = self._kind = None
            return []

    def _resampled(self, frame: AudioFrame | None) -> list[np.ndarray]:
        pieces = [] if self._resampler is None else self._resampler.resample(frame)
        # One that has nothing to do gives back what it was given, also nothing.
        return [piece.to_ndarray()[0] for piece in pieces if piece is not None]


def _first_picture_seconds(path: str) -> Fraction:
    """Second 0 of ``open_video``; where no picture can be decoded, when the first was to be shown."""
    try:
        with closing(PyavPictures(path)) as pictures:
            return pictures.origin_seconds
    except SourceError:
        with closing(open_container(path)) as video:
            packets = video.packets_past_damage(video.stream)
            stamps = (packet.pts for packet in packets if packet.pts is not None)
            return next(stamps, 0) * video.tick
