"""The words of a stream, spoken in their seconds: a WAV file that can be played at any moment."""

from __future__ import annotations

import json
import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np

from svlm_cli.cue_text import clean_text, timestamp
from svlm_cli.errors import OutputError
from svlm_cli.files import put_aside, sync
from svlm_cli.stream.outputs.append import file_target
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.going_on import begun_anew
from svlm_cli.stream.outputs.speech import FASTEST, SAMPLE_RATE, Reciter
from svlm_cli.types import StartEvent, StepEvent, StreamEvent

HEADER_BYTES, SAMPLE_BYTES = 44, 2
_MOST_BYTES = (1 << 32) - 1


class SpokenTrack:
    """Where words lie in time when they are spoken: each in its second, or once those before it are said.

    Words wait for no more than a step's words before them: what would end later than a step behind its own is
    said faster, up to twice as fast; what does not fit even then is left out, from its end, and told.

    Args:
        speaker: says them.
    """

    def __init__(self, speaker: Reciter) -> None:
        self._speaker = speaker
        self.free_seconds = 0.0
        self.num_left_out = 0

    def add(self, step: StepEvent) -> tuple[float, np.ndarray]:
        """Say the words of a step.

        Returns:
            Where they begin, in seconds of the stream, and their samples; none of a silent step.

        Raises:
            OSError: the synthesiser fails.
        """
        words = clean_text(step.text).split()
        start = max(step.start_seconds, self.free_seconds)
        room = step.end_seconds + (step.end_seconds - step.start_seconds) - start
        samples = self._speaker.samples(" ".join(words)) if words else np.zeros(0, np.int16)
        needed = len(samples) / SAMPLE_RATE / max(room, 1e-3)
        if needed > 1:
            num_said = min(len(words), int(len(words) * FASTEST / needed)) if needed > FASTEST else len(words)
            self.num_left_out += len(words) - num_said
            text = " ".join(words[:num_said])
            samples = self._speaker.samples(text, min(needed, FASTEST)) if text else samples[:0]
            samples = samples[: int(max(0.0, room) * SAMPLE_RATE)]
        self.free_seconds = start + len(samples) / SAMPLE_RATE if len(samples) else self.free_seconds
        return start, samples


