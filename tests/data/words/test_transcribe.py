from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.data.words.transcribe import (
    Recogniser,
    Stretch,
    WhisperOptions,
    find_speech,
    group_stretches,
    keep_within,
)
from svlm_cli.data.words.transcript import TimedWord, text_of, words_in
from svlm_cli.errors import ModelError, SourceError, UsageError
from svlm_cli.media.audio import read_sound
from tests.data.whisper import SAMPLE_RATE, say, tiny_whisper, word_error_rate

JFK = (
    "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
)
LINES = (
    (20, "the lions attack down the left side"),
    (25, "here comes the corner from the right"),
    (60, "what a save by the goalkeeper"),
    (21, "the referee shows a yellow card to the captain"),
    (35, "they lead by a single goal with minutes left to play"),
)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(WhisperOptions(tiny_whisper(), device="cpu"))


def film(path: Path, sound: Path, *, late: float = 0.0) -> Path:
    """Pictures and a sound track that begins ``late`` seconds after them."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    pictures = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=15"]
    voice = ["-itsoffset", str(late), "-i", str(sound), "-map", "0:v", "-map", "1:a"]
    run = ["ffmpeg", "-loglevel", "error", *pictures, *voice, "-c:v", "libx264", "-c:a", "aac", str(path)]
    subprocess.run(run, check=True)
    return path


@pytest.mark.parametrize(("suffix", "late"), [("mp4", 0.0), ("mp4", 2.5), ("ts", 2.5), ("mkv", 2.5)])
def test_sound_lies_on_the_clock_of_the_pictures(
    shared_data: Path, tmp_path: Path, suffix: str, late: float
) -> None:
    plain = read_sound(str(film(tmp_path / "plain.mp4", shared_data / "audio" / "jfk.flac")))
    sound = read_sound(str(film(tmp_path / f"late.{suffix}", shared_data / "audio" / "jfk.flac", late=late)))
    shift = round(late * SAMPLE_RATE)
    loud = [np.flatnonzero(np.abs(each.astype(int)) > 3000)[0] for each in (plain, sound)]
    assert loud[1] - loud[0] == pytest.approx(shift, abs=0.05 * SAMPLE_RATE)
    assert not sound[: shift // 2].any()


def test_no_sound_is_told(make_video, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no sound"):
        read_sound(str(make_video(tmp_path / "silent.mp4", seconds=1)))


def test_a_real_sentence(recogniser: Recogniser, shared_data: Path, tmp_path: Path) -> None:
    sound = read_sound(str(film(tmp_path / "jfk.mp4", shared_data / "audio" / "jfk.flac")))
    words = words_in(recogniser.recognise(sound).utterances)
    assert word_error_rate(JFK, text_of(words)) < 0.1
    assert all(a.end_seconds <= b.start_seconds + 1e-6 for a, b in itertools.pairwise(words))
    with av.open(str(shared_data / "audio" / "jfk.flac")) as container:
        length = float(container.duration) / 1e6
    assert words[0].start_seconds > 0.2
    assert words[-1].end_seconds < length


def test_speech_among_long_silences_lies_in_its_seconds(recogniser: Recogniser, tmp_path: Path) -> None:
    if not shutil.which("flite"):
        pytest.skip("flite is not installed")
    pieces, spans, position = [], [], 0
    for silence, line in LINES:
        speech = say(line, tmp_path)
        pieces += [np.zeros(silence * SAMPLE_RATE, np.int16), speech]
        position += silence * SAMPLE_RATE
        spans.append((position / SAMPLE_RATE, (position + len(speech)) / SAMPLE_RATE, line))
        position += len(speech)
    words = words_in(recogniser.recognise(np.concatenate(pieces)).utterances)
    near = 0
    for start, end, line in spans:
        heard = [word for word in words if start - 10 < word.start_seconds < end + 10]
        assert word_error_rate(line, text_of(heard)) <= 0.3
        assert min(word.start_seconds for word in heard) >= start - 0.05
        for k, word in enumerate(heard):
            truth = start + (end - start) * (k + 1) / len(heard)
            near += abs(word.end_seconds - truth) <= 1.0
    assert near >= 0.9 * len(words)


def test_silence_music_and_noise_give_no_words(recogniser: Recogniser) -> None:
    seconds = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * pitch * seconds) for pitch in (262, 330, 392))
    music = (4000 * chord * (1 + np.sin(4 * np.pi * seconds)) / 2).astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 1500, len(seconds)).astype(np.int16)
    for sound in (np.zeros(len(seconds), np.int16), music, noise):
        assert recogniser.recognise(sound).utterances == []


def test_the_same_sound_gives_the_same_words(
    recogniser: Recogniser, shared_data: Path, tmp_path: Path
) -> None:
    sound = read_sound(str(film(tmp_path / "jfk.mp4", shared_data / "audio" / "jfk.flac")))
    assert recogniser.recognise(sound) == recogniser.recognise(sound)


def test_words_come_back_into_speech_or_go() -> None:
    speech = [Stretch(5 * SAMPLE_RATE, 7 * SAMPLE_RATE), Stretch(60 * SAMPLE_RATE, 62 * SAMPLE_RATE)]
    words = (
        TimedWord("stretched", 2.0, 5.5),
        TimedWord("right", 5.5, 6.0),
        TimedWord("long", 6.5, 20.0),
        TimedWord("invented", 30.0, 31.0),
        TimedWord("again", 61.0, 61.5),
    )
    kept, outside = keep_within(words, speech)
    assert [(word.text, word.start_seconds, word.end_seconds) for word in kept] == [
        ("stretched", 5.0, 5.5),
        ("right", 5.5, 6.0),
        ("long", 6.5, 7.3),
        ("again", 61.0, 61.5),
    ]
    assert [word.text for word in outside] == ["invented"]


def test_stretches_are_grouped_without_overlap() -> None:
    seconds = [(1, 2), (2.5, 4), (4.9, 6), (30, 31), (31.5, 400), (400.5, 402)]
    speech = [Stretch(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE)) for a, b in seconds]
    groups = group_stretches(speech, 402 * SAMPLE_RATE)
    assert all(a.end <= b.start for a, b in itertools.pairwise(groups))
    assert all(any(g.start <= each.start and each.end <= g.end for g in groups) for each in speech)
    assert len(groups) == 4
    assert find_speech(np.zeros(0, np.int16)) == []


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be loaded"):
        Recogniser(WhisperOptions(str(tmp_path / "empty"), device="cpu"))


def test_an_english_model_hears_english_only() -> None:
    with pytest.raises(UsageError, match="English only"):
        Recogniser(WhisperOptions(tiny_whisper(), device="cpu", language="es"))
