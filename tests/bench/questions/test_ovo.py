"""OVO-Bench: what is asked, how it is scored, and both from outside."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.bench.questions.ovo import GROUPS, NUM_QUERIES, OvoProtocol, load_items, load_wording, queries
from svlm_cli.bench.questions.ovo_bench import asked
from svlm_cli.bench.questions.ovo_score import exact, load_official, official, score, strict
from svlm_cli.cli import run
from svlm_cli.errors import SourceError, UsageError
from tests.bench import made_data
from tests.data.fake_llm import Llm, serve_llm

COUNTS = {
    "EPM": 297, "ASI": 148, "HLD": 186, "STU": 178, "OJR": 184, "ATR": 116,
    "FPD": 101, "ACR": 109, "OCR": 149, "REC": 698, "SSR": 629, "CRR": 240,
}  # fmt: skip
PUBLISHED = {"backward": 27.38, "realtime": 28.37, "forward": 45.09, "total": 33.61}


def table(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize("seed", range(4))
def test_sources_that_are_called_by_numbers_and_lie_flat_are_named(
    seed: int, shared_data: Path, tmp_path: Path
) -> None:
    """A number alone is no name of a source: it is left out, and said so, whatever else is asked."""
    dice = random.Random(seed)
    found = queries(load_items(shared_data / "ovo" / "ovo_bench_new.json"))
    numbered = [each for each in found if each.video.startswith("AutoEvalMetaData/")]
    chosen, others = dice.sample(numbered, 3), dice.sample(found, 30)
    for each in chosen:
        (tmp_path / Path(each.video).name).touch()
    notes: list[str] = []
    taken = asked([*others, *chosen], tmp_path, OvoProtocol.OFFICIAL, notes.append)
    assert not any(each.video.is_file() for each in taken)
    names = sorted({Path(each.video).name for each in chosen})
    assert notes[0].startswith(f"{len(names)} files of {tmp_path} may be chunks of items or other videos")
    assert f"left out: {', '.join(names)};" in notes[0]


def test_the_queries_of_the_benchmark(shared_data: Path) -> None:
    items = load_items(shared_data / "ovo" / "ovo_bench_new.json")
    found = queries(items)
    assert len(items) == 1640
    assert len(found) == 3035
    assert Counter(query.task for query in found) == COUNTS
    assert len({query.key for query in found}) == 3035
    assert all(query.shown_from == 0 for query in found)
    late = [query for query in queries(items, OvoProtocol.LOGIT) if query.shown_from]
    assert {query.task for query in late} == {"CRR"}
    assert all(query.at_seconds >= query.shown_from + 1 for query in late)


def test_the_published_scores(shared_data: Path, tmp_path: Path, capsys, drawn: None) -> None:
    folder = shared_data / "ovo" / "results_FlashVStream"
    assert run(["bench", "ovo", "score", str(folder), "--json", "--out", str(tmp_path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert {name: found["scores"][name]["percent"] for name in PUBLISHED} == PUBLISHED
    assert found["protocol"] == "OVO-Bench official, stored results"
    assert "5 of 3035 responses are None" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "scores.png").exists()


def test_responses_that_are_no_text_are_counted_and_named(tmp_path: Path, capsys) -> None:
    right = {"task": "EPM", "video": "v", "question": "q", "ground_truth": "A"}
    results = {
        "backward": [
            {"id": 1, "response": "A", **right},
            {"id": 2, "response": None, **right},
            {"id": 3, "response": ["A", "B"], **right},
            {"id": 4, **right},
        ],
        "realtime": [],
        "forward": [
            {
                "id": 5,
                "task": "REC",
                "test_info": [{"count": 3, "response": 3}, {"count": 3, "response": "3"}],
            },
        ],
    }
    (tmp_path / "r.json").write_text(json.dumps(results))
    assert run(["bench", "ovo", "score", str(tmp_path / "r.json"), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "1 of 6 responses are None and count as wrong: EPM 2" in told
    assert "1 of 6 responses are of type list, not text and count as wrong: EPM 3" in told
    assert "1 of 6 responses are missing and count as wrong: EPM 4" in told
    assert "1 of 6 responses are of type int, not text and count as wrong: REC 5, query 0" in told
    (found,) = table(told)
    assert (found["backward"], found["real-time"], found["forward"], found["total"]) == (
        "25.00",
        "–",
        "50.00",
        "–",
    )


@pytest.mark.parametrize(
    ("task", "response", "truth", "is_official", "is_strict"),
    [
        ("EPM", "A", "A", True, True),
        ("EPM", "(B) a red cup", "B", True, True),
        ("EPM", "B. Because A is wrong", "B", True, True),
        ("EPM", "C. A person with blue shirt", "C", True, True),
        ("EPM", "A or B", "A", True, False),
        ("EPM", "It is B", "B", True, True),
        ("EPM", "The answer is C.", "C", True, True),
        ("EPM", "Answer: D", "D", True, True),
        ("EPM", "A, B, C or D", "C", True, False),
        ("EPM", "Because of the CAR", "C", True, False),
        ("EPM", "c", "C", False, True),
        ("EPM", "A dog is running.", "A", True, False),
        ("EPM", "A or possibly B is right", "A", True, False),
        ("EPM", "A, or maybe B", "A", True, False),
        ("EPM", "A is correct", "A", True, True),
        ("EPM", "**A** - a dog", "A", True, True),
        ("EPM", "A\na dog", "A", True, True),
        ("CRR", "Yes or No", "Yes", True, False),
        ("CRR", "No, there is no dog yet", "No", True, True),
        ("REC", "3", "3", True, True),
        ("REC", "They jump 1 time, then 2", "12", True, False),
        ("REC", "about 12 times", "12", True, True),
        ("REC", "three", "3", False, False),
        ("SSR", "Yes", "Yes", True, True),
        ("SSR", "Y", "Yes", True, False),
        ("CRR", "N", "No", True, False),
        ("CRR", "no.", "No", False, True),
        ("CRR", "Not sure", "No", True, False),
        ("SSR", "No, but Yes later", "Yes", True, False),
        ("SSR", "Based on the video, yes.", "Yes", False, True),
        ("SSR", "I think yes.", "Yes", False, True),
        ("CRR", "It is Yes", "Yes", True, True),
        ("CRR", "The man is performing it, so Yes.", "Yes", True, True),
        ("CRR", "Maybe, so Yes.", "Yes", True, False),
        ("SSR", "Based on the video, yes or no.", "No", False, False),
        ("SSR", "I don't think so. Is it Yes?", "Yes", True, False),
        ("REC", "<think>1, 2</think>2", "2", False, True),
        ("REC", "<think>1, 2</think>1 or 2", "2", False, False),
    ],
)
def test_rules(task: str, response: str, truth: str, is_official: bool, is_strict: bool) -> None:
    assert official(task, response, truth) == is_official
    assert strict(task, response, truth) == is_strict
    assert exact(task, response, truth) == (response == truth)


def test_what_was_not_asked_is_named(tmp_path: Path, capsys) -> None:
    """Two runs of a folder, one cut short; and one without the recent frames beside it."""
    answer = {"task": "EPM", "truth": "A", "rule": "official", "response": "A", "query": 0}

    def lines(run_name: str, num: int, protocol: str) -> list[dict[str, Any]]:
        facts = {"protocol": f"OVO-Bench official, own wording, {protocol}"}
        return [answer | {"id": number, "run": run_name, "facts": facts} for number in range(num)]

    out = tmp_path / "ours"
    out.mkdir()
    streamed, recent = lines("streamed", 5, "streamed in silence"), lines("recent", 2, "recent 4 frames")
    made_data.lines(out / "results.jsonl", streamed + recent)
    assert run(["bench", "ovo", "score", str(out)]) == 0
    told = capsys.readouterr().out
    assert "**streamed**: Part of OVO-Bench only, 5 of 3,035 queries" in told
    assert "**recent**: Part of OVO-Bench only, 2 of 3,035 queries" in told
    assert "EPM 5 of 297, ASI 0 of 148, HLD 0 of 186, STU 0 of 178" in told
    assert "no row of the recent frames" not in told
    made_data.lines(out / "results.jsonl", streamed)
    assert run(["bench", "ovo", "score", str(out)]) == 0
    assert "no row of the recent frames" in (out / "report.md").read_text()
    assert NUM_QUERIES == COUNTS


def test_means_are_over_tasks_then_groups(shared_data: Path) -> None:
    """Against sums done here, another way round."""
    answers = load_official([shared_data / "ovo" / "results_FlashVStream"])
    right: dict[str, list[bool]] = {}
    for each in answers:
        ok = isinstance(each.response, str) and official(each.task, each.response, each.truth)
        right.setdefault(each.task, []).append(ok)
    means = {
        group: sum(sum(right[task]) / len(right[task]) for task in tasks) / len(tasks) * 100
        for group, tasks in GROUPS.items()
    }
    scored = score(answers, official)
    assert {group: scored.group(group) for group in GROUPS} == pytest.approx(means)
    assert scored.total == pytest.approx(sum(means.values()) / 3)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '[{"task": "XYZ"}]', '[{"task": "EPM", "id": 1}]', "nonsense"]
)
def test_other_annotations_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(SourceError):
        load_items(tmp_path / "a.json")


def test_a_wording_without_its_places_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"templates": {"BR_PROMPT_TEMPLATE": "{}"}}')
    with pytest.raises(UsageError, match="BR_PROMPT_TEMPLATE with 2 times"):
        load_wording(tmp_path / "p.json")


def test_the_official_wording_is_sent(shared_data: Path, tmp_path: Path, make_video, capsys) -> None:
    """What a loopback server is asked, with the pictures, against the templates filled in here."""
    folder = made_data.videos(tmp_path, make_video)
    prompts = shared_data / "ovo" / "prompts.json"
    templates = json.loads(prompts.read_text())["templates"]
    options = "A. red; B. blue; C. green; D. none;"
    wanted = Counter(
        {
            templates["BR_PROMPT_TEMPLATE"].format("Which?", options): 1,
            templates["BR_PROMPT_TEMPLATE"].format("What?", options): 1,
            templates["REC_PROMPT_TEMPLATE"].format("How many times did they jump?"): 2,
            templates["CRR_PROMPT_TEMPLATE"].format("Who falls?"): 2,
            templates["SSR_PROMPT_TEMPLATE"].format("cut it"): 1,
        }
    )

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        text = body["messages"][0]["content"][-1]["text"]
        return 200, "12" if "How many" in text else "C" if "Which" in text else "No"

    out = tmp_path / "out"
    arguments = ["bench", "ovo", "generate", str(made_data.ovo(tmp_path)), "--videos", str(folder)]
    arguments += ["--prompts", str(prompts), "--api", "fake", "--recent-frames", "2", "--out", str(out)]
    with serve_llm(Llm(respond=respond)) as llm:
        arguments += ["--base-url", llm.address]
        assert run([*arguments, "--dry-run", "--json"]) == 0
        plans = json.loads(capsys.readouterr().out)["plans"]
        assert [plan["calls"] for plan in plans] == [7, 7]
        assert not llm.asked
        assert run(arguments) == 0
        asked = [body["messages"][0]["content"] for body in llm.asked]
        assert run(arguments) == 0
        assert len(llm.asked) == 14
    assert Counter(content[-1]["text"] for content in asked) == Counter({k: 2 * n for k, n in wanted.items()})
    assert all(
        part["image_url"]["url"].startswith("data:image/jpeg;base64,") for c in asked for part in c[:-1]
    )
    assert sorted(len(content) - 1 for content in asked[7:]) == [2] * 7
    capsys.readouterr()
    assert run(["bench", "ovo", "score", str(out)]) == 0
    told = capsys.readouterr().out
    for row in table(told):
        assert row["protocol"].startswith("OVO-Bench official, wording of prompts.json (")
        assert (row["backward"], row["real-time"]) == ("100.00", "0.00")
        assert row["forward"] == "33.33"  # REC 1 of 2, SSR 0 of 1, CRR 1 of 2
    assert [row["run"] for row in table(told)] == ["fake", "fake recent 2 frames"]
    assert "Part of OVO-Bench only" in told


@pytest.mark.parametrize("protocol", ["official", "logit"])
def test_a_model_from_end_to_end(checkpoint: Path, tmp_path: Path, make_video, capsys, protocol: str) -> None:
    folder, out = made_data.videos(tmp_path, make_video), tmp_path / "out"
    arguments = ["bench", "ovo", "generate", str(made_data.ovo(tmp_path)), "--videos", str(folder)]
    arguments += ["--model", str(checkpoint), "--device", "cpu", "--protocol", protocol]
    arguments += ["--max-answer-tokens", "4", "--max-pixels", "20000", "--out", str(out)]
    assert run(arguments) == 0
    lines = (out / "results.jsonl").read_text()
    records = [json.loads(line) for line in lines.splitlines()]
    assert Counter(record["run"] for record in records) == {"streamed": 7, "recent 4 frames": 7}
    if protocol == "logit":
        assert {record["response"] for record in records} <= {"No", "Yes", *"0123456789", *"ABCDE"}
    # Cut in the middle and run again, side by side: what is missing is answered, and the file is the same.
    (out / "results.jsonl").write_text("".join(f"{line}\n" for line in lines.splitlines()[::2]) + '{"id"')
    capsys.readouterr()
    assert run([*arguments, "--batch", "3"]) == 0
    assert "14 answers, 7 already there" in capsys.readouterr().err
    assert (out / "results.jsonl").read_text() == lines
    assert run(["bench", "ovo", "score", str(out)]) == 0
    told = table(capsys.readouterr().out)
    assert [row["protocol"].split(", ")[-1] for row in told] == ["streamed in silence", "recent 4 frames"]
    assert all(row["model"] and row["frames"] and row["resolution"] for row in told)


def test_videos_that_are_not_there(checkpoint: Path, tmp_path: Path, make_video, capsys) -> None:
    folder = made_data.videos(tmp_path, make_video)
    (folder / "nba_night.mp4").unlink()
    arguments = ["bench", "ovo", "generate", str(made_data.ovo(tmp_path)), "--model", str(checkpoint)]
    arguments += [
        "--device",
        "cpu",
        "--recent-frames",
        "0",
        "--max-answer-tokens",
        "1",
        "--max-pixels",
        "20000",
    ]
    arguments += ["--out", str(tmp_path / "out")]
    assert run([*arguments, "--videos", str(folder)]) == 0
    assert "1 videos are not there; 3 of 7 questions are out: nba_night.mp4" in capsys.readouterr().err
    assert run([*arguments, "--videos", str(tmp_path / "none")]) == 1
    assert "--videos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--api", "x", "--base-url", "http://127.0.0.1:9/v1", "--protocol", "logit"], "--protocol official"),
        (["--dry-run"], "--dry-run would do nothing without --api MODEL"),
        (["--api", "x", "--policy", "full"], "--policy would do nothing with --api"),
        (["--max-frames", "8"], "--max-frames would do nothing with --show streamed"),
        (["--show", "whole", "--speak"], "--speak"),
        (["--protocol", "loose"], "--protocol"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_wrong_usage_is_2_and_one_line(tmp_path: Path, capsys, more: list[str], expected: str) -> None:
    arguments = ["bench", "ovo", "generate", str(made_data.ovo(tmp_path)), "--out", str(tmp_path / "out")]
    assert run([*arguments, *more]) == 2
    assert expected in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
