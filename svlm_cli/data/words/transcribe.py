"""Speech to words with their times: faster-whisper over the stretches in which somebody speaks.

Where nobody speaks, Whisper invents words, and stretches the times of the words after a silence back into it
(faster-whisper #125, #1175, #1427). So a voice activity detector goes first: only stretches with speech are
recognised, each in its own surroundings, and a word that lies outside of speech is moved or dropped.

Shape legend: n = samples.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from svlm_cli.data.words.transcript import Dropped, TimedWord, Utterance
from svlm_cli.errors import ModelError, SvlmError, UsageError
from svlm_cli.media.audio import SAMPLE_RATE

# Speech is looked for in blocks of this length, so that memory does not grow with the video.
_BLOCK_SECONDS = 600
# Stretches this near to each other are recognised together: Whisper hears in windows of 30 s.
_JOIN_SECONDS = 3.0
_LONGEST_SECONDS = 300
_MARGIN_SECONDS = 0.4
_LEAST_SILENCE_MS = 300
_LEAST_SPEECH_MS = 100
# How far outside of speech a word may lie before it is taken for invented.
_OUTSIDE_SECONDS = 0.3
_ONSET_STEP = SAMPLE_RATE // 100
_LATEST_ONSET = SAMPLE_RATE * 35 // 100
_ONSET_SHARE = 0.05
_LOOP_COMPRESSION = 2.4
_LOOP_PHRASE = 4
_LANGUAGE_SECONDS = 30
SURE_OF_LANGUAGE = 0.6


@dataclass(frozen=True, slots=True)
class WhisperOptions:
    """Which recogniser, and where it runs.

    Args:
        model: name (``large-v3-turbo``), Hugging Face id or folder of a faster-whisper model.
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: the number format of CTranslate2; ``auto`` is int8 on the CPU and float16 on a GPU.
        language: two letters.
        workers: videos at once; each has a share of the cores.
        threads: the threads of all workers together; None for all cores.
    """

    model: str = "large-v3-turbo"
    device: str = "auto"
    compute_type: str = "auto"
    language: str = "en"
    workers: int = 1
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard.

    Args:
        utterances: Whisper's segments, words in order.
        dropped: words outside of speech.
        speech_seconds: the seconds in which somebody speaks.
        other_language: what was heard instead of the one asked for, and how sure that is; nothing is
            recognised then.
    """

    utterances: list[Utterance]
    dropped: list[Dropped]
    speech_seconds: float
    other_language: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples [start, end) in which somebody speaks."""

    start: int
    end: int


class Recogniser:
    """A Whisper model; several threads may use it at once.

    Args:
        options: which one.

    Raises:
        ModelError: it cannot be loaded; says why.
        UsageError: the model does not know the language.
    """

    def __init__(self, options: WhisperOptions) -> None:
        self._options = options
        self._model = _load(options)
        if options.language != "en" and not self._model.model.is_multilingual:
            raise UsageError(
                f"{options.model} knows English only, not --language {options.language}",
                "take a model without .en in its name",
            )

    def recognise(self, sound: np.ndarray, should_stop: Callable[[], bool] = lambda: False) -> Recognition:
        """Words of a whole sound track.

        Greedy at heart (beam search, temperature 0), so the same sound gives the same words.

        Args:
            sound: int16, shape (n,), at ``SAMPLE_RATE``.
            should_stop: says between stretches whether to stop.

        Raises:
            SvlmError: it was told to stop.
        """
        speech = find_speech(sound)
        seconds = sum(each.end - each.start for each in speech) / SAMPLE_RATE
        other = self._other_language(sound, speech)
        if other is not None:
            return Recognition([], [], seconds, other)
        utterances: list[Utterance] = []
        dropped: list[Dropped] = []
        for group in group_stretches(speech, len(sound)):
            if should_stop():
                raise SvlmError("stopped", "run the same command again")
            for words in self._recognise(sound, group):
                kept, outside = keep_within(words, speech)
                utterances += [kept] if kept else []
                dropped += [Dropped.of("no speech there", outside)] if outside else []
        return Recognition(utterances, dropped, seconds)

    def _other_language(self, sound: np.ndarray, speech: Sequence[Stretch]) -> tuple[str, float] | None:
        """The language of the first half minute of speech, where it is surely not the one asked for."""
        if not speech or not self._model.model.is_multilingual:
            return None
        heard = np.concatenate([sound[each.start : each.end] for each in speech[:64]])
        language, probability, _ = self._model.detect_language(
            _as_float(heard[: _LANGUAGE_SECONDS * SAMPLE_RATE])
        )
        if language == self._options.language or probability < SURE_OF_LANGUAGE:
            return None
        return language, float(probability)

    def _recognise(self, sound: np.ndarray, group: Stretch) -> Iterator[Utterance]:
        audio = _as_float(sound[group.start : group.end])
        segments = self._transcribe(audio)
        if any(segment.compression_ratio > _LOOP_COMPRESSION for segment in segments):
            segments = self._transcribe(audio, no_repeat_ngram_size=_LOOP_PHRASE)
        offset = group.start / SAMPLE_RATE
        for segment in segments:
            words = tuple(
                TimedWord(
                    word.word.strip(),
                    float(word.start) + offset,
                    float(word.end) + offset,
                    round(float(word.probability), 3),
                )
                for word in segment.words or ()
                if word.word.strip()
            )
            if words:
                yield words

    def _transcribe(self, audio: np.ndarray, **more: Any) -> list[Any]:
        segments, _ = self._model.transcribe(
            audio,
            language=self._options.language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=False,
            **more,
        )
        return list(segments)


def find_speech(sound: np.ndarray) -> list[Stretch]:
    """Where somebody speaks, without margins, by Silero's detector in faster-whisper.

    Args:
        sound: int16, shape (n,), at ``SAMPLE_RATE``.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        min_silence_duration_ms=_LEAST_SILENCE_MS, min_speech_duration_ms=_LEAST_SPEECH_MS, speech_pad_ms=0
    )
    block = _BLOCK_SECONDS * SAMPLE_RATE
    found: list[Stretch] = []
    for first in range(0, len(sound), block):
        for each in get_speech_timestamps(_as_float(sound[first : first + block]), options):
            start, end = first + each["start"], first + each["end"]
            if found and start - found[-1].end <= 1:
                start = found.pop().start
            found.append(Stretch(start, min(end, len(sound))))
    begins = [0, *(each.end for each in found)]
    return [Stretch(_onset(sound, each, begin), each.end) for each, begin in zip(found, begins, strict=False)]


