from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from svlm_cli.bench.arena.match import MatchJob, MatchResult, result_key
from svlm_cli.bench.arena.results import ResultsFile
from svlm_cli.bench.arena.runs import ArenaRun
from svlm_cli.bench.arena.score import METRICS
from svlm_cli.bench.common.intervals import Ratio
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.records import write_whole
from svlm_cli.errors import OutputError
from svlm_cli.settings import Sampling, StreamSettings

RUN = ArenaRun("streaming", StreamSettings(sampling=Sampling(greedy=True)))
FACTS = ModelFacts("mine", "0123456789abcdef", "cpu", "float32")
JOB = MatchJob(RUN, 3, 4, result_key(RUN, FACTS, 4))
RESULT = MatchResult(JOB, ("", "goal", "", "é"), 1.0, 4.0, 0.25, 0.25, 0.25)
SCORES = dict.fromkeys(METRICS, Ratio(2, 3))


def test_what_was_added_is_found_again(tmp_path: Path) -> None:
    with ResultsFile(tmp_path / "new") as results:
        assert results.find(JOB) is None
        results.add_match(RESULT, FACTS, SCORES)
        assert results.find(JOB) == RESULT
    with ResultsFile(tmp_path / "new") as results:
        assert results.find(JOB) == RESULT
        assert results.find(replace(JOB, seed=4)) is None
        assert results.find(replace(JOB, key="other")) is None
    line = json.loads((tmp_path / "new" / "results.jsonl").read_text())
    assert line["scores"]["event_f1"] == 66.67
    assert line["said"] == [[1, "goal"], [3, "é"]]


def test_lines_of_others_stay_and_broken_ones_are_named(tmp_path: Path) -> None:
    with ResultsFile(tmp_path) as results:
        results.add_match(RESULT, FACTS, SCORES)
    path = tmp_path / "results.jsonl"
    whole = path.read_text()
    other = whole.replace(JOB.key, "f" * 16)
    path.write_text(other + whole[:-20])
    with ResultsFile(tmp_path) as results:
        assert results.problems == [f"line 2 of {path} is no result and is left out"]
        assert results.find(JOB) is None
        results.add_match(RESULT, FACTS, SCORES)
    assert path.read_text() == other + whole


@pytest.mark.parametrize(
    "line", ["[]", "{}", "3", '{"fingerprint": "a", "seed": 1, "seconds": 2, "said": [[2, "x"]]}']
)
def test_any_other_line_is_no_result(tmp_path: Path, line: str) -> None:
    (tmp_path / "results.jsonl").write_text(line)
    with ResultsFile(tmp_path) as results:
        assert len(results.problems) == 1


def test_one_benchmark_at_a_time(tmp_path: Path) -> None:
    with ResultsFile(tmp_path), pytest.raises(OutputError, match="is being written by process"):
        ResultsFile(tmp_path)
    ResultsFile(tmp_path).close()


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        ResultsFile(tmp_path / "file")
    with pytest.raises(OutputError):
        write_whole(tmp_path / "file" / "x", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_key_follows_every_setting_and_no_name() -> None:
    settings = RUN.settings
    keys = {
        result_key(replace(RUN, settings=replace(settings, **change)), FACTS, 4)
        for change in (
            {"fps": 8},
            {"policy": "full"},
            {"sink": 1},
            {"text_window": 1},
            {"vision_window": 1},
            {"rounds": 1},
            {"restart_seconds": 1},
            {"query": "x"},
            {"max_pixels": 999},
            {"sampling": replace(settings.sampling, max_new_tokens=1)},
            {"sampling": replace(settings.sampling, repetition_penalty=1.0)},
        )
    }
    keys |= {
        result_key(RUN, replace(FACTS, fingerprint="x"), 4),
        result_key(RUN, replace(FACTS, dtype="bfloat16"), 4),
        result_key(RUN, FACTS, 5),
        result_key(replace(RUN, sink_is_opening=True), FACTS, 4),
    }
    assert len(keys) == 15
    assert JOB.key not in keys
    assert result_key(replace(RUN, name="other"), replace(FACTS, name="copy"), 4) == JOB.key
