"""Words as sound, by a synthesiser of this machine: espeak-ng, flite, or piper with a voice of the user's."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from svlm_cli.errors import OutputError, UsageError, boundary

SAMPLE_RATE = 22_050
FASTEST = 2.0
_ESPEAK_WORDS_A_MINUTE, _QUIET = 175, 0.01  # of full scale
_LONGEST_SECONDS = 30.0

Synthesis = Callable[[str, float, Path], None]
"""Writes a text, spoken so many times as fast as usual, to a WAV file."""


class Reciter:
    """Says words.

    Args:
        voice: ``espeak-ng``, ``flite``, either with a voice of its own (``flite:rms``, ``espeak-ng:de``), or
            the path of a piper voice (``.onnx``); empty for espeak-ng or flite, whichever is installed.

    Raises:
        UsageError: it is none of these.
        OutputError: it is not installed.
    """

    def __init__(self, voice: str = "") -> None:
        name, _, own = voice.partition(":")
        self.name = voice
        if voice.endswith(".onnx"):
            self._say: Synthesis = _piper(Path(voice))
            self._try()
            return
        programs = {"espeak-ng": _espeak, "flite": _flite}
        if name and name not in programs:
            raise UsageError(
                f"--voice {voice} is no voice",
                "name espeak-ng, flite, or a piper voice, e.g. en_US-lessac.onnx",
            )
        found = next((each for each in ([name] if name else programs) if shutil.which(each)), None)
        if found is None:
            what = name or "espeak-ng or flite"
            raise OutputError(f"a voice needs {what}, which is not installed", "apt install espeak-ng")
        self.name = f"{found}:{own}" if own else found
        self._say = programs[found](own)
        self._try()

    def _try(self) -> None:
        """Say a word: a voice that is none is found out now, and not in mid-stream.

        Raises:
            UsageError: it cannot be said.
        """
        try:
            self.samples("one")
        except OSError as error:
            raise UsageError(f"--voice {self.name}: {error.strerror}", "name another voice") from error

    def samples(self, text: str, speed: float = 1.0) -> np.ndarray:
        """A text as sound, without the silence around it.

        Args:
            text: a text on one line.
            speed: times as fast as usual.

        Returns:
            int16, shape (n,), at ``SAMPLE_RATE``; none for what cannot be said.

        Raises:
            OSError: the synthesiser fails.
        """
        with tempfile.TemporaryDirectory(prefix="svlm-voice-") as folder:
            path = Path(folder) / "words.wav"
            self._say(text, speed, path)
            return _trimmed(_read(path)) if path.is_file() else np.zeros(0, np.int16)


def _espeak(voice: str) -> Synthesis:
    chosen = ["-v", voice] if voice else []

    def say(text: str, speed: float, path: Path) -> None:
        rate = str(round(_ESPEAK_WORDS_A_MINUTE * speed))
        _run(["espeak-ng", *chosen, "-s", rate, "-f", str(_written(text, path)), "-w", str(path)])

    return say


def _flite(voice: str) -> Synthesis:
    known = (
        _run(["flite", "-lv"]).partition(":")[2].split() if voice else []
    )  # it says nothing of unknown ones
    if voice and voice not in known:
        raise UsageError(f"flite has no voice {voice}", f"it has {', '.join(known)}")

    def say(text: str, speed: float, path: Path) -> None:
        stretch = f"duration_stretch={1 / speed:.3f}"
        text_path = str(_written(text, path))
        _run(["flite", "-voice", voice or "slt", "--setf", stretch, "-f", text_path, "-o", str(path)])

    return say


def _piper(model: Path) -> Synthesis:
    try:
        import piper
    except ImportError:
        raise OutputError("a piper voice needs piper-tts", "pip install piper-tts") from None
    if not model.is_file():
        raise OutputError(f"no such voice: {model}", "python -m piper.download_voices gets one")
    with boundary(f"the voice {model} cannot be opened", OutputError):
        voice: Any = piper.PiperVoice.load(model)

    def say(text: str, speed: float, path: Path) -> None:
        try:
            with wave.open(str(path), "wb") as file:
                file.setparams(
                    (1, 2, SAMPLE_RATE, 0, "NONE", "")
                )  # of text without a sound: nothing else sets it
                voice.synthesize_wav(text, file, piper.SynthesisConfig(length_scale=1 / speed))
        except Exception as error:  # of a library: no words may end the stream
            raise OSError(0, f"{model.name}: {type(error).__name__}: {error}") from error

    return say


def _written(text: str, path: Path) -> Path:
    """A text in a file: as an argument it could be an option."""
    written = path.with_suffix(".txt")
    written.write_text(text, encoding="utf-8", errors="replace")
    return written


def _run(command: list[str]) -> str:
    """Run a program; what it prints."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(0, f"{command[0]} does not answer") from error
    if done.returncode:
        raise OSError(0, f"{command[0]} fails: {done.stderr.strip()[-200:]}")
    return done.stdout


def _read(path: Path) -> np.ndarray:
    """A WAV file as one channel at ``SAMPLE_RATE``."""
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    parts: list[np.ndarray] = []
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            parts += [each.to_ndarray().reshape(-1) for each in resampler.resample(frame)]
        parts += [each.to_ndarray().reshape(-1) for each in resampler.resample(None)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _trimmed(samples: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET * np.iinfo(np.int16).max)
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples[:0]
