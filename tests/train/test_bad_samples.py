"""The account of bad samples outlives kills."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from svlm_cli.data.samples.sample import BadSample
from svlm_cli.errors import SourceError
from svlm_cli.train.bad_samples import BadSampleBook


@pytest.mark.parametrize(
    "torn", [b'{"source": "caf\xc3', b'{"source": "a"}\n', b'{"source": 1, "number": []}', b"\xff"]
)
def test_a_line_that_a_kill_has_cut_is_passed_over(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    book = BadSampleBook(path, 2, world=1, is_writer=True)
    book.add([BadSample("a", 1, "x")])
    path.write_bytes(path.read_bytes() + torn)
    book = BadSampleBook(path, 2, world=1, is_writer=True)
    assert len(book) == 1
    book.add([BadSample("a", 1, "x"), BadSample("b", 2, "y")])
    assert json.loads(path.read_text(errors="replace").splitlines()[-1])["source"] == "b"
    with pytest.raises(SourceError, match="3 bad samples"):
        BadSampleBook(path, 2, world=1, is_writer=True).add([BadSample("c", 3, "z")])


@pytest.mark.parametrize("torn", [b'{"sour', b'{"source": "\xc3', b"{}", b"\x00\x00\x00"])
def test_a_torn_end_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    first, second = BadSample("a", 1, "gone"), BadSample("b", 2, "shört")
    BadSampleBook(path, 10, world=1, is_writer=True).add([first])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    resumed = BadSampleBook(path, 10, world=1, is_writer=True)
    assert len(resumed) == 1
    assert path.read_bytes() == whole
    resumed.add([first, second])
    assert len(BadSampleBook(path, 10, world=1, is_writer=True)) == 2
    assert path.read_text().count("\n") == 2
