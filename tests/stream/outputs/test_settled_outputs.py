"""A stream that goes on where its source has ended: what is not as it was left is mended or told."""

from __future__ import annotations

import json
import os
import random
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import webvtt

from svlm_cli.stream.outputs import voice
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import Clip, EndEvent, StartEvent, StepEvent, WarningEvent
from tests.stream.outputs.streams import said
from tests.stream.outputs.test_voice_and_film import Metronome
from tests.strict_srt import parse_srt

START = StartEvent("1", "a", "b", "cpu", "float32", {"step_seconds": 1.0, "pace": "max"})
END = EndEvent(2, 2.0, 1.0, 2.0, 0.5, 0.6, 0.7, 1000, 0)
KINDS = ("vtt", "srt", "ttml", "jsonl", "m3u8", "wav")


@pytest.fixture(autouse=True)
def voiced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "Reciter", lambda _voice: Metronome())


def first_run(folder: Path, steps: list[StepEvent]) -> Earlier:
    """All outputs of a stream that has come to its end, and the state of that."""
    writers = Writers([folder / f"x.{kind}" for kind in KINDS])
    for event in (START, *steps):
        writers.write(event)
    saved = Earlier(writers.lengths, steps[-1].end_seconds, True, writers.held)
    writers.write(END)
    writers.finish()
    assert not writers.failed
    return saved


def again(folder: Path, saved: Earlier, names: list[str] | None = None) -> tuple[list[str], Earlier]:
    """A later start: what it tells, and its state."""
    writers = Writers([folder / name for name in names or [f"x.{kind}" for kind in KINDS]])
    writers.resume(saved)
    told = writers.write(START) + writers.write(WarningEvent("nothing new", saved.reached_seconds))
    writers.settle()  # as the last save does
    state = Earlier(writers.lengths, saved.reached_seconds, True, writers.held)
    told += writers.write(END)
    writers.finish()
    assert not writers.failed
    return [each.message for each in told], state


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def require_readable(folder: Path) -> None:
    """Every output, by its own reader."""
    webvtt.read(str(folder / "x.vtt"))
    parse_srt((folder / "x.srt").read_text())
    assert (folder / "x.ttml").read_text().endswith("</tt>\n")
    for line in (folder / "x.jsonl").read_text().splitlines():
        json.loads(line)
    with wave.open(str(folder / "x.wav")) as file:
        assert len(file.readframes(file.getnframes())) == 2 * file.getnframes()
    playlist = (folder / "x.m3u8").read_text()
    listed = [line for line in playlist.splitlines() if line and not line.startswith("#")]
    assert playlist.startswith("#EXTM3U\n")
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert playlist.count("#EXT-X-ENDLIST") == 1
    numbers = [int(Path(line).stem) for line in listed]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for line in listed:
        assert (folder / line).read_text().startswith("WEBVTT\n")


def cues_of(path: Path) -> list[tuple[str, str, str]]:
    return [(cue.start, cue.end, cue.text) for cue in webvtt.read(str(path)).captions]


@pytest.mark.parametrize("seed", range(8))
def test_whole_outputs_stay_as_they_are_over_any_number_of_starts(tmp_path: Path, seed: int) -> None:
    rng = random.Random(f"whole {seed}")
    saved = first_run(tmp_path, said(rng, rng.randint(1, 20), 18))
    before = contents(tmp_path)
    for _ in range(2):
        told, saved = again(tmp_path, saved)
        assert told == []
        assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_an_output_that_is_torn_is_mended_and_told_once(tmp_path: Path, kind: str, seed: int) -> None:
    rng = random.Random(f"torn {kind} {seed}")
    saved = first_run(tmp_path, said(rng, rng.randint(8, 20), 18))
    before, path = contents(tmp_path), tmp_path / f"x.{kind}"
    size = path.stat().st_size
    at = rng.randrange(size)
    with path.open("r+b") as file:
        file.truncate(at)
    told, saved = again(tmp_path, saved)
    assert len(told) <= 2
    assert told or contents(tmp_path) == before
    assert all(str(path) in each for each in told)
    require_readable(tmp_path)
    assert all(contents(tmp_path)[name] == content for name, content in before.items() if name != path.name)
    if kind == "wav":
        assert path.stat().st_size == size
        assert path.read_bytes()[44:at] == before[path.name][44:at]
    after = contents(tmp_path)
    assert again(tmp_path, saved)[0] == []
    assert contents(tmp_path) == after


@pytest.mark.parametrize("kind", ["vtt", "srt", "ttml"])
@pytest.mark.parametrize("seed", range(4))
def test_the_last_cue_comes_back_from_the_state(tmp_path: Path, kind: str, seed: int) -> None:
    rng = random.Random(f"last cue {kind} {seed}")
    saved = first_run(tmp_path, [*said(rng, 9, 18), StepEvent(9, 40.0, 41.0, "the end", 2, 7, 8, 5)])
    path = tmp_path / f"x.{kind}"
    whole, length = path.read_bytes(), saved.lengths[str(path)]
    with path.open("r+b") as file:
        file.truncate(rng.randint(length, len(whole) - 2))
    told, _ = again(tmp_path, saved)
    assert path.read_bytes() == whole
    assert len(told) == 1
    assert "last words" in told[0] or "torn end" in told[0]


