"""Benchmarks' files and data sets of odd bytes and odd values: read, or refused by name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.bench.commentary import games as commentary
from svlm_cli.bench.commentary import livesports
from svlm_cli.bench.common import compare
from svlm_cli.bench.judge.votes import load_votes
from svlm_cli.bench.questions import longvideo, ovo, ovo_bench
from svlm_cli.bench.questions.ovo_score import load_official
from svlm_cli.data.chunks.chunk import Chunk, ChunkFile, TimedQuestion, write_layout
from svlm_cli.data.chunks.line_file import pair_paths
from svlm_cli.data.words.transcript import TimedWord
from svlm_cli.errors import SvlmError
from tests.bench import made_data
from tests.cpu_time import no_hang
from tests.trust.damage import damaged, with_odd_values


@dataclass(frozen=True)
class Reader:
    """A file in a true form, and all that is made of it before a model is asked."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def one_line(path: Path, record: dict[str, Any]) -> Path:
    return made_data.lines(path, [record])


def games(folder: Path) -> Path:
    return made_data.metadata(folder)[0]


def summary(folder: Path) -> Path:
    figures = {"a": {"percent": 50.0, "low": 40.0, "high": 60.0, "num": 9}, "b": {"value": 3.0, "unit": "s"}}
    row = {"run": "x", "protocol": "p", "scores": figures, "model": "m"}
    columns = {"a": "A", "b": "B"}
    path = folder / "summary.json"
    path.write_text(json.dumps({"benchmark": "b", "runs": [row], "columns": columns, "notes": ["n"]}))
    return path


def official(folder: Path) -> Path:
    found = [{"id": 1, "video": "a", "task": "EPM", "question": "q", "response": "A", "ground_truth": "A"}]
    tests = [{"realtime": 1, "count": 2, "response": "2"}]
    forward = [{"id": 2, "video": "a", "task": "REC", "activity": "x", "test_info": tests}]
    path = folder / "official.json"
    path.write_text(json.dumps({"backward": found, "realtime": [], "forward": forward}))
    return path


def answers(folder: Path) -> Path:
    facts = {"protocol": "p", "model": "m"}
    row = {"task": "EPM", "id": 1, "query": 0, "run": "r", "rule": "official", "truth": "A", "response": "A"}
    (folder / "out").mkdir(exist_ok=True)
    return one_line(folder / "out" / "results.jsonl", {**row, "facts": facts, "fingerprint": "f"})


def replies(folder: Path) -> Path:
    row = {"run": "r", "truth": "A", "duration_group": "15", "facts": {"protocol": "p"}}
    return one_line(
        folder / "replies.jsonl",
        {**row, "id": "q", "response": "A", "question_category": "S2E", "video": "v"},
    )


def said(folder: Path) -> Path:
    return one_line(
        folder / "pred_x.jsonl", {"video_id": "v", "event_id": 1, "pred": "goal", "facts": {"a": 1}}
    )


def votes(folder: Path) -> Path:
    ours = {"id": "v_1", "order": "ab", "winner": "x", "first": "x", "second": "y"}
    theirs = {"video_event_id": "v_1", "ab_winner": "x", "ba_winner": "tie"}
    return made_data.lines(folder / "votes.jsonl", [ours, theirs])


def chunks(folder: Path) -> Path:
    words = (TimedWord("goal", 1.0, 2.0), TimedWord("now", 3.0, 3.5))
    asked = (TimedQuestion(1.0, 2.0, "who?", "he"),)
    write_layout(folder, "train", [Chunk("../a.mp4", 0, 24, "so far", words, questions=asked)])
    pair_paths(folder, "train")[1].unlink()
    return pair_paths(folder, "train")[0]


def read_chunks(path: Path) -> object:
    return [each.lines for each in ChunkFile(path.parent, "train")]


def read_offsets(path: Path) -> object:
    made = chunks(path.parent)
    return ChunkFile(made.parent, "train")[0]


def offsets(folder: Path) -> Path:
    chunks(folder)
    path = pair_paths(folder, "train")[1]
    path.write_text("[0]")
    return path


def all_of_ovo(path: Path) -> object:
    return [ovo.queries(ovo.load_items(path), protocol) for protocol in ovo.OvoProtocol]


def compared(path: Path) -> object:
    found = compare.compare([path])
    return compare.tables(found), compare.document(found).encode()


READERS = {
    "games": Reader(games, lambda path: commentary.cut_windows(commentary.load_games(path))),
    "commentary": Reader(
        lambda folder: made_data.predictions(folder / "p.jsonl", "goal"), commentary.load_predictions
    ),
    "events": Reader(made_data.events, livesports.load_events),
    "said": Reader(said, livesports.load_predictions),
    "votes": Reader(votes, load_votes),
    "ovo": Reader(made_data.ovo, all_of_ovo),
    "official": Reader(official, lambda path: ovo_bench.report(ovo_bench.load_results([path]))),
    "answers": Reader(answers, lambda path: ovo_bench.report(ovo_bench.load_results([path.parent]))),
    "longvideo": Reader(made_data.longvideo, lambda path: longvideo.asked(longvideo.load_items(path), path)),
    "replies": Reader(replies, longvideo.rows),
    "summary": Reader(summary, compared),
    "chunks": Reader(chunks, read_chunks),
    "offsets": Reader(offsets, read_offsets),
}


@pytest.mark.parametrize("name", READERS)
def test_files_of_others(
    name: str, cases: Callable[[int, int], range], tally: Callable[[str, int], None], tmp_path: Path
) -> None:
    reader = READERS[name]
    reader.read(reader.make(tmp_path))
    numbers = cases(12, 60)
    for seed in numbers:
        dice = random.Random(f"{name} {seed}")
        path = reader.make(tmp_path)
        rows = path.read_bytes().splitlines(keepends=True)
        row = dice.randrange(len(rows))
        is_odd = dice.random() < 0.7
        rows[row] = with_odd_values(rows[row], dice) if is_odd else damaged(rows[row], dice, is_json=False)
        path.write_bytes(b"".join(rows))
        with no_hang(seed):
            told = ""
            try:
                reader.read(path)
            except SvlmError as error:
                told = str(error)
            assert len(told.splitlines()) <= 1, seed
            assert len(told) < 2000, seed
    tally("a benchmark's file or a data set of any bytes is read or refused by name", len(numbers))


def test_they_are_read_when_whole(tmp_path: Path) -> None:
    assert len(load_official([official(tmp_path)])) == 2
    assert read_chunks(chunks(tmp_path)) == [["", "goal", "", "now", *[""] * 20]]
