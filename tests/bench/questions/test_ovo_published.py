"""Results and videos of OVO-Bench in the shapes they are published in."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.bench.questions.ovo import GROUP_OF, GROUPS, OvoProtocol, load_items, queries
from svlm_cli.bench.questions.ovo_bench import asked
from svlm_cli.cli import run
from tests.bench import made_data

TASKS = tuple(GROUP_OF)


def made_results(draw: random.Random, *, lists: bool, twice: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """A result file as a model's, and the scores of its authors' rules, counted while it is made."""
    content: dict[str, list[Any]] = {group: [] for group in GROUPS}
    right: dict[str, list[bool]] = defaultdict(list)
    for number in range(240):
        task = TASKS[number % len(TASKS)]
        base = {
            "id": number - 12 if twice and number >= 228 else number,
            "task": task,
            "video": f"a/{number}.mp4",
        }

        def given(truth: str, other: str, task: str = task) -> object:
            is_right = draw.random() < 0.6
            right[task].append(is_right)
            text = draw.choice(("", "**", "(")) * (task not in ("REC",)) + (truth if is_right else other)
            return [text] if lists else text

        if GROUP_OF[task] != "forward":
            truth = draw.choice("ABCD")
            other = draw.choice([letter for letter in "ABCD" if letter != truth])
            entry = {"question": f"What {number}?", "response": given(truth, other), "ground_truth": truth}
        elif task == "REC":
            tests = [{"realtime": n, "count": n, "response": given(str(n), str(n + 9))} for n in range(3)]
            entry = {"activity": f"jump {number}", "test_info": tests}
        else:
            tests = [
                {
                    "realtime": n,
                    "step": "s",
                    "type": n % 2,
                    "response": given(*("Yes", "No")[:: 1 if n % 2 else -1]),
                }
                for n in range(3)
            ]
            entry = {"test_info": tests, "question": f"Who {number}?"}
        content[GROUP_OF[task]].append(base | entry)
    means = {
        group: 100 * sum(sum(right[task]) / len(right[task]) for task in tasks) / len(tasks)
        for group, tasks in GROUPS.items()
    }
    return content, means | {"total": sum(means.values()) / 3}


@pytest.mark.parametrize("seed", range(4))
def test_folders_score_as_their_authors_count(tmp_path: Path, capsys, seed: int) -> None:
    """Lists of one response, and ids used for two questions: by file, or in one; several models at once."""
    draw, expected = random.Random(seed), []
    for model, lists, twice in (("QWen2VL_7B", True, False), ("Gemini", False, True)):
        content, means = made_results(draw, lists=lists, twice=twice)
        expected.append(means)
        (tmp_path / model).mkdir()
        for group, items in content.items():
            whole = {name: items if name == group else [] for name in GROUPS}
            (tmp_path / model / f"{model}_{group}_offline_1.json").write_text(json.dumps(whole))
    folders = [str(tmp_path / name) for name in ("QWen2VL_7B", "Gemini")]
    assert run(["bench", "ovo", "score", *folders, "--json", "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in told["runs"]] == ["QWen2VL_7B", "Gemini"]
    for row, means in zip(told["runs"], expected, strict=True):
        found = {name: row["scores"][name]["percent"] for name in means}
        assert found == pytest.approx(means, abs=0.006)
    (note,) = [note for note in told["notes"] if "share an id" in note]
    assert note.startswith("**Gemini**: 36 answers share an id with another question, and all count: EPM 216")


@pytest.mark.parametrize("seed", range(3))
def test_what_a_file_holds_twice_counts_twice(tmp_path: Path, capsys, seed: int) -> None:
    """The same words or others: the authors' script adds up all entries."""
    draw = random.Random(seed)
    content, _ = made_results(draw, lists=False, twice=False)
    entries = [entry for entry in content["backward"] if entry["task"] == "EPM"]
    again = draw.sample(entries, 5)
    content["backward"] += [*again, again[0] | {"response": "none"}]
    (tmp_path / "all.json").write_text(json.dumps(content))
    assert run(["bench", "ovo", "score", str(tmp_path), "--json", "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    every = [entry for entry in content["backward"] if entry["task"] == "EPM"]
    right = sum(entry["ground_truth"] in entry["response"] for entry in every)
    figure = told["runs"][0]["scores"]["EPM"]
    assert figure["num"] == len(every) == len(entries) + 6
    assert figure["percent"] == pytest.approx(100 * right / len(every), abs=0.006)
    (note,) = [note for note in told["notes"] if "repeat a question" in note]
    assert "6 answers repeat a question of their file, and count once more each" in note
    assert not [note for note in told["notes"] if "share an id" in note]


def as_livecc_has_them(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An item for each query, with its answer."""
    found = []
    for entry in entries:
        own = {"id": entry["id"], "task": entry["task"], "question": entry.get("question", "")}
        for test in entry.get("test_info", [entry]):
            answer = (
                test["count"] if "count" in test else ("No", "Yes")[test["type"]] if "type" in test else None
            )
            found.append(
                own | {"answer": str(answer or entry.get("ground_truth", "0")), "response": test["response"]}
            )
    return found


@pytest.mark.parametrize("form", ["list", "lines", "by id", "groups by id", "mark", "folders", "livecc"])
def test_the_same_answers_in_other_forms(tmp_path: Path, capsys, form: str) -> None:
    content, means = made_results(random.Random(form), lists=True, twice=False)
    entries = [entry for group in GROUPS for entry in content[group]]
    by_id = {str(number): entry for number, entry in enumerate(entries)}
    text = {
        "list": json.dumps(entries),
        "lines": "\n".join(map(json.dumps, entries)),
        "by id": json.dumps(by_id, indent=1),
        "groups by id": json.dumps(
            {name: dict(enumerate(own)) for name, own in content.items()} | {"model": "it"}
        ),
        "mark": "\ufeff" + json.dumps(content),
        "folders": json.dumps(content),
        "livecc": json.dumps(as_livecc_has_them(entries)),
    }[form]
    folder = tmp_path / "model" / "it" if form == "folders" else tmp_path / "model"
    folder.mkdir(parents=True)
    (folder / ("r.jsonl" if form == "lines" else "r.json")).write_text(text, encoding="utf-8")
    (folder / "._r.json").write_bytes(b"\0\5\26")
    arguments = ["bench", "ovo", "score", str(tmp_path / "model"), "--json", "--out", str(tmp_path / "out")]
    assert run(arguments) == 0
    row = json.loads(capsys.readouterr().out)["runs"][0]
    assert row["run"] == folder.name
    assert {name: row["scores"][name]["percent"] for name in means} == pytest.approx(means, abs=0.006)


@pytest.mark.parametrize(
    "text",
    [
        '{"backward": [{"id": 1,}]}',
        '{"accuracy": 5}',
        "[1, 2]",
        '{"backward": [{"id": 1, "task": "QQ", "response": "A"}]}',
        '{"backward": [{"id": 1, "task": "EPM", "response": "A"}]}',
        '{"forward": [{"id": 1, "task": "REC", "test_info": [{"response": "1"}]}]}',
        '[{"id": 1, "prediction": "A"}]',
    ],
)
def test_what_is_no_result_is_refused_in_a_line(tmp_path: Path, capsys, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    assert run(["bench", "ovo", "score", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "r.json" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_one_question_answered_in_two_ways_by_two_files_is_refused(tmp_path: Path, capsys) -> None:
    entry = {"id": 1, "task": "EPM", "video": "v.mp4", "question": "q", "ground_truth": "A"}
    for number, letter in enumerate("AB"):
        (tmp_path / f"{number}.json").write_text(json.dumps({"backward": [entry | {"response": letter}]}))
    assert run(["bench", "ovo", "score", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "EPM 1 is there already and says something else" in capsys.readouterr().err


def test_chunks_belong_to_items(shared_data: Path, tmp_path: Path) -> None:
    """The whole data set in its three layouts: no query gets a file of another item."""
    items = load_items(shared_data / "ovo" / "ovo_bench_new.json")
    found = queries(items)
    chunks, sources, flat = (tmp_path / name for name in ("chunks", "sources", "flat"))
    for folder in (chunks, sources, flat):
        folder.mkdir()
    for query in found:
        number = f"_{query.number}" if GROUP_OF[query.task] == "forward" else ""
        (chunks / f"{query.id}{number}.mp4").touch()
        (flat / Path(query.video).name).touch()
        (sources / query.video).parent.mkdir(parents=True, exist_ok=True)
        (sources / query.video).touch()
    for folder in (chunks, sources, flat):
        videos = [each.video for each in asked(found, folder, OvoProtocol.OFFICIAL)]
        for query, video in zip(found, videos, strict=True):
            numbered = query.video.startswith("AutoEvalMetaData/")
            if folder is sources:
                assert video == sources / query.video
            elif folder is chunks:
                is_forward = GROUP_OF[query.task] == "forward"
                assert video.name == (f"{query.id}_{query.number}.mp4" if is_forward else f"{query.id}.mp4")
            else:
                assert video.is_file() != numbered
    part = sources / "AutoEvalMetaData"  # numbered sources alone
    videos = [each.video for each in asked(found, part, OvoProtocol.OFFICIAL)]
    assert not [video for video in videos if video.is_file()]
    (chunks / "106.mp4").unlink()
    missing = [each.video.is_file() for each in asked(found, chunks, OvoProtocol.OFFICIAL)]
    assert missing.count(False) == 1
    assert missing[[query.id for query in found].index(106)] is False


def test_numbers_of_sources_are_no_chunks_however_few_are_asked(shared_data: Path, tmp_path: Path) -> None:
    """Flat sources with strays beside them against random parts of the annotations; then chunks of a kind."""
    found = queries(load_items(shared_data / "ovo" / "ovo_bench_new.json"))
    flat, part = tmp_path / "flat", tmp_path / "part"
    flat.mkdir()
    part.mkdir()
    numbers = {Path(each.video).name for each in found if each.video.startswith("AutoEvalMetaData/")}
    for name in (*numbers, "1600_0.mp4", "2015_08.mp4", "20150812.mp4", "999.mp4", "0.mp4"):
        (flat / name).touch()
    dice = random.Random(7)
    for some in (found[:20], found, *(dice.sample(found, 60) for _ in range(5))):
        notes: list[str] = []
        taken = [each.video for each in asked(some, flat, OvoProtocol.OFFICIAL, notes.append)]
        assert {path.name for path in taken if path.is_file()} <= {"1600_0.mp4"}
        assert len(notes) == 1
        assert "AutoEvalMetaData/ there, or call a folder of chunks chunked_videos" in notes[0]
    once = [each for each in found if GROUP_OF[each.task] != "forward"]
    for name in (*(f"{each.id}.mp4" for each in once), Path(found[0].video).name):
        (part / name).touch()  # a whole video beside them takes nothing away
    for some in (once, once[:20], dice.sample(once, 60)):
        notes = []
        for query, each in zip(some, asked(some, part, OvoProtocol.OFFICIAL, notes.append), strict=True):
            own = Path(query.video).name if query.video == found[0].video else f"{query.id}.mp4"
            assert each.video == part / own
        assert not notes


def test_what_goes_on_behind_its_question_is_no_chunk(tmp_path: Path, make_video, capsys) -> None:
    folder = tmp_path / "chunked_videos"
    folder.mkdir()
    for number in (7, 8):
        make_video(folder / f"{number}.mp4", seconds=6)
    item = {"task": "OCR", "video": "a/x.mp4", "question": "What?", "gt": 0, "options": ["a", "b"]}
    items = [item | {"id": 7, "realtime": 6}, item | {"id": 8, "realtime": 2}]
    (tmp_path / "ovo.json").write_text(json.dumps(items))
    arguments = ["bench", "ovo", "generate", str(tmp_path / "ovo.json"), "--videos", str(folder)]
    assert run([*arguments, "--api", "x", "--dry-run", "--out", str(tmp_path / "out"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert [plan["calls"] for plan in json.loads(out)["plans"]] == [1, 1]
    told = " ".join(err.split())
    assert "go on behind the time of the question of their number" in told
    assert "left out: 8.mp4" in told
    assert told.count("1 videos are not there; 1 of 2 answers are out: x.mp4") == 1


def test_a_question_behind_the_end_is_told(checkpoint: Path, tmp_path: Path, make_video, capsys) -> None:
    folder = tmp_path / "chunked_videos"
    folder.mkdir()
    make_video(folder / "7.mp4", seconds=2)
    item = {
        "task": "OCR",
        "video": "AutoEvalMetaData/9.mp4",
        "question": "What?",
        "gt": 0,
        "options": ["a", "b"],
    }
    items = [item | {"id": 7, "realtime": 9.5}, item | {"id": 9, "realtime": 1}]
    (tmp_path / "ovo.json").write_text(json.dumps(items))
    arguments = ["bench", "ovo", "generate", str(tmp_path / "ovo.json"), "--videos", str(folder)]
    arguments += ["--model", str(checkpoint), "--device", "cpu", "--recent-frames", "0"]
    arguments += ["--max-answer-tokens", "1", "--max-pixels", "20000", "--out", str(tmp_path / "out")]
    assert run(arguments) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "7.mp4 ends at 2.0 s: 1 of its questions, of up to 9.5 s, are asked at its end: OCR-7-0" in told
    assert "1 videos are not there; 1 of 2 questions are out: 9.mp4" in told
    (line,) = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == 7


def test_default_folders_never_collide(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sets of results, of one name too, scored one after the other and again, without --out."""
    monkeypatch.chdir(tmp_path)
    entry = {"id": 1, "task": "EPM", "video": "v", "question": "q", "ground_truth": "A"}
    folders = [Path(name) for name in ("a/results", "b/results", "other")]
    for folder, letter in zip(folders, "ABC", strict=True):
        folder.mkdir(parents=True)
        (folder / "r.json").write_text(json.dumps({"backward": [entry | {"response": letter}]}))
    for folder in (*folders, *folders):
        assert run(["bench", "ovo", "score", str(folder)]) == 0
    found = sorted(path.name for path in tmp_path.glob("bench-ovo-score-*"))
    kinds = [name.rpartition("-")[0] for name in found]
    assert kinds == ["bench-ovo-score-other", *["bench-ovo-score-results"] * 2]
    assert capsys.readouterr().err.count("figures and plots go to bench-ovo-score-") == 6
    assert run(["bench", "ovo", "score", *map(str, folders), "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [each["run"] for each in runs] == ["a/results", "b/results", "other"]


def test_rows_of_two_protocols_are_told_apart(tmp_path: Path, capsys) -> None:
    """In one folder and in two; the figures that others published stand on the page, each with its source."""
    answer = {"id": 1, "query": 0, "task": "EPM", "truth": "A", "response": "A", "run": "streamed"}
    lines = [
        answer
        | {"rule": rule, "fingerprint": rule, "facts": {"protocol": f"OVO-Bench {rule}, recent 4 frames"}}
        for rule in ("official", "logit")
    ]
    for name, own in (("both", lines), ("one", lines[:1])):
        (tmp_path / name).mkdir()
        made_data.lines(tmp_path / name / "results.jsonl", own)
    out = tmp_path / "out"
    arguments = ["bench", "ovo", "score", str(tmp_path / "both"), str(tmp_path / "one"), "--out", str(out)]
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = [row["run"] for row in document["runs"]]
    assert names == ["streamed (official)", "streamed (logit)", "streamed"]
    page = (out / "report.md").read_text()
    assert {path.stem for path in out.glob("*.png")} == {
        "scores",
        "by_task",
        "by_group_strict",
        "by_task_strict",
    }
    for row in document["published"]:
        assert f"| {row['run']} | {row['protocol']} |" in page
        assert row["source"]
    assert {"LiveCC-7B-Instruct", "SimpleStream, last 4 frames"} <= {
        row["run"] for row in document["published"]
    }


def test_what_lies_beside_results_is_left_out_and_named(tmp_path: Path, capsys) -> None:
    folder, out = tmp_path / "results_X", ["--out", str(tmp_path / "out")]
    folder.mkdir()
    entry = {"task": "EPM", "video": "v.mp4", "question": "q", "ground_truth": "A", "response": "A"}
    for number in range(3):
        (folder / f"{number}.json").write_text(json.dumps({"backward": [entry | {"id": number}]}))
    (folder / "config.json").write_text(json.dumps({"model": "X", "frames": 64}))
    (folder / "meta.json").write_text("[]")
    assert run(["bench", "ovo", "score", str(folder), *out]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "**results_X**: left out, as they hold no results: config.json, meta.json." in told
    files = [str(folder / f"{number}.json") for number in range(3)]
    assert run(["bench", "ovo", "score", *files, "--out", str(tmp_path / "files"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["run"] == "results_X"
    assert run(["bench", "ovo", "score", str(folder / "config.json"), *out]) == 1  # asked for by its name
    (folder / "3.json").write_text(json.dumps([entry | {"id": 3}, {"response": "A"}]))
    assert run(["bench", "ovo", "score", str(folder)]) == 1  # results, and one that is none
    assert "go to" not in capsys.readouterr().err
