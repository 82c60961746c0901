"""Words as sound and pictures with captions, read back by the wave module and by PyAV."""

from __future__ import annotations

import random
import shutil
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.errors import OutputError, UsageError
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.speech import SAMPLE_RATE, Reciter
from svlm_cli.stream.outputs.voice import SpokenTrack
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import Clip, EndEvent, StartEvent, StepEvent
from tests.stream.outputs.streams import said

END = EndEvent(2, 2.0, 1.0, 2.0, 0.5, 0.6, 0.7, 1000, 0)
START = StartEvent("1", "a", "b", "cpu", "float32")
needs_voice = pytest.mark.skipif(
    not (shutil.which("flite") or shutil.which("espeak-ng")), reason="needs flite or espeak-ng"
)


def step(second: int, text: str = "") -> StepEvent:
    return StepEvent(second, float(second), second + 1.0, text, 2, 7, 8, 5)


class Metronome(Reciter):
    """A third of a second a word."""

    def __init__(self) -> None:
        pass

    def samples(self, text: str, speed: float = 1.0) -> np.ndarray:
        return np.full(round(len(text.split()) * SAMPLE_RATE / 3 / speed), 1000, np.int16)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("rate", [12, 40, 120])
def test_nobody_speaks_before_the_second_or_a_step_late(seed: int, rate: int) -> None:
    spoken, ends, said_words = SpokenTrack(Metronome()), 0.0, 0
    for event in said(random.Random(seed), 40, rate):
        start, samples = spoken.add(event)
        if len(samples):
            assert event.start_seconds <= start <= event.start_seconds + 1.0 + 1e-3
            assert start >= ends - 1e-3
            ends = start + len(samples) / SAMPLE_RATE
            assert ends <= event.end_seconds + 1.0 + 1e-3
        said_words += len(event.text.split())
    assert (spoken.num_left_out == 0) or rate > 12
    assert (spoken.num_left_out > 0) or rate < 120
    assert spoken.num_left_out < said_words