def _onset(sound: np.ndarray, speech: Stretch, earliest: int) -> int:
    """Where speech begins: the detector is late by up to a third of a second after perfect silence.

    Goes back from there while the sound has a twentieth of the loudness of the speech.
    """
    loud = _ONSET_SHARE * _loudness(sound[speech.start : min(speech.end, speech.start + SAMPLE_RATE // 3)])
    start = speech.start
    while (
        start - _ONSET_STEP >= max(earliest, speech.start - _LATEST_ONSET)
        and _loudness(sound[start - _ONSET_STEP : start]) > loud
    ):
        start -= _ONSET_STEP
    return start


def _loudness(sound: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(sound.astype(np.float32)))))


def group_stretches(speech: Sequence[Stretch], num_samples: int) -> list[Stretch]:
    """Stretches with their surroundings, near ones together, so that each is a piece for Whisper.

    Args:
        speech: the stretches of speech, in order.
        num_samples: the number of samples of the whole sound.
    """
    margin = round(_MARGIN_SECONDS * SAMPLE_RATE)
    groups: list[Stretch] = []
    for each in speech:
        start, end = max(0, each.start - margin), min(num_samples, each.end + margin)
        if groups:
            last = groups[-1]
            is_near = start - last.end < _JOIN_SECONDS * SAMPLE_RATE
            if is_near and end - last.start <= _LONGEST_SECONDS * SAMPLE_RATE:
                groups[-1] = Stretch(last.start, end)
                continue
            start = max(start, last.end)
        groups.append(Stretch(start, end))
    return groups


def keep_within(words: Utterance, speech: Sequence[Stretch]) -> tuple[Utterance, list[TimedWord]]:
    """Move words that reach out of speech back into it, and part with those that lie outside.

    Args:
        words: the words of one segment.
        speech: where somebody speaks, in order, not empty.

    Returns:
        The words that stay, none of which begins before the speech it is in, and the others.
    """
    starts = np.array([each.start for each in speech]) / SAMPLE_RATE
    ends = np.array([each.end for each in speech]) / SAMPLE_RATE
    kept: list[TimedWord] = []
    outside: list[TimedWord] = []
    for word in words:
        shared = np.minimum(ends, word.end_seconds) - np.maximum(starts, word.start_seconds)
        best = int(shared.argmax())
        if shared[best] < -_OUTSIDE_SECONDS:
            outside.append(word)
            continue
        start = max(word.start_seconds, float(starts[best]))
        end = max(start, min(word.end_seconds, float(ends[best]) + _OUTSIDE_SECONDS))
        kept.append(TimedWord(word.text, start, end, word.probability))
    return tuple(kept), outside


def _as_float(sound: np.ndarray) -> np.ndarray:
    return sound.astype(np.float32) / 32768


def _load(options: WhisperOptions) -> Any:
    import ctranslate2
    from faster_whisper import WhisperModel

    ctranslate2.set_log_level(logging.ERROR)  # it warns of number formats that it converts
    on_gpu = options.device == "cuda" or (
        options.device == "auto" and ctranslate2.get_cuda_device_count() > 0
    )
    fastest = "float16" if on_gpu else "int8"
    cores = options.threads or os.cpu_count() or 1
    try:
        return WhisperModel(
            options.model,
            device=options.device,
            compute_type=fastest if options.compute_type == "auto" else options.compute_type,
            cpu_threads=max(1, cores // options.workers),
            num_workers=options.workers,
        )
    except (
        Exception
    ) as error:  # CTranslate2 and the hub raise their own, all of them for one cause: this model
        where = "the folder" if Path(options.model).is_dir() else "the name and the network, or give a folder"
        detail = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the Whisper model {options.model} cannot be loaded: {detail}",
            f"check {where}, --device and --compute-type",
        ) from error
