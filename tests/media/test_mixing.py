"""Two channels to one: speech survives an inverted channel, and true stereo stays what it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from svlm_cli.media.mixing import SAMPLE_RATE, Mixer
from tests.data.whisper import say

pytestmark = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
BLOCK = SAMPLE_RATE // 4
Stereo = tuple[np.ndarray, np.ndarray]
TEXT = "The goalkeeper makes a great save, and the crowd is on its feet, they lead by two goals to one."


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return say(TEXT, tmp_path_factory.mktemp("voice")).astype(float)


def crowd(voice: np.ndarray, decibel: float, seed: int) -> np.ndarray:
    """Pink noise, so much louder than the voice."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(voice)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), len(voice))
    return noise / noise.std() * voice.std() * 10 ** (decibel / 20)


def later(voice: np.ndarray, samples: float) -> np.ndarray:
    spectrum = np.fft.rfft(voice)
    turn = np.exp(-2j * np.pi * np.arange(len(spectrum)) * samples / len(voice))
    return np.fft.irfft(spectrum * turn, len(voice))


def mixed(channels: Stereo) -> tuple[np.ndarray, Mixer]:
    mixer = Mixer()
    both = np.clip(np.stack(channels), -32767, 32767).astype(np.int16)
    pieces = [mixer.mono(both[:, at : at + BLOCK]) for at in range(0, both.shape[1], BLOCK)]
    return np.concatenate(pieces).astype(float), mixer


def inverted(voice: np.ndarray) -> Iterator[tuple[str, Stereo]]:
    for gain in (0.4, 0.6, 0.8, 0.95, 1.0):
        yield f"gain {gain}", (voice, -gain * voice)
        yield f"left, gain {gain}", (-gain * voice, voice)
    for samples in (0.1, 0.5, 1.0, 2.0, 4.0):  # of 16,000 a second
        yield f"{samples} samples late", (voice, -later(voice, samples))
    for decibel in (-30.0, -20.0, -12.0):
        one, other = crowd(voice, decibel, 1), crowd(voice, decibel, 2)
        yield f"crowd of each channel {decibel}", (voice + one, -voice + other)
        yield f"crowd of both {decibel}", (voice + one, -voice + one)
        yield f"all inverted {decibel}", (voice + one, -voice - one)


def stereo(voice: np.ndarray) -> Iterator[tuple[str, Stereo]]:
    other = np.roll(voice, len(voice) // 3)[::-1]
    yield "two voices, left and right", (voice, other)
    yield "panned", (voice + 0.3 * other, 0.3 * voice + other)
    yield "one side", (voice, 0 * voice)
    yield "inverted, hardly to be heard", (voice, -0.1 * voice)
    for samples in (0.0, 0.5, 1.0, 4.0, 8.0):
        for gain in (1.0, 0.5):
            yield f"{samples} samples late, gain {gain}", (voice, gain * later(voice, samples))
    for decibel in (-20.0, -10.0, 0.0, 10.0, 20.0):
        one, wide = crowd(voice, decibel, 3), crowd(voice, decibel, 4)
        yield f"crowd of each channel {decibel}", (voice + one, voice + wide)
        yield f"crowd alone {decibel}", (one, wide)
        if decibel <= 0:
            yield f"surround of a matrix {decibel}", (voice + one, voice - one)


def test_speech_survives_an_inverted_channel(voice: np.ndarray) -> None:
    for name, channels in inverted(voice):
        heard, mixer = mixed(channels)
        alone = max(np.square(each).sum() for each in channels)  # which is louder may turn from word to word
        assert np.square(heard).sum() > 0.5 * alone, name
        assert mixer.cancelled_seconds > 0.7 * len(voice) / SAMPLE_RATE, name


def test_true_stereo_is_mixed_and_nothing_is_said(voice: np.ndarray) -> None:
    for name, channels in stereo(voice):
        heard, mixer = mixed(channels)
        assert mixer.cancelled_seconds == 0, name
        if "crowd" not in name and "surround" not in name:  # there, moments may cancel
            assert np.abs(heard - np.clip(channels, -32767, 32767).mean(axis=0)).max() < 2, name


def test_an_advertisement_that_is_inverted_is_told_in_a_long_recording(voice: np.ndarray) -> None:
    seconds = 40
    right = np.resize(voice, SAMPLE_RATE * seconds)
    left = right.copy()
    left[20 * SAMPLE_RATE : 27 * SAMPLE_RATE] *= -1
    _, mixer = mixed((left, right))
    assert mixer.cancelled_seconds == pytest.approx(7, abs=1)
