"""LiveSports-3K CC: stored votes, predictions and judging from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.cli import run
from tests.bench import made_data
from tests.data.fake_llm import Llm, serve_llm


def predictions(path: Path, words: str) -> Path:
    events = [json.loads(line) for line in made_data.events(path.parent).read_text().splitlines()]
    return made_data.lines(
        path,
        [
            {name: event[name] for name in ("video_id", "event_id", "begin", "end")} | {"pred": words}
            for event in events
        ],
    )


def test_the_published_win_rate(shared_data: Path, tmp_path: Path, capsys) -> None:
    votes = shared_data / "livesports" / "judge_GPT-4o_vs_LiveCC-7B-Instruct.jsonl"
    arguments = ["bench", "livesports", "score", "--votes", str(votes), "--out", str(tmp_path)]
    assert run([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["run"] == "LiveCC-7B-Instruct"
    assert row["scores"]["win_rate"]["percent"] == 47.24
    assert row["scores"]["win_rate"]["num"] == 3404
    assert row["protocol"]
    assert run([*arguments, "--baseline", "LiveCC-7B-Instruct"]) == 0
    assert "52.76" in capsys.readouterr().out
    assert run([*arguments, "--baseline", "GPT-5"]) == 2
    assert "the votes name GPT-4o, LiveCC-7B-Instruct" in capsys.readouterr().err


def test_a_vote_that_is_there_twice_and_one_that_is_none(tmp_path: Path, capsys) -> None:
    vote = {"video_event_id": "v_1", "ab_winner": "x", "ba_winner": "tie"}
    path = made_data.lines(
        tmp_path / "v.jsonl", [vote, vote, vote | {"video_event_id": "w_1", "ba_winner": "y"}]
    )
    arguments = ["bench", "livesports", "score", "--votes", str(path), "--out", str(tmp_path / "out")]
    assert run(arguments) == 0
    told = capsys.readouterr().out
    assert "2 votes of" in told
    assert "| x | " in told
    assert " 50.00 " in told, "two of four votes; the tie is a vote for nobody"
    made_data.lines(path, [vote, {"video_event_id": "v_2", "ab_winner": "x"}])
    assert run(arguments) == 1
    assert "line 2" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["lines", "list", "by id"])
@pytest.mark.parametrize("nobody", [None, "", "Tie", " TIE ", "neither", "both"])
def test_a_vote_for_nobody_is_a_tie_however_it_is_written(
    tmp_path: Path, capsys, nobody: object, form: str
) -> None:
    votes = [
        {"video_event_id": "v_1", "ab_winner": "x", "ba_winner": nobody, "reason": "close"},
        {"video_event_id": "v_2", "ab_winner": nobody, "ba_winner": "y"},
    ]
    path = tmp_path / "votes.json"
    by_id = {vote.pop("video_event_id"): vote for vote in map(dict, votes)}
    texts = {"list": json.dumps(votes), "by id": json.dumps(by_id, indent=1)}
    path.write_text(texts.get(form, "\n".join(map(json.dumps, votes))))
    arguments = [
        "bench",
        "livesports",
        "score",
        "--votes",
        str(path),
        "--json",
        "--out",
        str(tmp_path / "out"),
    ]
    assert run(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    told = {row["run"]: (row["ties"], row["scores"]["win_rate"]["percent"]) for row in rows}
    assert told == {"x": ("2", 25.0), "y": ("2", 25.0)}


def test_stored_votes_of_ours_tell_who_was_compared(tmp_path: Path, capsys) -> None:
    """Who wins nothing has a row too; of votes on older words only the newest count."""
    path = tmp_path / "votes.jsonl"
    arguments = ["bench", "livesports", "score", "--votes", str(path), "--out", str(tmp_path / "out")]

    def rates(*winners: str) -> dict[str, float]:
        orders = ("ab", "ba") * (len(winners) // 2)
        both = {"first": "ours", "second": "theirs"}
        made_data.lines(
            path,
            [
                {"id": "v_1", "order": order, "winner": winner, "question": str(number), **both}
                for number, (order, winner) in enumerate(zip(orders, winners, strict=True))
            ],
        )
        assert run([*arguments, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["runs"]
        return {row["run"]: row["scores"]["win_rate"]["percent"] for row in rows}

    assert rates("theirs", "theirs") == {"ours": 0, "theirs": 100}
    assert rates("tie", "tie") == {"ours": 0, "theirs": 0}
    assert rates("theirs", "theirs", "ours", "tie") == {"ours": 50, "theirs": 0}
    made_data.lines(path, [{"video_event_id": "v_1", "ab_winner": "tie", "ba_winner": "tie"}])
    assert run(arguments) == 1
    assert "names anybody" in capsys.readouterr().err


def test_judging_by_livecc_rules(tmp_path: Path, capsys) -> None:
    """A tie or an empty reply counts against; temperature, seed and the person's words are sent."""

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        assert (body["temperature"], body["seed"]) == (0, 42)
        text = body["messages"][0]["content"]
        assert "he shoots and scores" in text
        if text.index("our words") > text.index("their words"):
            return 200, "" if len(llm.asked) % 2 else "Both are the same to me."
        return 200, "Commentary A is closer"

    ours = predictions(tmp_path / "pred_ours.jsonl", "our words")
    theirs = predictions(tmp_path / "pred_GPT-4o.jsonl", "their words")
    arguments = [
        "bench",
        "livesports",
        "score",
        str(ours),
        str(theirs),
        "--events",
        str(tmp_path / "events.jsonl"),
    ]
    arguments += ["--judge", "fake", "--out", str(tmp_path / "out")]
    with serve_llm(Llm(respond=respond)) as llm:
        assert run([*arguments, "--base-url", llm.address]) == 0
        assert len(llm.asked) == 6
    (row,) = json.loads((tmp_path / "out" / "summary.json").read_text())["runs"]
    assert (row["run"], row["rival"]) == ("ours", "GPT-4o")
    assert row["scores"]["win_rate"]["percent"] == 50.0
    capsys.readouterr()
    again = ["bench", "livesports", "score", "--votes", str(tmp_path / "out" / "votes.jsonl")]
    assert run([*again, "--out", str(tmp_path / "again"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["run"], row["scores"]["win_rate"]["percent"]) == ("ours", 50.0)


def test_splits_are_told_apart(tmp_path: Path, capsys) -> None:
    """Validation has ASR; test events have none, and are named apart from events nobody spoke of."""
    rows = [json.loads(line) for line in made_data.events(tmp_path).read_text().splitlines()]
    ours, theirs = (predictions(tmp_path / f"pred_{name}.jsonl", name) for name in ("ours", "theirs"))
    val = made_data.lines(tmp_path / "LiveSports-3K-CC-val.jsonl", rows[:1])
    test = made_data.lines(
        tmp_path / "LiveSports-3K-CC-test.jsonl", [rows[1], rows[2] | {"event_asr_text": ""}]
    )
    events = ["--events", str(val), "--events", str(test)]
    votes = [
        {"video_event_id": f"{row['video_id']}_{row['event_id']}", "ab_winner": "ours", "ba_winner": winner}
        for row, winner in zip(rows, ("ours", "theirs", "theirs"), strict=True)
    ]
    arguments = ["bench", "livesports", "score", "--votes", str(made_data.lines(tmp_path / "v.jsonl", votes))]
    arguments += ["--baseline", "theirs", "--json"]
    assert run([*arguments, *events, "--out", str(tmp_path / "stored")]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    rates = {name: (figure["percent"], figure["num"]) for name, figure in row["scores"].items()}
    assert rates == {"win_rate": (66.67, 6), "win_rate_split_val": (100, 2), "win_rate_split_test": (50, 4)}
    assert (row["votes"], row["ties"]) == ("6", "0")
    judged = ["bench", "livesports", "score", str(ours), str(theirs), *events, "--judge", "fake"]
    with serve_llm(Llm(respond=lambda _: (200, "[[A]]"))) as llm:
        assert run([*judged, "--out", str(tmp_path / "judged"), "--base-url", llm.address]) == 0
        assert len(llm.asked) == 4
    page = (tmp_path / "judged" / "report.md").read_text()
    assert "1 of 3 events have no event_asr_text" in page
    assert "4 of 4 ties are replies that name a winner, but not in the words" in page
    assert "## Win rate by split" in page
    assert "| LiveCC-7B-Instruct | published: LiveSports-3K CC |" in page


def test_generate_from_end_to_end(checkpoint: Path, tmp_path: Path, make_video) -> None:
    folder = made_data.videos(tmp_path, make_video)
    arguments = ["bench", "livesports", "generate", str(made_data.events(tmp_path)), "--videos", str(folder)]
    arguments += [
        "--model",
        str(checkpoint),
        "--device",
        "cpu",
        "--max-new-tokens",
        "2",
        "--max-pixels",
        "20000",
    ]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [(line["video_id"], line["event_id"], line["begin"], line["end"]) for line in lines] == [
        ("cup_final", 0, 1.25, 5.5),
        ("nba_night", 1, 0.0, 4.0),
        ("nba_night", 2, 4.0, 8.0),
    ]
    assert all(line["pred"] for line in lines)
    assert run([*arguments, "--out", str(tmp_path / "batched"), "--batch", "2"]) == 0
    alone, batched = ((tmp_path / name / "results.jsonl").read_bytes() for name in ("out", "batched"))
    assert batched == alone


def test_the_rival_is_told_title_and_words_before(tmp_path: Path, make_video) -> None:
    folder = made_data.videos(tmp_path, make_video)
    arguments = ["bench", "livesports", "generate", str(made_data.events(tmp_path)), "--videos", str(folder)]
    arguments += ["--api", "fake", "--limit", "1", "--out", str(tmp_path / "out")]
    with serve_llm(Llm(respond=lambda _: (200, "Goal!"))) as llm:
        assert run([*arguments, "--base-url", llm.address]) == 0
        (body,) = llm.asked
    *pictures, text = body["messages"][0]["content"]
    assert len(pictures) == 4
    assert 'titled "A game"' in text["text"]
    assert "so far so good" in text["text"]
    (line,) = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["pred"] == "Goal!"


@pytest.mark.parametrize(
    "arguments", [[], ["x"], ["--votes", "v", "--dry-run"], ["x", "y", "--events", "e", "--baseline", "b"]]
)
def test_wrong_usage_is_2(arguments: list[str], capsys) -> None:
    assert run(["bench", "livesports", "score", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")
