from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import opening_text, truth, words_of
from svlm_cli.data.chunks import Chunk, ChunkFile, ChunkRule, cut_chunks, write_layout
from svlm_cli.data.transcript import TimedWord
from svlm_cli.errors import SourceError
from svlm_cli.model.window import WindowLimits, middle_cut

ADDRESS = parse_address("arena:soccer?seed=4&minutes=2")
RECORDS = list(truth(ADDRESS))
WORDS = [TimedWord(w.text, w.start_seconds, w.end_seconds) for record in RECORDS for w in words_of(record)]


def chunks(**options) -> list[Chunk]:
    return list(cut_chunks("a.mp4", WORDS, 120.0, ChunkRule(**options), opening_text(ADDRESS)))


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


@settings(max_examples=60, deadline=None)
@given(
    num_words=st.integers(0, 60), sink=st.integers(0, 12), tail=st.integers(0, 12), opening=st.integers(0, 3)
)
def test_the_stored_text_is_cut_like_all_of_it(num_words: int, sink: int, tail: int, opening: int) -> None:
    """First S and last T tokens of what is stored are those of everything said; a word is 1 or 2 tokens."""
    words = [TimedWord(f"w{k}" if k % 3 else f"x{k}-y", k / 3, (k + 0.9) / 3) for k in range(num_words)]
    said = " ".join(f"title{k}" for k in range(opening))
    rule = ChunkRule(window=4, overlap=2, sink=sink, text_window=tail)
    for chunk in cut_chunks("a.mp4", words, 24.0, rule, said):
        whole = " ".join([*said.split(), *(word.text for word in words if word.second < chunk.start_seconds)])
        assert kept(chunk.previous_text, sink, tail) == kept(whole, sink, tail)
        assert chunk.words == tuple(w for w in words if chunk.start_seconds <= w.second < chunk.end_seconds)


def kept(text: str, sink: int, tail: int) -> list[str]:
    tokens = text.replace("-", " -").split()
    ranges = middle_cut(len(tokens), WindowLimits(sink, tail, 1, 1))
    return [token for each in ranges for token in tokens[each.start : each.end]]


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
