"""The sound of a video on the clock of its pictures."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from svlm_cli.errors import SourceError
from svlm_cli.media.probe import OpenVideo, open_container, tick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame

SAMPLE_RATE = 16_000
# Stamps of sound are rounded to milliseconds in some containers: a smaller step is no gap.
_GAP_SAMPLES = SAMPLE_RATE // 10


def read_sound(path: str) -> np.ndarray:
    """Decode the sound track of a video.

    Second 0 is that of the first picture, as in ``open_video``: sound from before it is left out, and where
    there is no sound, at the start or in a gap, there is silence. Damaged packets are stepped over.

    Args:
        path: of a local file.

    Returns:
        int16, shape (n,), mono at ``SAMPLE_RATE``; two bytes a sample, 115 MB an hour.

    Raises:
        SourceError: the file cannot be read, or has no sound that can be decoded.
    """
    pieces: list[np.ndarray] = []
    position = 0
    for start, samples in _placed(path):
        if start - position > _GAP_SAMPLES:
            pieces.append(np.zeros(start - position, np.int16))
            position = start
        elif position - start > _GAP_SAMPLES:  # before second 0, or stamps that jump back
            samples = samples[position - start :]
        pieces.append(samples)
        position += len(samples)
    if not pieces:
        raise SourceError(f"no sound of {path} could be decoded", "check it with ffprobe")
    return np.concatenate(pieces)


def _placed(path: str) -> Iterator[tuple[int, np.ndarray]]:
    """Decoded samples and where they stand, in samples after the first picture."""
    import av

    origin = _first_picture_seconds(path)
    video = open_container(path)
    with video.container as container:
        if not container.streams.audio:
            raise SourceError(f"{path} has no sound", "give it a transcript with --transcript-from")
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        base = Fraction(stream.time_base or Fraction(1, SAMPLE_RATE))
        start: int | None = None
        for frame in _decoded(container, stream):
            if frame.pts is not None:
                start = round((frame.pts * base - origin) * SAMPLE_RATE)
            frame.pts = None
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray()[0]
                yield start or 0, samples
                start = (start or 0) + len(samples)
        for piece in resampler.resample(None):
            yield start or 0, piece.to_ndarray()[0]


def _decoded(container: object, stream: object) -> Iterator[AudioFrame]:
    import av

    for packet in container.demux(stream):  # type: ignore[attr-defined]
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _first_picture_seconds(path: str) -> Fraction:
    video: OpenVideo = open_container(path)
    with video.container as container:
        for frame in container.decode(video.stream):
            return (frame.pts or 0) * tick(video.stream)
    return Fraction(0)
