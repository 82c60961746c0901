"""A piper voice, by a stand-in for its package: no voice of piper's own is at hand.

The stand-in has the names and parameters of piper-tts 1.8 (``piper/voice.py``, ``piper/config.py``): the
format of the WAV file is set with the first piece of sound, and text that cannot be said has no piece.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.errors import OutputError
from svlm_cli.stream.outputs.speech import SAMPLE_RATE, Reciter

PACKAGE = """
from dataclasses import dataclass
from math import pi, sin
from struct import pack

RATE = 16000


@dataclass
class SynthesisConfig:
    speaker_id: int | None = None
    length_scale: float | None = None


class PiperVoice:
    @staticmethod
    def load(model_path, config_path=None, use_cuda=False):
        if open(model_path).read() != "a voice":
            raise ValueError("not a model")
        return PiperVoice()

    def synthesize_wav(
        self, text, wav_file, syn_config=None, set_wav_format=True, include_alignments=False
    ):
        is_first = True
        for word in text.split():
            if not word.isalpha():
                continue
            if is_first and set_wav_format:
                wav_file.setframerate(RATE)
                wav_file.setsampwidth(2)
                wav_file.setnchannels(1)
            is_first = False
            number = int(0.2 * RATE * (syn_config.length_scale or 1.0))
            wave = (round(12000 * sin(2 * pi * 440 * k / RATE)) for k in range(number))
            wav_file.writeframes(b"".join(pack("<h", each) for each in wave))
"""


@pytest.fixture
def voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "piper").mkdir()
    (tmp_path / "piper/__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "piper", raising=False)
    model = tmp_path / "en.onnx"
    model.write_text("a voice")
    yield model
    sys.modules.pop("piper", None)


def test_words_sound_as_long_as_they_are_at_every_speed(voice: Path) -> None:
    reciter = Reciter(str(voice))
    assert reciter.name == str(voice)
    for text, speed in (("one two three", 1.0), ("one two three", 2.0), ("goal", 1.25)):
        heard = reciter.samples(text, speed)
        assert heard.dtype == np.int16
        assert len(heard) / SAMPLE_RATE == pytest.approx(0.2 * len(text.split()) / speed, abs=0.02)


def test_what_cannot_be_said_is_silence_and_no_error(voice: Path) -> None:
    assert Reciter(str(voice)).samples("... 2-1 –").size == 0


def test_no_voice_and_no_model_are_told(voice: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such voice"):
        Reciter(str(tmp_path / "gone.onnx"))
    voice.write_text("something else")
    with pytest.raises(OutputError, match="cannot be opened"):
        Reciter(str(voice))
