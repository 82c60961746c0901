"""How fast, how large and how exact `svlm align` hears: ours against faster-whisper's batched mode.

Speech is made by flite at known times, with silences of 0.3 to 6 s between sentences. Compared are the times
at which a sentence is heard to begin and to end, words heard, CPU time and memory.

    python benchmarks/transcribe.py --whisper-model tiny.en --minutes 10
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from svlm_cli.data.words.transcribe import Recogniser, WhisperOptions
from svlm_cli.data.words.transcript import TimedWord, words_in
from svlm_cli.media.audio import SAMPLE_RATE

SENTENCES = (
    "the lions attack down the left side",
    "here comes the corner from the right",
    "what a save by the goalkeeper",
    "the referee shows a yellow card to the captain",
    "they lead by a single goal with minutes left to play",
    "he beats one man and then another and shoots just wide of the post",
    "the crowd is on its feet",
    "a long ball forward and the flag is up for offside",
)


def say(text: str, folder: Path) -> np.ndarray:
    path = folder / "speech.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(path)], check=True)
    with wave.open(str(path)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 300)
    return sound[loud[0] : loud[-1] + 1]


def make_track(minutes: float) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        spoken = {text: say(text, Path(folder)) for text in SENTENCES}
    pieces, spans, position = [], [], 0
    while position < minutes * 60 * SAMPLE_RATE:
        text = dice.choice(SENTENCES)
        pieces += [np.zeros(round(dice.choice((0.3, 1.0, 2.5, 6.0)) * SAMPLE_RATE), np.int16), spoken[text]]
        start = position + len(pieces[-2])
        position = start + len(spoken[text])
        spans.append((start / SAMPLE_RATE, position / SAMPLE_RATE, text))
    noise = np.random.default_rng(0).normal(0, 30, position)
    return (np.concatenate(pieces) + noise).astype(np.int16), spans


def errors(words: list[TimedWord], spans: list[tuple[float, float, str]]) -> dict[str, float]:
    starts, ends, found, total = [], [], 0, 0
    for start, end, text in spans:
        middle = [(word.start_seconds + word.end_seconds) / 2 for word in words]
        heard = [word for word, at in zip(words, middle, strict=True) if start - 0.15 <= at <= end + 0.15]
        total += len(text.split())
        said = [word.text.strip(".,!?").lower() for word in heard]
        found += sum(word in said for word in text.split())
        if heard:
            starts.append(abs(heard[0].start_seconds - start))
            ends.append(abs(heard[-1].end_seconds - end))
    early = sum(
        not any(start - 0.05 <= word.start_seconds <= end + 0.5 for start, end, _ in spans) for word in words
    )
    return {
        "words_heard_percent": round(100 * found / total, 2),
        "start_error_p50_seconds": round(float(np.percentile(starts, 50)), 3),
        "start_error_p95_seconds": round(float(np.percentile(starts, 95)), 3),
        "end_error_p50_seconds": round(float(np.percentile(ends, 50)), 3),
        "end_error_p95_seconds": round(float(np.percentile(ends, 95)), 3),
        "words_outside_of_sentences": early,
    }


def batched(model: str, sound: np.ndarray) -> list[TimedWord]:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    pipeline = BatchedInferencePipeline(WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=1))
    segments, _ = pipeline.transcribe(
        sound.astype(np.float32) / 32768,
        language="en",
        batch_size=8,
        word_timestamps=True,
        temperature=0.0,
        condition_on_previous_text=False,
    )
    return [TimedWord(w.word.strip(), float(w.start), float(w.end)) for s in segments for w in s.words]


def measure(name: str, hear: Callable[[], list[TimedWord]], seconds: float, spans: list) -> None:
    cpu, wall = time.process_time(), time.monotonic()
    words = hear()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    row = {"how": name, **errors(words, spans), "realtime_per_core": round(seconds / cpu, 1)}
    row |= {"wall_seconds": round(wall, 1)}
    row |= {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--whisper-model", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    sound, spans = make_track(arguments.minutes)
    seconds = len(sound) / SAMPLE_RATE
    recogniser = Recogniser(WhisperOptions(arguments.whisper_model, device="cpu", threads=1))
    measure("svlm align", lambda: list(words_in(recogniser.recognise(sound).utterances)), seconds, spans)
    measure("batched mode", lambda: batched(arguments.whisper_model, sound), seconds, spans)


if __name__ == "__main__":
    main()
