from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest

from svlm_cli.data.fetch.folder import fetch_all
from svlm_cli.data.words import aligner as aligning
from svlm_cli.data.words.align import align_folder
from svlm_cli.data.words.aligner import Aligned, AlignOptions, AlignOutcome
from svlm_cli.data.words.clean_llm import LlmOptions
from svlm_cli.data.words.report import report
from svlm_cli.data.words.transcribe import Recognition, WhisperOptions
from svlm_cli.data.words.transcript import TimedWord, read_transcript, text_of, transcript_path
from svlm_cli.errors import UsageError
from svlm_cli.settings import Clean
from tests.data.fake_llm import Llm, serve_llm
from tests.data.whisper import SAMPLE_RATE, say, tiny_whisper
from tests.data.words.test_filters import EMPTY, GOOD_HALVES, REPEATED, SPANISH
from tests.media.numbered import overwrite_packets
from tests.trust.forked import Svlm

LINES = ("the lions attack down the left side", "what a save by the goalkeeper", "uh it is a corner")


def film(path: Path, seconds: int, sound: Path | None = None) -> Path:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    pictures = f"testsrc2=size=64x48:rate=5:duration={seconds}"
    run = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", pictures]
    run += ["-i", str(sound), "-c:a", "aac"] if sound is not None else []
    subprocess.run([*run, "-c:v", "libx264", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three spoken videos and a silent one."""
    if not shutil.which("flite"):
        pytest.skip("flite is not installed")
    tmp_path = tmp_path_factory.mktemp("made")
    for k, line in enumerate(LINES):
        with wave.open(str(tmp_path / "voice.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(bytes(2 * SAMPLE_RATE * (k + 1)) + say(line, tmp_path).tobytes())
        film(tmp_path / f"video{k}.mp4", 8, tmp_path / "voice.wav")
    film(tmp_path / "mute.mp4", 2)
    folder = tmp_path / "matches"
    list(fetch_all([str(path) for path in sorted(tmp_path.glob("*.mp4"))], folder))
    return folder


@pytest.fixture(scope="module")
def heard(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, aligned."""
    folder = shutil.copytree(made, tmp_path_factory.mktemp("heard") / "matches")
    list(align_folder(folder, AlignOptions(whisper())))
    return folder


@pytest.fixture
def spoken(made: Path, tmp_path: Path) -> Path:
    """A copy to work on."""
    return shutil.copytree(made, tmp_path / "matches")


@pytest.fixture
def aligned(heard: Path, tmp_path: Path) -> Path:
    """A copy to go on from."""
    return shutil.copytree(heard, tmp_path / "matches")


def whisper(**more: object) -> WhisperOptions:
    return WhisperOptions(tiny_whisper(), device="cpu", **more)  # type: ignore[arg-type]


def run(folder: Path, options: AlignOptions) -> dict[str, Aligned]:
    return {result.video.title: result for result in align_folder(folder, options)}


def files(folder: Path) -> dict[str, bytes]:
    """Transcripts; a killed run may leave a hidden half of one."""
    found = sorted((folder / "transcripts").glob("[!.]*.json"))
    return {path.name: path.read_bytes() for path in found}


def test_speech_becomes_words_and_seconds(spoken: Path) -> None:
    results = run(spoken, AlignOptions(whisper(workers=2)))
    assert {title: result.outcome for title, result in results.items()} == {
        "mute": AlignOutcome.SKIPPED,
        "video0": AlignOutcome.ALIGNED,
        "video1": AlignOutcome.ALIGNED,
        "video2": AlignOutcome.ALIGNED,
    }
    transcript = results["video1"].transcript
    assert "save" in text_of(transcript.words)
    document = json.loads(transcript_path(spoken, results["video1"].video.id).read_text())
    assert document["seconds"][:2] == ["", ""]
    assert " ".join(filter(None, document["seconds"])) == text_of(transcript.words)
    assert all(0 <= word["probability"] <= 1 for word in document["words"])
    account = report(spoken, list(results.values()), 1.0)
    assert account.outcomes == {"aligned": 3, "skipped": 1}
    assert json.loads((spoken / "align.json").read_text())["num_words"] == account.num_words


def test_again_nothing_is_done_and_other_cleaning_listens_to_nothing(aligned: Path) -> None:
    before = files(aligned)
    again = run(aligned, AlignOptions(whisper()))
    assert {result.outcome for result in again.values()} == {AlignOutcome.HAD, AlignOutcome.SKIPPED}
    assert files(aligned) == before
    heard = {path.name: path.stat().st_mtime_ns for path in (aligned / ".align").glob("*.json")}
    off = run(aligned, AlignOptions(whisper(), clean=Clean.OFF))
    assert off["video2"].outcome is AlignOutcome.ALIGNED
    assert {path.name: path.stat().st_mtime_ns for path in (aligned / ".align").glob("*.json")} == heard


def test_a_damaged_store_is_listened_to_again(aligned: Path) -> None:
    before = files(aligned)
    for path in (aligned / ".align").glob("*.json"):
        path.write_text("{")
    for path in (aligned / "transcripts").glob("*.json"):
        path.unlink()
    run(aligned, AlignOptions(whisper()))
    assert files(aligned) == before


def test_killed_again_and_again_it_ends_as_if_undisturbed(spoken: Path, tmp_path: Path) -> None:
    """All by processes of one kind: how many threads share a sum decides its last digits."""

    def align(folder: Path) -> Svlm:
        return Svlm(["align", str(folder), "--whisper-model", tiny_whisper(), "--json"], tmp_path / "log")

    undisturbed = shutil.copytree(spoken, tmp_path / "undisturbed")
    assert align(undisturbed).wait() == 0
    wanted = files(undisturbed)
    for _ in range(3):
        started, known, ends = align(spoken), set(files(spoken)), time.monotonic() + 60
        while set(files(spoken)) == known and started.process.is_alive() and time.monotonic() < ends:
            time.sleep(0.005)
        started.signal(signal.SIGKILL)
        started.wait()
        assert {name: wanted.get(name) for name in files(spoken)} == files(spoken)
    assert (last := align(spoken)).wait() == 0
    assert (files(spoken), '"skipped": 1' in last.talk) == (wanted, True)


def test_a_full_disk_leaves_old_files_whole(aligned: Path) -> None:
    before = files(aligned)
    command = f"{sys.executable} -m svlm_cli align {aligned} --whisper-model {tiny_whisper()} --clean off"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; {command} 2>&1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "File too large" in done.stdout
    assert files(aligned) == before


def test_a_truth_that_came_with_its_video_stays(tmp_path: Path) -> None:
    (result,) = fetch_all(["arena:soccer,seed=1000003,minutes=0.2,size=56x56"], tmp_path)
    before = files(tmp_path)
    (aligned,) = align_folder(tmp_path, AlignOptions(WhisperOptions("nowhere", device="cpu")))
    assert aligned.outcome is AlignOutcome.HAD
    assert files(tmp_path) == before
    assert result.video is not None


@pytest.fixture
def halves(shared_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Videos named as the transcripts of broadcasts are."""
    source = film(tmp_path / "any.mp4", 2)
    names = (*GOOD_HALVES, REPEATED, EMPTY, SPANISH)
    for name in names:
        shutil.copy(source, tmp_path / f"{name}.mp4")
    folder = tmp_path / "matches"
    list(fetch_all([str(tmp_path / f"{name}.mp4") for name in names], folder))
    return folder, shared_data / "transcripts"


def test_broadcast_transcripts(halves: tuple[Path, Path]) -> None:
    folder, transcripts = halves
    results = run(folder, AlignOptions(WhisperOptions(), transcript_from=str(transcripts)))
    assert results[REPEATED].outcome is AlignOutcome.REFUSED
    assert "over and over" in results[REPEATED].reason
    assert results[SPANISH].outcome is AlignOutcome.REFUSED
    assert "not in en but in es" in results[SPANISH].reason
    assert results[EMPTY].outcome is AlignOutcome.ALIGNED
    assert results[EMPTY].transcript.words == ()
    for name in GOOD_HALVES:
        transcript = results[name].transcript
        looped = sum(each.num_words for each in transcript.dropped if each.reason == "repeated")
        other = sum(each.num_words for each in transcript.dropped) - looped
        assert len(transcript.words) > 0.98 * (len(transcript.words) + other)
        assert transcript.clips
    spanish = run(folder, AlignOptions(WhisperOptions(language="es"), transcript_from=str(transcripts)))
    assert spanish[SPANISH].outcome is AlignOutcome.ALIGNED


def test_cleaning_by_a_language_model_prints_the_three_shares(halves: tuple[Path, Path]) -> None:
    folder, transcripts = halves

    def answer(_system: str, user: str) -> str:
        document = json.loads(user)
        if "said" in document:
            return '{"live_percent": 90}'
        actions = ("keep", "keep", "edit", "delete")
        return json.dumps(
            [
                {"id": each["id"], "action": actions[each["id"] % 4], "text": each["text"]}
                for each in document["sentences"]
            ]
        )

    with serve_llm(Llm(answer)) as llm:
        options = AlignOptions(
            WhisperOptions(), str(transcripts), Clean.LLM, LlmOptions("judge-1", llm.address)
        )
        results = run(folder, options)
        num_asked = len(llm.asked)
        for path in (folder / "transcripts").glob("*.json"):
            path.unlink()
        run(folder, options)
        assert len(llm.asked) == num_asked  # stored answers serve
    account = report(folder, list(results.values()), 1.0)
    assert sum(account.sentence_percent.values()) == pytest.approx(100, abs=0.02)
    assert account.sentence_percent["keep"] == pytest.approx(50, abs=3)
    assert any("the paper: 46.32 %" in line for line in account.lines())
    assert account.dense_clips["live"] == account.dense_clips["all"] > 0


def test_an_unreachable_language_model_fails_the_video_and_keeps_the_old(halves: tuple[Path, Path]) -> None:
    folder, transcripts = halves
    run(folder, AlignOptions(WhisperOptions(), str(transcripts)))
    before = files(folder)
    with serve_llm(Llm(lambda *_: "", failures=[401] * 100)) as llm:
        options = AlignOptions(
            WhisperOptions(), str(transcripts), Clean.LLM, LlmOptions("judge-1", llm.address, workers=1)
        )
        results = run(folder, options)
    assert results[GOOD_HALVES[0]].outcome is AlignOutcome.FAILED
    assert {name: before[name] for name in before if GOOD_HALVES[0] in name}.items() <= files(folder).items()


def test_captions_that_were_fetched(tmp_path: Path) -> None:
    (result,) = fetch_all([str(film(tmp_path / "cup.mp4", 3))], tmp_path / "m")
    captions = tmp_path / "m" / "subtitles" / f"{result.video.id}.en.vtt"
    captions.parent.mkdir()
    captions.write_text("WEBVTT\n\n00:00.000 --> 00:02.000\n[Music] and he scores\n")
    (aligned,) = align_folder(tmp_path / "m", AlignOptions(WhisperOptions(), "captions"))
    assert text_of(aligned.transcript.words) == "and he scores"
    assert read_transcript(transcript_path(tmp_path / "m", result.video.id)) == aligned.transcript


@pytest.mark.parametrize("at", [1, 36_001])
def test_a_transcript_of_something_else_is_refused(tmp_path: Path, at: int) -> None:
    """All of it is said behind the end of the video."""
    list(fetch_all([str(film(tmp_path / "cup.mp4", 3))], tmp_path / "m"))
    words = [{"word": "goal", "start": at, "end": at + 1}, {"word": "late", "start": 40_000, "end": 40_001}]
    (tmp_path / "given.json").write_text(json.dumps({"words": words}))
    (done,) = align_folder(tmp_path / "m", AlignOptions(WhisperOptions(), str(tmp_path / "given.json")))
    assert (done.outcome is AlignOutcome.REFUSED) == (at > 3)
    assert done.transcript.figures["words_past_end"] == (2 if at > 3 else 1)
    if at > 3:
        assert done.reason == "all its words lie behind the end of the video: from 36001 s on"


def test_one_file_for_several_videos_is_wrong(halves: tuple[Path, Path]) -> None:
    folder, transcripts = halves
    one = str(transcripts / f"{EMPTY}.json")
    with pytest.raises(UsageError, match="is one file"):
        list(align_folder(folder, AlignOptions(WhisperOptions(), one)))
    with pytest.raises(UsageError, match="no such file"):
        list(align_folder(folder, AlignOptions(WhisperOptions(), "nowhere")))
    for place in (folder / "transcripts", folder / "x" / ".." / "transcripts"):
        (folder / "transcripts").mkdir(exist_ok=True)
        (folder / "x").mkdir(exist_ok=True)
        with pytest.raises(
            UsageError, match="where svlm align writes, and it would read what it has written"
        ):
            list(align_folder(folder, AlignOptions(WhisperOptions(), str(place)), ["vtt"]))
    assert list((folder / "transcripts").iterdir()) == []


def test_a_whisper_that_is_not_there_is_one_line(spoken: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "svlm_cli", "align", str(spoken), "--whisper-model", "tiny.en"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr


class Listener:
    """A recogniser that fails as a library may, at all that lasts three seconds."""

    def __init__(self, _options: WhisperOptions) -> None:
        pass

    def recognise(self, sound, _should_stop) -> Recognition:
        if 2.5 < len(sound) / SAMPLE_RATE < 3.5:
            raise IndexError("of the library")
        return Recognition([(TimedWord("goal", 0.5, 1.0, 0.9),)], [], 0.5)


def test_one_bad_video_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library fails at one; of another no picture can be decoded, but sound is what is asked for."""
    monkeypatch.setattr(aligning, "Recogniser", Listener)
    tone = tmp_path / "tone.wav"
    for name, seconds in (("three", 3), ("blind", 2), ("plain", 2), ("broken", 2)):
        with wave.open(str(tone), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(bytes(2 * SAMPLE_RATE * seconds))
        film(tmp_path / f"{name}.mp4", seconds, tone)
    folder = tmp_path / "m"
    fetched = list(fetch_all([str(path) for path in sorted(tmp_path.glob("*.mp4"))], folder))
    places = {result.video.title: folder / result.video.path for result in fetched}
    overwrite_packets(places["blind"], range(10))
    places["broken"].write_bytes(b"\x00\x00\x00\x18ftyp" + bytes(5000))
    results = run(folder, AlignOptions(WhisperOptions()))
    assert {title: result.outcome for title, result in results.items()} == {
        "three": AlignOutcome.FAILED,
        "blind": AlignOutcome.ALIGNED,
        "plain": AlignOutcome.ALIGNED,
        "broken": AlignOutcome.FAILED,
    }
    assert "of the library" in results["three"].reason


def test_a_transcript_of_a_name_that_is_no_text_is_found(tmp_path: Path) -> None:
    odd = film(tmp_path / "plain.mp4", 3).rename(tmp_path / os.fsdecode(b"Fu\xdfball.mp4"))
    (fetched,) = fetch_all([str(odd)], tmp_path / os.fsdecode(b"L\xe4nder"))
    words = tmp_path / "words"
    words.mkdir()
    cue = "1\n00:00:00,100 --> 00:00:02,000\nhe scores\n"
    (words / os.fsdecode(b"Fu\xdfball.srt")).write_text(cue)
    folder = tmp_path / os.fsdecode(b"L\xe4nder")
    (aligned,) = align_folder(folder, AlignOptions(WhisperOptions(), str(words)))
    assert text_of(aligned.transcript.words) == "he scores"
    assert read_transcript(transcript_path(folder, fetched.video.id)) == aligned.transcript
