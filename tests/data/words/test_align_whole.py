"""``svlm align FILE`` leaves files of one transcript, whatever kills it, was there or runs beside it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from svlm_cli.claims import Claim
from svlm_cli.cli import run
from svlm_cli.data.inside import recordings_in
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.data.words.align import align_folder
from svlm_cli.data.words.aligner import Aligned, AlignOptions, AlignOutcome
from svlm_cli.data.words.beside import align_files
from svlm_cli.data.words.outputs import FORMATS
from svlm_cli.data.words.transcribe import WhisperOptions

KILLED = 9
RENAMES = 8  # of a run over the files of another: each of four is put aside, and each is placed


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A file beside which transcripts are placed; nothing is heard in it."""
    path = tmp_path / "of" / "m.mp4"
    path.parent.mkdir()
    path.write_bytes(b"pictures")
    for name in "AB":
        spoken = f"00:01.000 --> 00:04.000\n{said(name)}\n"
        (tmp_path / f"{name}.vtt").write_text(f"WEBVTT\n\n{spoken}")
    return path


def said(name: str) -> str:
    words = ["he", "she", "they", "score", "goal", "pass", "wide", "corner", "early", "never", "again"]
    return " ".join(random.Random(name).choices(words, k=8)) + f" {name}"


def align(media: Path, name: str, formats: tuple[str, ...] = FORMATS) -> Aligned:
    source = str(media.parent.parent / f"{name}.vtt")
    options = AlignOptions(WhisperOptions("any", device="cpu"), source)
    (done,) = align_files([media], options, formats, media.parent / "answers")
    return done


def told_by(media: Path) -> dict[str, str]:
    """The words in each file, read without what wrote them."""
    document = json.loads(media.with_suffix(".json").read_text())
    found = {"json": " ".join(word["text"] for word in document["words"])}
    for form in ("vtt", "srt", "txt"):
        lines = media.with_suffix(f".{form}").read_text().splitlines()
        spoken = [line for line in lines if line and not re.search(r"-->|^\d+$|^WEBVTT", line)]
        found[form] = " ".join(spoken)
    return found


def all_say(name: str) -> dict[str, str]:
    return dict.fromkeys(FORMATS, said(name))


def names(media: Path) -> set[str]:
    return {path.name for path in media.parent.iterdir()}


@pytest.mark.parametrize("again", ["A", "B"])
@pytest.mark.parametrize("kill_at", range(RENAMES))
def test_killed_at_any_rename_the_next_run_makes_all_one(media: Path, kill_at: int, again: str) -> None:
    assert align(media, "A").outcome is AlignOutcome.ALIGNED
    of_a = {form: media.with_suffix(f".{form}").read_bytes() for form in FORMATS}
    assert killed(media, "B", kill_at) == KILLED
    assert any(name.startswith(".m.") for name in names(media))  # a lock at least
    assert align(media, again).outcome in (AlignOutcome.ALIGNED, AlignOutcome.HAD)
    assert told_by(media) == all_say(again)
    assert not [name for name in names(media) if name.startswith(".")]
    if again == "B":
        assert {form: media.with_suffix(f".{form}.1").read_bytes() for form in FORMATS} == of_a
        assert not [name for name in names(media) if name.endswith(".2")]


def test_undisturbed_it_renames_so_often(media: Path) -> None:
    align(media, "A")
    assert killed(media, "B", RENAMES) == 0
    assert told_by(media) == all_say("B")


def killed(media: Path, name: str, at: int) -> int:
    """The end of a process of its own that is killed where it would rename for the ``at``-th time."""
    child = os.fork()
    if child == 0:
        left = iter(range(at))

        def watch(event: str, _arguments: object) -> None:
            if event == "os.rename" and next(left, None) is None:
                os._exit(KILLED)

        try:
            sys.addaudithook(watch)
            os._exit(align(media, name).outcome is AlignOutcome.FAILED)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_runs_of_several_forms_end_in_one_transcript(media: Path) -> None:
    rng = random.Random(5)
    for first, then in ["AB", "BA"] * 4:
        align(media, first)
        align(media, then, tuple(rng.sample(FORMATS, rng.randint(1, 3))))
        align(media, last := rng.choice(first + then))
        assert told_by(media) == all_say(last)
        assert align(media, last).notes == ()


def test_what_was_edited_is_kept_and_told(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    align(media, "A")
    document = json.loads(media.with_suffix(".json").read_text())
    document["words"][0]["text"] = "Mended"
    media.with_suffix(".json").write_text(edited := json.dumps(document))
    media.with_suffix(".txt").write_text("mine\n")
    had = align(media, "A")  # whose JSON stays, and the others follow it
    assert had.outcome is AlignOutcome.HAD
    assert {form.split()[0] for form in told_by(media).values()} == {"Mended"}
    assert media.with_suffix(".txt.1").read_text() == "mine\n"
    assert "m.txt held something else: kept as m.txt.1" in had.notes
    assert run(["align", str(media), "--transcript-from", str(tmp_path / "B.vtt")]) == 0
    assert told_by(media) == all_say("B")
    assert media.with_suffix(".json.1").read_text() == edited
    assert "m.json held something else: kept as m.json.1" in capsys.readouterr().err


def test_a_folder_in_the_way_is_told_before_anything_is_written(media: Path) -> None:
    media.with_suffix(".txt").mkdir()
    done = align(media, "A")
    assert done.outcome is AlignOutcome.FAILED
    assert "m.txt is in the way" in done.reason
    assert names(media) == {"m.mp4", "m.txt"}


def test_two_at_once_lose_nothing(media: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    held = Claim(media.with_suffix(""))
    command = [sys.executable, "-m", "svlm_cli", "align", str(media), "--transcript-from"]
    both = [
        subprocess.Popen([*command, str(tmp_path / f"{name}.vtt")], stderr=subprocess.PIPE, text=True)
        for name in "AB"
    ]
    try:
        time.sleep(0.5)
        assert names(media) == {"m.mp4", ".m.lock"}
    finally:
        held.release()
    told = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    last = told_by(media)["json"][-1]
    assert told_by(media) == all_say(last)
    first = "AB".replace(last, "")
    for form in FORMATS:
        assert said(first) in " ".join(said_in(media.with_suffix(f".{form}.1")))
    assert sum("kept as m.json.1" in each for each in told) == 1


def said_in(path: Path) -> Iterator[str]:
    text = path.read_text()
    yield " ".join(word["text"] for word in json.loads(text)["words"]) if ".json" in path.name else text


def test_in_a_folder_of_videos_the_forms_follow_the_transcript(media: Path, tmp_path: Path) -> None:
    folder = media.parent
    Manifest(folder).add(Video("m", "m", "", "", media.name, 9.0, 64, 48, 5.0, True, "", ""))

    def told(name: str, forms: tuple[str, ...]) -> tuple[AlignOutcome, int]:
        options = AlignOptions(WhisperOptions("any", device="cpu"), str(tmp_path / f"{name}.vtt"))
        (done,) = align_folder(folder, options, forms)
        return done.outcome, len(done.notes)

    assert told("A", FORMATS) == (AlignOutcome.ALIGNED, 0)
    assert told("B", ()) == (AlignOutcome.ALIGNED, 0)
    assert told("B", FORMATS) == (AlignOutcome.HAD, 3)
    assert told_by(folder / "transcripts" / "m.mp4") == all_say("B")


def test_what_was_put_aside_is_no_recording(media: Path) -> None:
    align(media, "A")
    align(media, "B")
    assert recordings_in(media.parent)[0] == [media]
