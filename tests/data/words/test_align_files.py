"""``svlm align FILE``: transcripts beside files of any kind, as users of whisper tools expect."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import webvtt

from svlm_cli.cli import run
from svlm_cli.data.words import aligner as aligning
from svlm_cli.data.words.aligner import AlignOptions, AlignOutcome
from svlm_cli.data.words.beside import align_files, recordings
from svlm_cli.data.words.outputs import FORMATS, cues_of, parse_formats
from svlm_cli.data.words.transcribe import Recognition, WhisperOptions
from svlm_cli.data.words.transcript import TimedWord, read_transcript
from svlm_cli.errors import UsageError
from tests.data.whisper import tiny_whisper
from tests.strict_srt import parse_srt

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("flite")), reason="ffmpeg and flite are not installed"
)
SAID = "The goalkeeper makes a great save."


class Hearer:
    """A recogniser that hears the same in everything."""

    def __init__(self, _options: WhisperOptions) -> None:
        pass

    def recognise(self, _sound: np.ndarray, _should_stop) -> Recognition:
        words = [TimedWord(word, k / 2, k / 2 + 0.4, 0.9) for k, word in enumerate(SAID.split())]
        return Recognition([tuple(words)], [], 3.0)


@pytest.fixture
def hears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligning, "Recogniser", Hearer)


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talk")
    subprocess.run(["flite", "-voice", "slt", "-t", SAID, "-o", str(folder / "s.wav")], check=True)
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x36:r=10:d=4"]
    ffmpeg(*picture, "-i", folder / "s.wav", "-af", "adelay=1000,apad", "-t", 4, folder / "talk.mp4")
    for suffix in ("mp3", "flac", "m4a"):
        ffmpeg("-i", folder / "s.wav", folder / f"{suffix}.{suffix}")
    return folder


def transcribe(paths: list[Path], **more: object) -> dict[str, AlignOutcome]:
    options = AlignOptions(WhisperOptions("any", device="cpu"), **more)  # type: ignore[arg-type]
    results = align_files(paths, options, FORMATS, paths[0].parent / "answers")
    return {Path(result.video.id).name: result.outcome for result in results}


def test_video_and_sound_as_they_are(talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in talk.iterdir():
        shutil.copy(path, tmp_path)
    assert run(["align", str(tmp_path), "--whisper-model", tiny_whisper(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcomes"] == {"aligned": 5}
    for name in ("talk", "s", "mp3", "flac", "m4a"):
        assert {path.suffix for path in tmp_path.glob(f"{name}.*")} >= {".json", ".vtt", ".srt", ".txt"}
        text = (tmp_path / f"{name}.txt").read_text()
        assert text.lower().replace(" ", "").startswith("thegoalkeepermakesa")
        (cue,) = webvtt.read(str(tmp_path / f"{name}.vtt"))
        assert cue.text + "\n" == text
        assert parse_srt((tmp_path / f"{name}.srt").read_text())[0][-1] == cue.text
    words = read_transcript(tmp_path / "talk.json").words
    assert 1.0 <= words[0].start_seconds < 1.6
    assert words[-1].end_seconds < 3.5


def test_again_it_does_what_is_missing(talk: Path, tmp_path: Path, hears: None) -> None:
    path = Path(shutil.copy(talk / "talk.mp4", tmp_path))
    assert transcribe([path]) == {"talk.mp4": AlignOutcome.ALIGNED}
    (tmp_path / "talk.srt").write_text("mended by hand\n")
    (tmp_path / "talk.vtt").unlink()
    assert transcribe([path]) == {"talk.mp4": AlignOutcome.HAD}
    assert (tmp_path / "talk.srt.1").read_text() == "mended by hand\n"
    assert SAID in (tmp_path / "talk.srt").read_text()
    assert (tmp_path / "talk.vtt").is_file()
    shutil.copy(talk / "s.wav", path)  # another recording under the same name
    assert transcribe([path]) == {"talk.mp4": AlignOutcome.ALIGNED}
    assert (tmp_path / "talk.json.1").is_file()


def test_what_is_in_the_way_is_put_aside(talk: Path, tmp_path: Path, hears: None) -> None:
    path = Path(shutil.copy(talk / "talk.mp4", tmp_path))
    (tmp_path / "talk.txt").write_text("shopping\n")
    (tmp_path / "talk.json").write_text('{"words": [{"word": "of", "start": 1}]}')
    assert transcribe([path]) == {"talk.mp4": AlignOutcome.ALIGNED}
    assert (tmp_path / "talk.txt.1").read_text() == "shopping\n"
    assert json.loads((tmp_path / "talk.json.1").read_text()) == {"words": [{"word": "of", "start": 1}]}


def test_a_folder_is_listed_once_for_all_its_files(
    talk: Path, tmp_path: Path, hears: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what a killed run left goes all the same."""
    paths = [tmp_path / f"{number}.mp3" for number in range(12)]
    for path in paths:
        shutil.copy(talk / "mp3.mp3", path)
    listed = []
    listing = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listing(path))
    assert set(transcribe(paths).values()) == {AlignOutcome.ALIGNED}
    assert listed.count(tmp_path) == 1
    (tmp_path / ".3.0123abcd.srt").touch()
    (tmp_path / ".other.0123abcd.srt").touch()
    assert set(transcribe(paths).values()) == {AlignOutcome.HAD}
    assert [name for name in listing(tmp_path) if name.endswith("abcd.srt")] == [".other.0123abcd.srt"]


