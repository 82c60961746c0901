"""Lines by number, and offsets that are not those of the lines."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

from svlm_cli.data.chunks.line_file import LineFile, write_lines
from svlm_cli.errors import SourceError

LINES = [b'[{"a": 1}]', b'[{"b": 22}]', b'[{"c": 333}]', '[{"d": "Özil"}]'.encode()]
STARTS = [0, 11, 23, 36]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert write_lines(tmp_path, "x", LINES) == 4
    return tmp_path


def offsets(folder: Path, numbers: object) -> None:
    (folder / "x_seeks.jsonl").write_text(json.dumps(numbers))


def read_all(file: LineFile, numbers: list[int]) -> list[bytes]:
    return [file[number] for number in numbers]


def test_lines_read_back_in_any_order(folder: Path) -> None:
    assert json.loads((folder / "x_seeks.jsonl").read_text()) == STARTS
    file = LineFile(folder, "x")
    assert [file[3], file[0], file[-1], file[2], file[1]] == [LINES[k] for k in (3, 0, 3, 2, 1)]
    with pytest.raises(IndexError):
        file[4]


def test_no_lines(tmp_path: Path) -> None:
    write_lines(tmp_path, "x", [])
    assert len(LineFile(tmp_path, "x")) == 0


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n[0, 11, 23, 36]", b"\n[0, 11, 23, 36]\n"])
@pytest.mark.parametrize("has_offsets", [True, False])
def test_without_offsets_lines_are_found(folder: Path, end: bytes, has_offsets: bool) -> None:
    """Some data sets of this layout have the offsets as a last line too."""
    if not has_offsets:
        (folder / "x_seeks.jsonl").unlink()
    (folder / "x_with_seeks.jsonl").write_bytes(b"\n".join(LINES) + end)
    assert list(LineFile(folder, "x")) == LINES


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([0, 11, 23], "3 offsets, x_with_seeks.jsonl has more lines"),
        ([], "0 offsets, x_with_seeks.jsonl has more lines"),
        ([0, 11, 23, 36, 53], "no offsets in it"),
        ([0, 11, 23, 99999], "no offsets in it"),
        ([11, 23, 36], "no offsets in it"),
        ([0, 23, 11, 36], "no offsets in it"),
        ([0, 11, 11, 36], "no offsets in it"),
        ([0, -11, 23, 36], "not a list of offsets"),
        ([0, 11.5, 23, 36], "not a list of offsets"),
        ({"a": 1}, "not a list of offsets"),
        (None, "not a list of offsets"),
    ],
)
def test_offsets_of_another_file_are_told_when_it_is_opened(folder: Path, numbers: object, told: str) -> None:
    offsets(folder, numbers)
    with pytest.raises(SourceError, match=told) as error:
        LineFile(folder, "x")
    assert "delete" in error.value.hint


@pytest.mark.parametrize(
    ("numbers", "number", "told"),
    [
        ([0, 12, 23, 36], 1, "sample 1: no line begins at byte 12"),
        ([0, 12, 23, 36], 0, "sample 0: not one line from byte 0 to 12"),
        ([0, 23, 36], 0, "sample 0: not one line from byte 0 to 23"),
        ([0, 11, 23, 40], 3, "sample 3: no line begins at byte 40"),
    ],
)
def test_wrong_offsets_between_are_told_when_they_are_read(
    folder: Path, numbers: list[int], number: int, told: str
) -> None:
    offsets(folder, numbers)
    file = LineFile(folder, "x")
    with pytest.raises(SourceError, match=told):
        file[number]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not there") as error:
        LineFile(tmp_path, "x")
    assert "svlm chunk" in error.value.hint


def test_a_failed_write_leaves_the_pair(folder: Path) -> None:
    def broken():
        yield b"[]"
        raise RuntimeError("stopped")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RuntimeError):
        write_lines(folder, "x", broken())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_is_opened_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = os.open
    file = LineFile(folder, "x")
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments) or real(*arguments))
    assert read_all(file, [0, 1, 2, 3] * 5) == LINES * 5
    assert len(opened) == 1


def test_a_file_closes_with_its_reader(folder: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    file = LineFile(folder, "x")
    assert file[0] == LINES[0]
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    del file
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_copy_by_pickle_reads_on_its_own(folder: Path) -> None:
    file = LineFile(folder, "x")
    assert file[1] == LINES[1]
    copy = pickle.loads(pickle.dumps(file))
    del file
    assert read_all(copy, [2, 0]) == [LINES[2], LINES[0]]


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_several_processes_read_one_file(folder: Path, how: str) -> None:
    file = LineFile(folder, "x")
    assert file[0] == LINES[0]  # open before the others start
    orders = [[k % 4 for k in range(start, start + 400)] for start in range(3)]
    with multiprocessing.get_context(how).Pool(3) as pool:
        found = pool.starmap(read_all, [(file, order) for order in orders])
    assert found == [[LINES[k] for k in order] for order in orders]


class Lines(Dataset[bytes]):
    """Forked workers inherit an open file."""

    def __init__(self, file: LineFile) -> None:
        self.file = file

    def __len__(self) -> int:
        return 400

    def __getitem__(self, number: int) -> bytes:
        return self.file[number % 4]


def test_workers_that_share_an_open_file_do_not_move_each_other(folder: Path) -> None:
    file = LineFile(folder, "x")
    assert file[0] == LINES[0]
    loader = DataLoader(Lines(file), batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert list(loader) == LINES * 100


def test_a_file_written_anew_is_told(folder: Path) -> None:
    file = LineFile(folder, "x")
    write_lines(folder, "x", LINES[:2])
    with pytest.raises(SourceError, match="written anew"):
        file[0]
