"""Frames of sound, of any kind, to one channel at one rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from svlm_cli.media.container import DamageError, libav

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

SAMPLE_RATE = 16_000
# Damaged headers claim one sample a second.
_LEAST_RATE, _MOST_RATE = 4_000, 768_000
# Power of the mix over that of its channels: 1 where they are alike, 1/2 where they have nothing in common.
_CANCELS, _CANCELS_NO_MORE = 0.2, 0.3
_MEMORY_SECONDS = 0.25
_AUDIBLE = 30.0**2
# Less is a moment of a crowd that was made wide, or of the same voice a little later in one channel.
_INVERTED_SHARE, _INVERTED_SECONDS = 0.2, 5.0


class Mixer:
    """Frames to int16 mono at ``SAMPLE_RATE``; where their format, layout or rate changes, it begins anew.

    Channels that cancel each other, as where one of two is inverted, are not mixed: the louder one is taken
    for as long as that lasts.

    """

    def __init__(self) -> None:
        self._audible_seconds = self._cancelled_seconds = self._run_seconds = self._longest_seconds = 0.0
        self._resampler: AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._powers = np.zeros(3)  # of left, right and their mix, over the last moments
        self._cancels = False

    @property
    def cancelled_seconds(self) -> float:
        """For how long channels cancelled each other, silence apart; 0 where that may be chance."""
        is_long = self._longest_seconds >= _INVERTED_SECONDS
        is_much = self._cancelled_seconds >= _INVERTED_SHARE * self._audible_seconds
        return self._cancelled_seconds if is_long or is_much else 0.0

    def channels(self, frame: AudioFrame | None) -> list[np.ndarray]:
        """What can be had after one more frame, shape (1 or 2, n); None gets what is still held."""
        try:
            with libav():
                kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
                held = self._resampled(None) if kind != self._kind else []
                if frame is None or not _LEAST_RATE <= frame.sample_rate <= _MOST_RATE:
                    return held
                if kind != self._kind:
                    self._resampler, self._kind = _resampler(frame.layout.nb_channels), kind
                frame.pts = None
                return held + self._resampled(frame)
        except DamageError:
            self._resampler = self._kind = None
            return []

    def mono(self, channels: np.ndarray) -> np.ndarray:
        """One channel of what ``channels`` gave, a quarter of a second or so; shape (n,), int16."""
        if channels.dtype != np.int16:
            channels = (np.clip(channels, -1.0, 1.0) * 32767).astype(np.int16)
        if len(channels) == 1 or not channels.size:
            only: np.ndarray = channels[0]
            return only
        mix: np.ndarray = (channels.sum(axis=0, dtype=np.int32) >> 1).astype(np.int16)
        loud = np.array([np.mean(np.square(each, dtype=np.float32)) for each in (*channels, mix)])
        weight = min(1.0, len(mix) / SAMPLE_RATE / _MEMORY_SECONDS)
        self._powers += weight * (loud - self._powers)
        left, right, mixed = self._powers
        share = _CANCELS_NO_MORE if self._cancels else _CANCELS
        self._cancels = bool(mixed < share * (left + right) / 2)
        if (left + right) / 2 > _AUDIBLE:
            self._count(len(mix) / SAMPLE_RATE)
        if not self._cancels:
            return mix
        louder: np.ndarray = channels[0 if left >= right else 1]
        return louder

    def _count(self, seconds: float) -> None:
        self._audible_seconds += seconds
        self._run_seconds = self._run_seconds + seconds if self._cancels else 0.0
        self._cancelled_seconds += seconds if self._cancels else 0.0
        self._longest_seconds = max(self._longest_seconds, self._run_seconds)

    def _resampled(self, frame: AudioFrame | None) -> list[np.ndarray]:
        pieces = [] if self._resampler is None else self._resampler.resample(frame)
        # One that has nothing to do gives back what it was given, also nothing.
        return [piece.to_ndarray() for piece in pieces if piece is not None]


def _resampler(num_channels: int) -> AudioResampler:
    """To two channels at most; more are mixed in floats, as libav makes integers so quiet that none clips."""
    import av

    layout = "mono" if num_channels == 1 else "stereo"
    kind = "fltp" if num_channels > 2 else "s16p"
    made: AudioResampler = av.AudioResampler(format=kind, layout=layout, rate=SAMPLE_RATE)
    return made