@pytest.mark.parametrize("seed", range(4))
def test_the_segments_and_their_list_come_back(tmp_path: Path, seed: int) -> None:
    rng = random.Random(f"segments {seed}")
    texts = [" ".join(rng.choices("abcdefg", k=rng.randint(0, 5))) for _ in range(2 * rng.randint(4, 9) + 1)]
    saved = first_run(tmp_path, [StepEvent(n, n, n + 1.0, text, 2, 7, 8, 5) for n, text in enumerate(texts)])
    before = contents(tmp_path)
    last = max(int(path.stem) for path in (tmp_path / "x").glob("*.vtt"))
    (tmp_path / "x" / f"{last}.vtt").write_text("WEBVTT\nX-TIM")
    told, saved = again(tmp_path, saved)
    for name, content in before.items():  # the state knows the last segment
        assert (tmp_path / name).read_bytes().decode("latin-1") == content.decode("latin-1")
    (tmp_path / "x.m3u8").unlink()
    told, saved = again(tmp_path, saved)
    assert contents(tmp_path) == before
    assert ["gone or torn" in each for each in told] == [True]
    lost = rng.randrange(last)
    (tmp_path / "x" / f"{lost}.vtt").unlink()
    told, saved = again(tmp_path, saved)
    assert [f"1 segments of {tmp_path / 'x.m3u8'}" in each for each in told] == [True]
    assert contents(tmp_path).keys() == before.keys()
    assert again(tmp_path, saved)[0] == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_is_gone_is_told_once_and_is_there_again(tmp_path: Path, kind: str) -> None:
    saved = first_run(
        tmp_path, [*said(random.Random(kind), 9, 18), StepEvent(9, 40.0, 41.0, "end", 2, 7, 8, 5)]
    )
    (tmp_path / f"x.{kind}").unlink()
    shutil.rmtree(tmp_path / "x") if kind == "m3u8" else None
    told, saved = again(tmp_path, saved)
    assert len(told) == 1
    assert "is gone: what it held up to 00:00:41.000 is missing" in told[0]
    assert (tmp_path / f"x.{kind}").is_file()
    if kind == "vtt":
        assert [text for _, _, text in cues_of(tmp_path / "x.vtt")] == ["end"]
    if kind != "m3u8":
        require_readable(tmp_path)
    assert again(tmp_path, saved)[0] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_there", [False, True])
def test_an_output_with_a_new_name_is_told_once(tmp_path: Path, kind: str, is_there: bool) -> None:
    saved = first_run(tmp_path, said(random.Random(kind), 9, 18))
    before, path = contents(tmp_path), tmp_path / f"new.{kind}"
    if is_there:
        path.write_bytes(b"somebody else's")
    names = [f"x.{each}" for each in KINDS] + [path.name]
    told, saved = again(tmp_path, saved, names)
    assert f"{path} is no output of the saved state and begins at " in told[0]
    assert [path.name in each for each in told] == [True] * len(told)
    assert contents(tmp_path).items() >= before.items()
    if is_there:
        assert (tmp_path / f"new.{kind}.1").read_bytes() == b"somebody else's"
        assert f"kept as new.{kind}.1" in " ".join(told)
    after = contents(tmp_path)
    assert again(tmp_path, saved, names)[0] == []
    assert contents(tmp_path) == after


@pytest.mark.parametrize("seed", range(4))
def test_a_playlist_that_was_never_written_is_not_missed(tmp_path: Path, seed: int) -> None:
    """A process that is killed within its first segment has listed none."""
    first = random.Random(seed).randrange(0, 2000, 2)
    writers = Writers([tmp_path / "x.m3u8"])
    writers.write(START)
    writers.write(StepEvent(0, first, first + 1.0, "words", 2, 7, 8, 5))
    saved = Earlier(writers.lengths, first + 1.0, True, writers.held)
    assert not (tmp_path / "x.m3u8").exists()
    writers = Writers([tmp_path / "x.m3u8"])
    writers.resume(saved)
    if seed % 2:  # it goes on
        assert (
            writers.write(START) + writers.write(StepEvent(1, first + 1.0, first + 2.0, "", 2, 7, 8, 5)) == []
        )
    assert writers.write(END) == []
    writers.finish()
    assert f"x/{first // 2}.vtt" in (tmp_path / "x.m3u8").read_text()
    assert "words" in (tmp_path / "x" / f"{first // 2}.vtt").read_text()


def filmed(folder: Path) -> Earlier:
    writers = Writers([folder / "x.mp4"])
    writers.write(START)
    for second in range(3):
        frames = np.full((2, 64, 96, 3), 80 * second, np.uint8)
        assert writers.watch is not None
        writers.watch(Clip(second, float(second), second + 1.0, frames))
        writers.write(StepEvent(second, float(second), second + 1.0, "words", 2, 7, 8, 5))
    saved = Earlier(writers.lengths, 3.0, True, writers.held)
    writers.write(END)
    writers.finish()
    return saved


def broken(path: Path) -> Iterator[tuple[str, bytes | None]]:
    whole = path.read_bytes()
    yield "", whole
    yield "is torn, and a film cannot be gone on with: it stays as it is", whole[: len(whole) // 2]
    yield "is gone", None


def test_a_film_stays_or_is_told(tmp_path: Path) -> None:
    saved, path = filmed(tmp_path), tmp_path / "x.mp4"
    for wanted, content in list(broken(path)):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        told, _ = again(tmp_path, saved, ["x.mp4"])
        assert [wanted in each for each in told] == ([True] if wanted else [])
        assert (path.read_bytes() if path.exists() else None) == content


def test_one_that_cannot_be_mended_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = first_run(tmp_path, said(random.Random("fails"), 9, 18))
    (tmp_path / "x.vtt").unlink()
    writers = Writers([tmp_path / "x.vtt", tmp_path / "x.srt"])
    writers.resume(saved)
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *more: refuse() if "vtt" in str(path) else real(path, *more))
    told = writers.write(END)
    monkeypatch.undo()
    writers.finish()
    assert "No space left" in " ".join(each.message for each in told)
    assert [str(tmp_path / "x.vtt") in each for each in writers.failed] == [True]


def refuse() -> int:
    raise OSError(28, "No space left on device")