class VoiceFile:
    """A WAV file of the words: second 0 of it is the first of the stream.

    One channel of 16 bits. Its length stands in its header after every step, so that it can be played at any
    moment, also after a kill. Beyond 4 GiB (27 hours), players go by the file's own length.

    Args:
        path: the path of the file.
        voice: as ``Reciter`` has it.

    Raises:
        OutputError: it cannot be written there, or there is no synthesiser.
        UsageError: the voice is none.
    """

    def __init__(self, path: Path, voice: str = "") -> None:
        self.path = path
        self._target = file_target(path)
        self.real_path = str(self._target)
        self._spoken = SpokenTrack(Reciter(voice))
        self._descriptor = -1
        self._origin: float | None = None
        self._num_samples = 0
        self._has_told = False

    @property
    def held(self) -> str:
        """Which second the file begins with, how long it is, and until when somebody speaks."""
        return json.dumps([self._origin, self._num_samples, self._spoken.free_seconds])

    def begin(self, earlier: Earlier | None, *, keeps: bool) -> list[str]:
        """See ``contract.Production``."""
        told = []
        held = "" if earlier is None else earlier.held.get(self.real_path, "")
        try:
            if held and earlier is not None and self._target.is_file():
                self._descriptor = os.open(self._target, os.O_RDWR | os.O_CLOEXEC)
                return self._go_on(held, cut=earlier.cut)
            kept = ""
            if keeps and self._target.is_file() and self._target.stat().st_size:
                kept = f"was there already: it is kept as {put_aside(self._target).name}"
            if earlier is not None:
                told.append(begun_anew(self.path, self.real_path, earlier, kept))
            elif kept:
                told.append(f"{self.path} {kept} (--overwrite replaces it)")
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(self._target, flags, 0o666)
            self._write_header()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}", "name another file") from error
        return told

    def settle(self, earlier: Earlier, *, keeps: bool) -> tuple[bool, list[str]]:
        """See ``contract.Production``."""
        if self.real_path in earlier.lengths and self._target.is_file():
            size = self._target.stat().st_size
            there = max(0, (size - HEADER_BYTES) // SAMPLE_BYTES)
            with self._target.open("rb") as file:
                is_whole = file.read(HEADER_BYTES) == _header(there)
            if is_whole and there >= _num_samples_of(earlier.held.get(self.real_path, "")):
                return False, []
        return True, self.begin(earlier, keeps=keeps)

    def write(self, event: StreamEvent) -> list[str]:
        """See ``contract.Production``."""
        if isinstance(event, StartEvent) and self._origin is None:
            self._origin = event.at_seconds
        if not isinstance(event, StepEvent):
            return []
        origin = self._origin or 0.0
        start, samples = self._spoken.add(event)
        if len(samples):
            self._put(round((start - origin) * SAMPLE_RATE), samples)
        self._num_samples = max(self._num_samples, round((event.end_seconds - origin) * SAMPLE_RATE))
        os.ftruncate(self._descriptor, HEADER_BYTES + SAMPLE_BYTES * self._num_samples)
        self._write_header()
        if self._spoken.num_left_out and not self._has_told:
            self._has_told = True
            return [f"{self.path}: words come faster than they can be spoken; some are left out"]
        return []

    def sync(self) -> None:
        """See ``contract.Production``."""
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            sync(self._target.parent)

    def finish(self) -> None:
        """See ``contract.Production``."""
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _put(self, place: int, samples: np.ndarray) -> None:
        content = memoryview(samples.astype("<i2").tobytes())
        at = HEADER_BYTES + SAMPLE_BYTES * place
        while content:
            written = os.pwrite(self._descriptor, content, at)
            content, at = content[written:], at + written
        self._num_samples = max(self._num_samples, place + len(samples))

    def _write_header(self) -> None:
        os.pwrite(self._descriptor, _header(self._num_samples), 0)

    def _go_on(self, held: str, *, cut: bool) -> list[str]:
        """Go on behind what a file holds, or behind what it held when its state was saved; what it lacks."""
        told = []
        there = max(0, (os.fstat(self._descriptor).st_size - HEADER_BYTES) // SAMPLE_BYTES)
        self._num_samples = there
        with suppress(ValueError, TypeError):  # of another build: behind what is there
            origin, _, free_seconds = json.loads(held)
            self._origin = None if origin is None else float(origin)
            known = _num_samples_of(held)
            if cut or there < known:
                self._num_samples = known
            if there < known:
                begin, end = ((self._origin or 0.0) + count / SAMPLE_RATE for count in (there, known))
                told.append(
                    f"{self.path} is torn, or shorter than the saved state says: what it held from "
                    f"{timestamp(begin)} up to {timestamp(end)} is missing, and silent"
                )
            if cut:
                self._spoken.free_seconds = float(free_seconds)
        if not cut:
            self._spoken.free_seconds = (self._origin or 0.0) + self._num_samples / SAMPLE_RATE
        os.ftruncate(self._descriptor, HEADER_BYTES + SAMPLE_BYTES * self._num_samples)
        self._write_header()
        return told


def _header(num_samples: int) -> bytes:
    """The 44 bytes of a WAV file of PCM."""
    num_bytes = min(SAMPLE_BYTES * num_samples, _MOST_BYTES - HEADER_BYTES)
    kind = struct.pack(
        "<IHHIIHH", 16, 1, 1, SAMPLE_RATE, SAMPLE_BYTES * SAMPLE_RATE, SAMPLE_BYTES, 8 * SAMPLE_BYTES
    )
    riff = b"RIFF" + struct.pack("<I", num_bytes + HEADER_BYTES - 8) + b"WAVE"
    return riff + b"fmt " + kind + b"data" + struct.pack("<I", num_bytes)


def _num_samples_of(held: str) -> int:
    """How long a file was when its state was saved; 0 where that is another build's."""
    with suppress(ValueError, TypeError):
        _, num_samples, _ = json.loads(held)
        return int(num_samples)
    return 0
