"""What stands in a file twice: the same counts once, something else under the same name is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.bench.commentary import games as commentary
from svlm_cli.bench.commentary import livesports
from svlm_cli.bench.common.results import RunFacts
from svlm_cli.bench.questions import longvideo, ovo
from svlm_cli.bench.questions.ovo_bench import load_results
from svlm_cli.errors import SourceError
from tests.bench import made_data

CHUNK = {"video": "v.mp4", "chunk_start": 0, "chunk_end": 50}
ITEM = {"response": "goal", "start_time": 10, "end_time": 11}
ANSWER = {"id": 1, "query": 0, "task": "EPM", "truth": "A", "rule": "official", "run": "r", "response": "A"}
FACTS = {"facts": {"protocol": "p"}}
QUESTION = {"id": "q", "truth": "A", "duration_group": "15", "run": "r", "response": "A", **FACTS}


def official_files(path: Path, records: list[dict[str, Any]]) -> int:
    path.mkdir()
    for number, record in enumerate(records):
        (path / f"{number}.json").write_text(json.dumps({"backward": [record]}))
    (found,) = load_results([path])
    return len(found.answers)


def own_answers(path: Path, records: list[dict[str, Any]]) -> int:
    path.mkdir()
    made_data.lines(path / "results.jsonl", records)
    (found,) = load_results([path])
    return len(found.answers)


def annotations(path: Path, records: list[dict[str, Any]]) -> int:
    path.write_text(json.dumps(records))
    return len(ovo.load_items(path))


def words(path: Path, records: list[dict[str, Any]]) -> int:
    (found,) = commentary.load_predictions(made_data.lines(path, records))
    return len(found.items["v.mp4"])


def predictions(path: Path, records: list[dict[str, Any]]) -> int:
    return len(livesports.load_predictions(made_data.lines(path, records)).texts)


def questions(path: Path, records: list[dict[str, Any]]) -> int:
    ((row,), _) = longvideo.rows(made_data.lines(path, records))
    return row.scores["accuracy"].num


@pytest.mark.parametrize(
    ("load", "record", "other"),
    [
        (official_files, {"id": 1, "task": "EPM", "ground_truth": "A", "response": "A"}, {"response": "B"}),
        (own_answers, ANSWER | FACTS, {"response": "B"}),
        (
            annotations,
            {
                "id": 1,
                "task": "EPM",
                "video": "v",
                "realtime": 1,
                "question": "?",
                "options": ["a", "b"],
                "gt": 0,
            },
            {"gt": 1},
        ),
        (words, {**CHUNK, "items": [ITEM]}, {"items": []}),
        (predictions, {"video_id": "v", "event_id": 1, "pred": "goal"}, {"pred": "no"}),
        (questions, QUESTION, {"response": "B"}),
    ],
)
def test_the_same_counts_once_and_another_is_refused(
    tmp_path: Path,
    load: Callable[[Path, list[dict[str, Any]]], int],
    record: dict[str, Any],
    other: dict[str, Any],
) -> None:
    assert load(tmp_path / "same", [record, record]) == 1
    with pytest.raises(SourceError, match="is there already and says something else"):
        load(tmp_path / "other", [record, record | other])


def test_what_overlaps_does_not_cover_twice() -> None:
    game = commentary.Game("v.mp4", "", "soccer", ((0.0, 100.0, "words"),))
    window = commentary.ScoredWindow(game, 0, 100, "words", 1)

    def run(*chunks: tuple[float, float]) -> commentary.GamePredictions:
        return commentary.GamePredictions("r", {"v.mp4": []}, {"v.mp4": list(chunks)}, RunFacts())

    assert run((0, 50), (0, 50.5)).text_of(window) is None
    assert run((0, 60), (40, 80)).text_of(window) is None
    assert run((40, math.inf), (0, 60)).text_of(window) == ""
    assert run((0, 100)).text_of(window) == ""