def sound(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def loud(samples: np.ndarray, start: float, end: float) -> bool:
    part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return bool(len(part)) and int(np.abs(part.astype(int)).max()) > 1000


@needs_voice
def test_the_words_sound_in_their_seconds_whenever_the_file_is_read(tmp_path: Path) -> None:
    texts = {2: "goal", 5: "a pass -- by & the captain", 6: "<b>", 9: "-w no option"}
    writers = Writers([tmp_path / "x.wav"])
    writers.write(START)
    for second in range(12):
        writers.write(step(second, texts.get(second, "")))
        samples = sound(tmp_path / "x.wav")  # as after a kill
        assert len(samples) >= (second + 1) * SAMPLE_RATE
    writers.write(END)
    writers.finish()
    assert writers.failed == ()
    samples = sound(tmp_path / "x.wav")
    assert [second for second in (2, 5, 9) if loud(samples, second, second + 0.6)] == [2, 5, 9]
    assert not any(loud(samples, second, second + 1.0) for second in (0, 1, 3, 4, 8, 11))


@needs_voice
@pytest.mark.parametrize("is_file", [True, False])
def test_a_voice_that_is_killed_goes_on(tmp_path: Path, is_file: bool) -> None:
    texts = [f"word {number}" if number % 2 else "" for number in range(12)]

    def speak(folder: Path, first: int, last: int, saved: Earlier | None = None) -> Earlier | None:
        writers, kept = Writers([folder / "x.wav"]), None
        if saved is not None:
            writers.resume(saved)
        writers.write(StartEvent("1", "a", "b", "cpu", "float32", at_seconds=float(first)))
        for second in range(first, last):
            assert writers.write(step(second, texts[second])) == []
            if second == first + 2:
                kept = Earlier(writers.lengths, second + 1.0, is_file, writers.held)
        writers.close()
        return kept

    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir()
    torn.mkdir()
    speak(whole, 0, 12)
    saved = speak(torn, 0, 7)
    speak(torn, 3 if is_file else 8, 12, saved)
    one, two = sound(whole / "x.wav"), sound(torn / "x.wav")
    if is_file:
        assert np.array_equal(one, two)
    assert len(one) == len(two)
    assert loud(two, 9, 9.6)
    assert not is_file or loud(two, 7, 7.6)
    assert is_file or not loud(two, 7.2, 8)


def clip(second: int) -> Clip:
    """Four pictures that tell when they are: grey levels that grow with time."""
    levels = [20 + 2 * (4 * second + number) for number in range(4)]
    frames = np.stack([np.full((91, 161, 3), level, np.uint8) for level in levels])
    return Clip(second, float(second), second + 1.0, frames)


def film(path: Path, num_seconds: int, texts: dict[int, str], voice: str | None = None) -> Writers:
    writers = Writers([path], voice=voice)
    watch = writers.watch
    assert watch is not None
    writers.write(START)
    for second in range(num_seconds):
        watch(clip(second))
        assert writers.write(step(second, texts.get(second, ""))) == []
    return writers


def pictures(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as file:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


def test_a_film_has_the_pictures_in_their_time_with_the_captions_on_them(tmp_path: Path) -> None:
    with film(tmp_path / "x.mp4", 8, {2: "A goal.", 5: "Words <b> & 足球"}) as writers:
        writers.write(END)
    assert writers.failed == ()
    content = (tmp_path / "x.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")  # the index is in front
    shown = pictures(tmp_path / "x.mp4")
    assert [time for time, _ in shown] == pytest.approx([number / 4 for number in range(32)], abs=1e-3)
    for time, picture in shown:
        assert picture.shape == (90, 160, 3)
        assert float(picture[:20].mean()) == pytest.approx(20 + 8 * time, abs=3)
        has_words = int(picture[60:].max()) > 200
        assert has_words == (2 <= time < 3.2 or 5 <= time < 6.2)


def test_a_film_that_is_killed_can_be_played_up_to_its_last_seconds(tmp_path: Path) -> None:
    writers = film(tmp_path / "x.mp4", 10, {1: "words"})
    assert pictures(tmp_path / "x.mp4")[-1][0] >= 7.5  # nothing was finished or closed
    saved = Earlier(writers.lengths, 10.0, True, writers.held)
    again = Writers([tmp_path / "x.mp4"])
    again.resume(saved)
    again.write(START)
    watch = again.watch
    assert watch is not None
    watch(clip(10))
    (told,) = again.write(step(10))
    assert "a film cannot be gone on with, and is kept as x.mp4.1" in told.message
    again.finish()
    assert pictures(tmp_path / "x.mp4.1")[-1][0] >= 7.5
    assert len(pictures(tmp_path / "x.mp4")) == 4
    writers.finish()


@needs_voice
def test_a_film_with_a_voice_is_heard_where_it_is_seen(tmp_path: Path) -> None:
    with film(tmp_path / "x.mp4", 8, {2: "goal", 5: "a pass by the captain"}, voice="") as writers:
        writers.write(END)
    with av.open(str(tmp_path / "x.mp4")) as file:
        parts = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    samples = (np.concatenate(parts) * 32767).astype(np.int16)
    assert len(samples) / SAMPLE_RATE == pytest.approx(8.0, abs=0.2)
    assert [second for second in range(8) if loud(samples, second, second + 0.9)] in ([2, 5], [2, 5, 6])


def test_no_voice_is_refused_in_a_line(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(UsageError, match="is no voice"):
        Writers([tmp_path / "x.wav"], voice="nobody")
    with pytest.raises(OutputError, match=r"piper-tts|no such voice"):
        Writers([tmp_path / "x.wav"], voice="nobody.onnx")
    if shutil.which("flite"):
        with pytest.raises(UsageError, match="flite has no voice nobody"):
            Writers([tmp_path / "x.wav"], voice="flite:nobody")
    if shutil.which("espeak-ng"):
        with pytest.raises(UsageError, match="does not exist"):
            Writers([tmp_path / "x.wav"], voice="espeak-ng:nobody")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(OutputError, match="which is not installed"):
        Writers([tmp_path / "x.wav"])


def test_captions_of_words_too_wide_for_the_picture_are_made_smaller() -> None:
    from svlm_cli.stream.outputs.subtitle import Subtitles

    lines = ["m" * 42, "m" * 42]
    drawn = Subtitles(160, 90).drawn(np.zeros((90, 160, 3), np.uint8), lines)
    assert drawn.shape == (90, 160, 3)
    assert drawn.max() > 200