def test_sound_is_found_by_its_content(talk: Path, tmp_path: Path, hears: None) -> None:
    """As a recorder names its files, or with a date for a suffix."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, kind in {"REC0001": "mp3.mp3", "talk": "s.wav", "of 12.05.2026": "flac.flac"}.items():
        shutil.copy(talk / kind, folder / name)
    ffmpeg("-i", talk / "s.wav", "-c:a", "aac", "-f", "adts", folder / "x.recording")
    (folder / "notes").write_text("no sound\n" * 99)
    (folder / "more").mkdir()
    (folder / "odd").write_bytes(np.random.default_rng(0).bytes(200_000))
    found, left_out = recordings([folder])
    assert [each.name for each in found] == ["REC0001", "of 12.05.2026", "talk", "x.recording"]
    assert left_out == [(folder, ["more/", "notes", "odd"])]
    assert set(transcribe(found).values()) == {AlignOutcome.ALIGNED}
    assert read_transcript(folder / "talk.json").words
    again, left_out = recordings([folder])
    assert (again, left_out) == (found, [(folder, ["more/", "notes", "odd"])])


def test_one_bad_file_leaves_the_others(talk: Path, tmp_path: Path, hears: None) -> None:
    good = Path(shutil.copy(talk / "talk.mp4", tmp_path))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    same = Path(shutil.copy(talk / "s.wav", tmp_path / "talk.wav"))
    assert transcribe([tmp_path / "gone.mp4", tmp_path / "bad.mp4", good, same]) == {
        "gone.mp4": AlignOutcome.FAILED,
        "bad.mp4": AlignOutcome.FAILED,
        "talk.mp4": AlignOutcome.ALIGNED,
        "talk.wav": AlignOutcome.ALIGNED,
    }
    assert (tmp_path / "talk.mp4.srt").is_file()  # two of one name
    assert (tmp_path / "talk.wav.srt").is_file()
    assert recordings([tmp_path])[1] == []


def test_a_transcript_made_elsewhere_is_placed_and_never_written_over(talk: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(talk / "talk.mp4", tmp_path))
    given = tmp_path / "talk.srt"
    given.write_text("1\n00:00:01,000 --> 00:00:02,000\nhe scores\n")
    with pytest.raises(UsageError, match="would be written over by --formats srt"):
        transcribe([path], transcript_from=str(given))
    kept = given.rename(tmp_path / "given.srt")
    assert transcribe([path], transcript_from=str(kept)) == {"talk.mp4": AlignOutcome.ALIGNED}
    assert (tmp_path / "talk.txt").read_text() == "he scores\n"
    with pytest.raises(UsageError, match="one file for several"):
        transcribe([path, talk / "s.wav"], transcript_from=str(kept))


def test_a_transcript_of_another_video_is_refused(talk: Path, tmp_path: Path) -> None:
    for suffix, length in ((".mp4", 4.0), (".ts", 8.0)):
        path = tmp_path / f"talk{suffix}"
        ffmpeg("-i", talk / "talk.mp4", "-c", "copy", path)
        path.write_bytes(
            path.read_bytes() * (2 if suffix == ".ts" else 1)
        )  # joined: its header knows half of it
        for begin, outcome in ((length - 1.5, AlignOutcome.ALIGNED), (length + 1.5, AlignOutcome.REFUSED)):
            source = tmp_path / f"{begin}.srt"
            source.write_text(f"1\n00:00:{begin:06.3f} --> 00:00:{begin + 1:06.3f}\na great save\n")
            assert transcribe([path], transcript_from=str(source)) == {path.name: outcome}
            path.with_suffix(".json").unlink()


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    assert parse_formats("SRT, txt,srt") == ("srt", "txt")
    for given in ("doc", "", "json,doc"):
        with pytest.raises(UsageError, match="--formats"):
            parse_formats(given)
    assert run(["align", str(tmp_path / "gone.mp4")]) == 1
    assert run(["align", str(tmp_path)]) == 1


def test_cues_can_be_read() -> None:
    words = [TimedWord(f"word{k}", k * 0.3, k * 0.3 + 0.25) for k in range(60)]
    words[10] = TimedWord("end.", 3.0, 3.25)
    words[30:] = [TimedWord(word.text, word.start_seconds + 2, word.end_seconds + 2) for word in words[30:]]
    cues = cues_of(words)
    assert " ".join(cue.text for cue in cues) == " ".join(word.text for word in words)
    assert all(len(cue.text) <= 84 and cue.end_seconds - cue.start_seconds <= 6 for cue in cues)
    assert any(cue.text.endswith("end.") for cue in cues)
    assert any(cue.text.startswith("word30") for cue in cues)
    assert all(a.end_seconds <= b.start_seconds for a, b in pairwise(cues))
