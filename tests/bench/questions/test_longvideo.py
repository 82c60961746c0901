"""LongVideoBench: letters, groups, and the whole way from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from svlm_cli.bench.questions.longvideo import INSTRUCTION, load_items
from svlm_cli.cli import run
from svlm_cli.errors import SourceError
from tests.bench import made_data
from tests.data.fake_llm import Llm, serve_llm


def test_as_many_options_as_there_are(tmp_path: Path, capsys) -> None:
    """Seven options; an empty one in the middle keeps its letter; replies strictly and as published."""
    row = {"video_path": "v.mp4", "question": "What?", "duration_group": 15, "subtitle_path": "v.json"}
    seven = {"id": "a", "candidates": [f"option {n}" for n in range(7)], "correct_choice": 6}
    sparse = {f"option{n}": text for n, text in enumerate(("x", "N/A", "z", "N/A", "N/A"))}
    (tmp_path / "l.json").write_text(
        json.dumps([row | seven, row | sparse | {"id": "b", "correct_choice": 2, "subtitle_path": None}])
    )
    first, second = load_items(tmp_path / "l.json")
    assert (first.truth, first.num_options, first.has_subtitles) == ("G", 7, True)
    assert "\nG. option 6\n" in first.prompt
    assert (second.truth, second.num_options, second.has_subtitles) == ("C", 3, False)
    facts = {"protocol": "LongVideoBench val, no subtitles, streamed in silence"}
    line = {"duration_group": "15", "run": "r", "facts": facts}
    made_data.lines(
        tmp_path / "results.jsonl",
        [
            line
            | {"id": "a", "truth": "G", "num_options": 7, "has_subtitles": True, "response": "Answer: G"},
            line | {"id": "b", "truth": "C", "num_options": 3, "has_subtitles": False, "response": "(C) z"},
            line | {"id": "c", "truth": "B", "response": "Based on the video, he runs"},
            line | {"id": "d", "truth": "D", "response": ["**D**"]},
        ],
    )
    assert run(["bench", "longvideo", "score", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (found,) = document["runs"]
    assert found["scores"]["accuracy"]["percent"] == 75
    assert found["scores"]["accuracy_first_letter"]["percent"] == 75
    assert found["scores"]["duration_15"]["num"] == 4
    assert "**r**: 0 replies name no letter and 0 are no text; both count as wrong." in document["notes"][0]
    assert "Strictly, 1 name none that is sure." in document["notes"][0]
    assert "1 of 4 questions come with subtitles, which are not shown" in document["notes"][1]


def test_prompts(tmp_path: Path) -> None:
    first, second = load_items(made_data.longvideo(tmp_path))
    assert first.prompt == f"What happens?\nA. a goal\nB. a card\nC. nothing\n{INSTRUCTION}"
    assert second.prompt == f"Who wins?\nA. red\nB. blue\n{INSTRUCTION}"
    assert (first.truth, second.truth) == ("A", "B")


@pytest.mark.parametrize("content", ["[]", "{}", '[{"id": 1}]', "x"])
def test_other_questions_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "l.json").write_text(content)
    with pytest.raises(SourceError):
        load_items(tmp_path / "l.json")


def test_questions_of_the_test_split_have_no_answers(tmp_path: Path) -> None:
    row = {"id": "a", "video_path": "v.mp4", "question": "What?", "candidates": ["x", "y"]}
    (tmp_path / "l.json").write_text(json.dumps([row]))
    with pytest.raises(SourceError, match="question 0 is not of LongVideoBench: it has no correct_choice"):
        load_items(tmp_path / "l.json")


def test_accuracy_by_group_behind_an_address(tmp_path: Path, make_video, capsys) -> None:
    folder, out = made_data.videos(tmp_path, make_video), tmp_path / "out"
    arguments = [
        "bench",
        "longvideo",
        "generate",
        str(made_data.longvideo(tmp_path)),
        "--videos",
        str(folder),
    ]
    arguments += ["--api", "fake", "--recent-frames", "0", "--max-frames", "6", "--out", str(out)]

    def respond(body: dict) -> tuple[int, str]:
        *pictures, text = body["messages"][0]["content"]
        assert len(pictures) == 6
        return 200, "A, I think" if "What happens" in text["text"] else "no idea"

    with serve_llm(Llm(respond=respond)) as llm:
        assert run([*arguments, "--base-url", llm.address]) == 0
    capsys.readouterr()
    assert run(["bench", "longvideo", "score", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["runs"]
    scores = {name: figure["percent"] for name, figure in row["scores"].items()}
    assert scores == {
        **{f"accuracy{rule}": 50.0 for rule in ("", "_first_letter")},
        **{f"duration_15{rule}": 100.0 for rule in ("", "_first_letter")},
        **{f"duration_60{rule}": None for rule in ("", "_first_letter")},
        **{f"duration_600{rule}": 0.0 for rule in ("", "_first_letter")},
        **{f"duration_3600{rule}": None for rule in ("", "_first_letter")},
        "category_S2E": 100.0,
        "category_T2O": 0.0,
    }
    assert row["protocol"] == "LongVideoBench val, no subtitles, whole video at once"
    assert document["notes"][:1] == [
        "**fake**: 1 replies name no letter and 0 are no text; both count as wrong. "
        "Strictly, 1 name none that is sure."
    ]
    assert "| S2E | T2O |" in (out / "report.md").read_text()


def test_a_model_from_end_to_end(checkpoint: Path, tmp_path: Path, make_video, capsys) -> None:
    folder, out = made_data.videos(tmp_path, make_video), tmp_path / "out"
    arguments = [
        "bench",
        "longvideo",
        "generate",
        str(made_data.longvideo(tmp_path)),
        "--videos",
        str(folder),
    ]
    arguments += ["--model", str(checkpoint), "--device", "cpu", "--max-answer-tokens", "2"]
    arguments += ["--max-pixels", "20000", "--out", str(out)]
    assert run(arguments) == 0
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [(line["run"], line["id"]) for line in lines] == [
        ("streamed", "q1"),
        ("streamed", "q2"),
        ("recent 4 frames", "q1"),
        ("recent 4 frames", "q2"),
    ]
    assert lines[0]["facts"]["frames"] == "1 FPS"
    assert run([*arguments, "--show", "whole", "--recent-frames", "0"]) == 0
    batched = [*arguments[:-1], str(tmp_path / "batched"), "--batch", "2"]
    assert run(batched) == run([*batched, "--show", "whole", "--recent-frames", "0"]) == 0
    assert (tmp_path / "batched" / "results.jsonl").read_bytes() == (out / "results.jsonl").read_bytes()
    assert run([*arguments, "--api", "x", "--batch", "2"]) == 2
    capsys.readouterr()
    assert run(["bench", "longvideo", "score", str(out), "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [row["run"] for row in runs] == ["streamed", "recent 4 frames", "whole"]


def test_what_was_not_asked_is_named(tmp_path: Path, capsys) -> None:
    facts = {"protocol": "LongVideoBench val, streamed in silence"}
    answer = {"id": "q", "truth": "A", "duration_group": "15", "run": "r", "response": "A", "facts": facts}
    made_data.lines(tmp_path / "results.jsonl", [answer])
    assert run(["bench", "longvideo", "score", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "**r**: part of LongVideoBench only, 1 of 1,337 questions of val." in told
    assert "no row of the recent frames" in told
