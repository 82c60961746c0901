"""Outputs that are there already: kept beside, replaced when asked to, or gone on with."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import webvtt

from svlm_cli.errors import OutputError
from svlm_cli.stream.outputs.append import AppendFile
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.cues import CueStyle
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import EndEvent, StartEvent, StepEvent, WarningEvent
from tests.strict_srt import parse_srt

NAMES = ("x.vtt", "x.srt", "x.jsonl", "trace")
END = EndEvent(2, 2.0, 1.0, 2.0, 0.5, 0.6, 0.7, 1000, 0)


@dataclass(frozen=True, slots=True)
class Record:
    step: int
    context_ids: list[int]


def writers_in(folder: Path, **options: bool) -> Writers:
    *outputs, trace = (folder / name for name in NAMES)
    return Writers(outputs, trace, cues=CueStyle.SECOND, **options)


def tell(writers: Writers, first: int, last: int) -> list[str]:
    """Steps ``first`` to ``last`` - 1; the messages that come of them."""
    messages = [*writers.write(StartEvent("1", "a", "b", "cpu", "float32"))]
    for index in range(first, last):
        writers.trace(Record(index, [1, 2]))
        messages += writers.write(StepEvent(index, float(index), index + 1.0, f"words {index}", 2, 7, 8, 5))
    return [message.message for message in messages]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def seen_steps(folder: Path) -> list[list[int]]:
    """The numbers of the steps that each file tells."""
    lines = [json.loads(line) for line in (folder / "x.jsonl").read_text().splitlines()]
    traced = [json.loads(line) for line in (folder / "trace").read_text().splitlines()]
    return [
        [int(cue.text.split()[1]) for cue in webvtt.read(str(folder / "x.vtt"))],
        [int(text.split()[1]) for _, _, text in parse_srt((folder / "x.srt").read_text())],
        [line["index"] for line in lines if line["type"] == "step"],
        [line["step"] for line in traced],
    ]


def test_what_was_there_is_kept_beside_and_told(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_text(f"precious {name}")
    (tmp_path / "x.vtt.1").write_text("older")
    with writers_in(tmp_path) as writers:
        messages = tell(writers, 0, 2)
    assert [message.split("/")[-1] for message in messages] == [
        f"{name} was there already: it is kept as {name}.{number} (--overwrite replaces it)"
        for name, number in zip(NAMES, (2, 1, 1, 1), strict=True)
    ]
    assert (tmp_path / "x.vtt.1").read_text() == "older"
    for name, number in zip(NAMES, (2, 1, 1, 1), strict=True):
        assert (tmp_path / f"{name}.{number}").read_text() == f"precious {name}"
    assert seen_steps(tmp_path) == [[0, 1]] * 4
    kinds = [json.loads(line)["type"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert kinds == ["start", *["warning"] * 4, "step", "step"]


def test_overwrite_replaces_and_empty_files_are_not_kept(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_text("old")
    with writers_in(tmp_path, overwrite=True) as writers:
        assert tell(writers, 0, 1) == []
    for name in NAMES:
        (tmp_path / name).write_text("")
    with writers_in(tmp_path) as writers:
        assert tell(writers, 0, 1) == []
    assert sorted(os.listdir(tmp_path)) == sorted(NAMES)
    assert seen_steps(tmp_path) == [[0]] * 4


def test_where_one_output_cannot_be_opened_all_stay_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "x.vtt").write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    writers = Writers([tmp_path / "x.vtt", folder / "y.srt"])
    folder.rmdir()
    with writers, pytest.raises(OutputError, match=r"y\.srt"):
        tell(writers, 0, 1)
    assert contents(tmp_path) == {"x.vtt": b"precious"}


def earlier_run(folder: Path, num_steps: int) -> dict[str, int]:
    with writers_in(folder) as writers:
        tell(writers, 0, num_steps)
        return writers.lengths


def test_a_resumed_run_goes_on_without_a_word(tmp_path: Path) -> None:
    lengths = earlier_run(tmp_path, 4)
    with writers_in(tmp_path) as writers:
        writers.resume(Earlier(lengths, 4.0))
        assert writers.lengths == lengths
        assert tell(writers, 4, 7) == []
    assert seen_steps(tmp_path) == [list(range(7))] * 4


@pytest.mark.parametrize("cut", [True, False], ids=["file", "live"])
def test_an_output_that_was_torn_goes_on_behind_its_last_whole_piece(tmp_path: Path, cut: bool) -> None:
    """Cut anywhere, or with a hole of zeros as a power cut leaves: no piece is torn, what lacks is told."""
    seed = random.Random(3)
    lengths = earlier_run(tmp_path, 9)
    whole = contents(tmp_path)
    for number in range(20):
        for name in NAMES:
            length = seed.randrange(len(whole[name]) if name != "x.vtt" or number else 7)
            hole = bytes(seed.randrange(2) * (len(whole[name]) - length))
            (tmp_path / name).write_bytes(whole[name][:length] + hole)
        with writers_in(tmp_path) as writers:
            writers.resume(Earlier(lengths, 9.0, cut=cut))
            messages = tell(writers, 9, 11)
        assert [message.split("/")[-1].split()[0] for message in messages] == list(NAMES)
        for told, message in zip(seen_steps(tmp_path), messages, strict=True):
            assert told == [*range(len(told) - 2), 9, 10]
            assert "up to 00:00:09.000 is missing" in message
            behind = re_seconds(message)
            assert behind == (None if len(told) == 2 else len(told) - 2)


def re_seconds(message: str) -> int | None:
    """The second behind which a file goes on, of whatever form; None for its start."""
    if "behind its start" in message:
        return None
    found = message.split("last whole piece (")[1].split(")")[0].replace(",", ".")
    seconds = float(found.split(":")[-1])
    return int(seconds) + (1 if found.isdecimal() else 0)


def test_of_a_live_source_a_torn_end_behind_the_state_is_cut_and_told(tmp_path: Path) -> None:
    lengths = earlier_run(tmp_path, 2)
    with writers_in(tmp_path) as writers:
        writers.resume(Earlier(lengths, 2.0))
        tell(writers, 2, 4)
    with (tmp_path / "x.vtt").open("ab") as file:
        file.write(b"00:00:04.000 -->")
    with writers_in(tmp_path) as writers:
        writers.resume(Earlier(lengths, 2.0, cut=False))
        [message] = tell(writers, 9, 10)
    assert "16 bytes are cut off" in message
    assert seen_steps(tmp_path) == [[0, 1, 2, 3, 9]] * 4


def test_a_resumed_output_that_is_gone_or_new_is_told(tmp_path: Path) -> None:
    lengths = earlier_run(tmp_path, 3)
    (tmp_path / "x.vtt").unlink()
    (tmp_path / "x.srt").unlink()
    del lengths[str(tmp_path / "x.srt")], lengths[str(tmp_path / "x.jsonl")]
    with writers_in(tmp_path) as writers:
        writers.resume(Earlier(lengths, 3.0))
        gone, new, other = tell(writers, 3, 4)
    assert "x.vtt is gone: what it held up to 00:00:03.000 is missing" in gone
    assert new.endswith("x.srt is no output of the saved state and begins at 00:00:03.000")
    assert other.endswith("begins at 00:00:03.000; what was there already: it is kept as x.jsonl.1")
    assert seen_steps(tmp_path) == [[3], [3], [3], [0, 1, 2, 3]]


def test_lengths_before_the_first_step_are_those_that_will_be_gone_on_from(tmp_path: Path) -> None:
    """A resumed stream that is stopped at once saves a state: it must not say that its outputs are empty."""
    lengths = earlier_run(tmp_path, 3)
    kept = contents(tmp_path)
    with writers_in(tmp_path) as writers:
        assert writers.lengths == {}  # not resumed: what is there is another run's
        writers.resume(Earlier(lengths, 3.0))
        assert writers.lengths == lengths
        writers.write(END)
    for name in NAMES:
        assert contents(tmp_path)[name].startswith(kept[name])


def test_finishing_forces_outputs_and_their_names_to_the_disk(tmp_path: Path, monkeypatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(os.fstat(number).st_ino), real(number)))
    with writers_in(tmp_path) as writers:
        tell(writers, 0, 3)
        assert synced == []  # never on the step's path
        writers.sync()
        inodes = {(tmp_path / name).stat().st_ino for name in NAMES} | {tmp_path.stat().st_ino}
        assert set(synced) == inodes
        synced.clear()
    assert set(synced) == inodes - {tmp_path.stat().st_ino}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_pipes_and_devices_are_neither_synced_nor_kept(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").symlink_to("/dev/null")
    with Writers([tmp_path / "x.jsonl"]) as writers:
        assert writers.write(StepEvent(0, 0.0, 1.0, "words", 2, 7, 8, 5)) == []
        writers.sync()
    assert writers.failed == ()
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_an_output_that_cannot_be_forced_to_the_disk_has_failed(tmp_path: Path, monkeypatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with Writers([tmp_path / "x.vtt"]) as writers:
        writers.write(StepEvent(0, 0.0, 1.0, "words", 2, 7, 8, 5))
        monkeypatch.setattr(os, "fsync", fail)
    assert writers.failed == (f"{tmp_path / 'x.vtt'}: Input/output error",)


def test_a_file_that_was_never_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    file = AppendFile(tmp_path / "x.vtt")
    file.prepare(b"WEBVTT\n\n")
    file.close()
    assert os.listdir(tmp_path) == []


def test_warnings_come_before_the_step_that_opened_the_files(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("old\n")
    with Writers([tmp_path / "x.jsonl"]) as writers:
        writers.write(StartEvent("1", "a", "b", "cpu", "float32"))
        writers.write(WarningEvent("early"))
        [told] = writers.write(StepEvent(0, 0.0, 1.0, "words", 2, 7, 8, 5))
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [line.get("message", line["type"]) for line in lines] == ["start", "early", told.message, "step"]
