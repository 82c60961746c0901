from __future__ import annotations

from pathlib import Path

import pytest

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import opening_text, truth, words_of
from svlm_cli.data.chunks import Chunk, ChunkFile, TimedWord, cut_chunks, write_layout
from svlm_cli.errors import SourceError

ADDRESS = parse_address("arena:soccer?seed=4&minutes=2")
RECORDS = list(truth(ADDRESS))
WORDS = [TimedWord(w.text, w.start_seconds, w.end_seconds) for record in RECORDS for w in words_of(record)]


def chunks(**options) -> list[Chunk]:
    return list(cut_chunks("a.mp4", WORDS, 120.0, opening_text=opening_text(ADDRESS), **options))


def test_chunks_overlap_and_say_what_is_true() -> None:
    cut = chunks()
    assert [chunk.start_seconds for chunk in cut] == list(range(0, 97, 12))
    for chunk in cut:
        true = [record.line for record in RECORDS[chunk.start_seconds : chunk.end_seconds]]
        assert chunk.lines == true


def test_previous_text_is_all_that_was_said_before() -> None:
    chunk = chunks()[2]
    said = [record.line for record in RECORDS[:24] if record.line]
    assert chunk.previous_text == " ".join([opening_text(ADDRESS), *said])


@pytest.mark.parametrize(("end", "second"), [(0.5, 0), (1.0, 0), (1.001, 1), (24.0, 23)])
def test_a_word_belongs_to_the_second_it_ends_in(end: float, second: int) -> None:
    assert TimedWord("goal", 0.0, end).second == second


def test_sparse_chunks_are_left_out() -> None:
    assert len(chunks(min_words=10**6)) == 0


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunks(window=24, overlap=24)


def test_the_layout_reads_back(tmp_path: Path) -> None:
    cut = chunks()
    assert write_layout(tmp_path, "train_s12w24", cut) == len(cut)
    stored = ChunkFile(tmp_path, "train_s12w24")
    assert [stored[number] for number in range(len(stored))] == cut


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    write_layout(tmp_path, "x", chunks())
    path = tmp_path / "x_with_seeks.jsonl"
    path.write_text(path.read_text()[:50])
    with pytest.raises(SourceError, match="sample 0"):
        ChunkFile(tmp_path, "x")[0]
