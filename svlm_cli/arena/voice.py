"""The commentary of a match as sound, by a synthesiser of the machine, with the true times of its words."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from svlm_cli.arena.truth import WORD_LEAD_SECONDS, SpokenWord, TruthSecond
from svlm_cli.errors import SourceError

SAMPLE_RATE = 16_000
_GAP_SECONDS = 0.03
_QUIET = 0.02  # of full scale; what is quieter at both ends of a word is cut


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """A sound track and its words.

    Args:
        samples: int16, shape (n,), at ``SAMPLE_RATE``.
        words: as they sound; a long line ends after the second of its event.
    """

    samples: np.ndarray
    words: tuple[SpokenWord, ...]


def find_speaker() -> str:
    """The synthesiser to speak with.

    Raises:
        SourceError: neither flite nor espeak-ng is installed.
    """
    for program in ("flite", "espeak-ng"):
        if shutil.which(program):
            return program
    raise SourceError("a voice needs flite or espeak-ng", "apt install flite, or leave --speak away")


def speak(records: Iterable[TruthSecond], duration_seconds: float, program: str) -> Voice:
    """Say every line from its event on, or once the line before it has been said.

    Args:
        records: the records of the match.
        duration_seconds: the duration of the track; what does not fit in is not said.
        program: what ``find_speaker`` gave.

    Raises:
        SourceError: the synthesiser fails.
    """
    track = np.zeros(round(duration_seconds * SAMPLE_RATE), np.int16)
    words: list[SpokenWord] = []
    free = 0
    for record in records:
        if record.spoken is None:
            continue
        free = max(free, round((record.spoken.time_seconds + WORD_LEAD_SECONDS) * SAMPLE_RATE))
        for text in record.line.split():
            sound = _sound(text, program)
            if free + len(sound) > len(track):
                return Voice(track, tuple(words))
            track[free : free + len(sound)] = sound
            words.append(SpokenWord(text, free / SAMPLE_RATE, (free + len(sound)) / SAMPLE_RATE))
            free += len(sound) + round(_GAP_SECONDS * SAMPLE_RATE)
    return Voice(track, tuple(words))


@cache
def _sound(text: str, program: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        flite = ["-voice", "slt", "-t", text, "-o", str(path)]
        how = flite if program == "flite" else ["-w", str(path), text]
        done = subprocess.run([program, *how], capture_output=True, text=True, check=False)
        if done.returncode or not path.is_file():
            raise SourceError(f"{program} cannot say {text!r}: {done.stderr.strip()}")
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.iinfo(np.int16).max)
    if loud.size == 0:
        raise SourceError(f"{program} says nothing for {text!r}")
    sound = sound[loud[0] : loud[-1] + 1]
    times = np.arange(0, len(sound), rate / SAMPLE_RATE)
    return np.interp(times, np.arange(len(sound)), sound).astype(np.int16)
