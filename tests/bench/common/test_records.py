"""A file of records after kills, doubles and full disks."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from svlm_cli.bench.commentary.games import load_games
from svlm_cli.bench.commentary.livesports import load_events
from svlm_cli.bench.common.records import Record, RecordFile, read_json, read_lines
from svlm_cli.bench.questions.longvideo import load_items as load_questions
from svlm_cli.bench.questions.ovo import load_items as load_ovo
from svlm_cli.bench.questions.ovo import queries
from svlm_cli.errors import OutputError, SourceError
from tests.bench import made_data


def key_of(record: Record) -> str:
    if not isinstance(record["key"], str):
        raise TypeError
    return record["key"]


def test_half_a_line_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordFile(path, key_of) as records:
        records.add({"key": "a", "text": "é💥"})
        records.add({"key": "b"})
    whole = path.read_bytes()
    for length in range(len(whole) - 11, len(whole)):  # within the second line, within a letter too
        path.write_bytes(whole[:length])
        with RecordFile(path, key_of) as records:
            has_b = "b" in records
            if not has_b:
                assert records.problems == (
                    [f"line 2 of {path} is no result and is left out"] if length > 25 else []
                )
                records.add({"key": "b"})
            else:
                records.add({"key": "c"})
        lines = path.read_text().splitlines()
        assert [json.loads(line)["key"] for line in lines] == (["a", "b", "c"] if has_b else ["a", "b"])


def test_the_first_of_two_counts(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"key": "a", "n": 1}\n{"key": "a", "n": 2}\n\n{"key": 3}\n')
    with RecordFile(path, key_of) as records:
        assert [record["n"] for record in records] == [1]
        assert len(records.problems) == 2
        with pytest.raises(ValueError):
            records.add({"key": "a"})


def test_order_in_the_end_is_that_of_the_work(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordFile(path, key_of) as records:
        for key in ("other", "b", "c", "a"):
            records.add({"key": key})
        records.sort(["a", "b", "c", "missing"])
        assert [record["key"] for record in records] == ["other", "a", "b", "c"]
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["other", "a", "b", "c"]
    before = path.stat().st_ino
    with RecordFile(path, key_of) as records:
        records.sort(["a", "b", "c"])
    assert path.stat().st_ino == before, "nothing to do"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "r.jsonl"
    with RecordFile(path, key_of) as records:
        records.add({"key": "a"})
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:4]))
        with pytest.raises(OutputError, match="No space left"):
            records.add({"key": "b"})
        monkeypatch.undo()
        assert "b" not in records
        records.add({"key": "c"})
    assert path.read_text() == '{"key": "a"}\n{"key": "c"}\n'


@pytest.mark.parametrize("content", ["{}\n3\n", "{}\nx", '{}\n{"a":'])
def test_lines_of_others_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "l.jsonl").write_text(content)
    with pytest.raises(SourceError, match=r"line 2 of .*l\.jsonl"):
        read_lines(tmp_path / "l.jsonl", "things")


def test_a_record_is_on_the_disk_with_the_name_of_its_file(tmp_path: Path, forced: list[Path]) -> None:
    path = tmp_path / "new" / "r.jsonl"
    with RecordFile(path, key_of) as records:
        assert forced == [tmp_path]
        records.add({"key": "a"})
        assert forced[1:] == [path, path.parent]


def test_who_only_looks_in_needs_no_lock(tmp_path: Path) -> None:
    """A dry run beside the run itself."""
    path = tmp_path / "records.jsonl"
    with RecordFile(path, key_of) as writing:
        writing.add({"key": "a"})
        with RecordFile(path, key_of, is_claimed=False) as looking:
            assert "a" in looking
        with pytest.raises(OutputError, match="is being written by process"):
            RecordFile(path, key_of)


@pytest.mark.parametrize(
    "line", [b'{"a": "\xff"}', b"[" * 100_000, b'{"a": 1', b"[1]", b'{"a": ' + b"9" * 5000 + b"x}"]
)
def test_an_odd_line_of_somebody_else_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "votes.jsonl"
    path.write_bytes(b'{"a": 1}\n\n' + line + b"\n")
    with pytest.raises(SourceError, match=r"line 3 of .*votes\.jsonl is no JSON object"):
        read_lines(path, "votes")
    path.write_bytes(line)
    if line != b"[1]":
        with pytest.raises(SourceError, match=r"votes\.jsonl: it is n(ot|ested)"):
            read_json(path, "give votes")


def test_numbers_that_are_none_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    path.write_text('{"a": NaN, "b": 1e999, "c": "\\ud83d"}\n')
    assert read_lines(path, "votes") == [{"a": None, "b": None, "c": "\ufffd"}]


@pytest.mark.parametrize("seed", range(5))
def test_lines_of_another_benchmark_outlive_a_rewriting(tmp_path: Path, seed: int) -> None:
    """Whatever stands between them: what is torn goes, what is somebody else's stays."""
    dice = random.Random(seed)
    path = tmp_path / "r.jsonl"
    theirs = [{"fingerprint": f"{number}", "said": []} for number in range(3)]
    ours = [{"key": f"{number}"} for number in range(3)]
    lines = [json.dumps(each) for each in (*theirs, *ours, ours[0])] + ['{"key": "torn', "[]"]
    dice.shuffle(lines)
    path.write_text("\n".join(lines))
    with RecordFile(path, key_of) as records:
        assert len(records.problems) == 3 + 3
        records.add({"key": "new"})
        records.sort(["new", "2", "1", "0"])
    left = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["key"] for each in left if "key" in each] == ["new", "2", "1", "0"]
    assert sorted(each["fingerprint"] for each in left if "key" not in each) == ["0", "1", "2"]


def test_an_answer_that_comes_late_takes_nothing_from_whoever_writes_now(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"key": "a"}\n{"key": "tor')
    late = RecordFile(path, key_of)
    late.close()
    with RecordFile(path, key_of) as now:
        now.add({"key": "b"})
        late.add({"key": "c"})
        now.add({"key": "d"})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("seed", range(4))
def test_lines_of_others_in_any_of_their_forms(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    records = [{"id": number, "text": draw.choice(("é", "a\n[b", "{")) * number} for number in range(1, 5)]
    forms = {
        "lines": "\r\n\n".join(json.dumps(record) for record in records),
        "list": json.dumps(records, indent=draw.choice((None, 2))),
        "by id": json.dumps({f"v_{record['id']}": record for record in records}, indent=2),
        "by id in a line": json.dumps({f"v_{record['id']}": record for record in records}),
    }
    for name, text in forms.items():
        path = tmp_path / name
        path.write_text(draw.choice(("", "\ufeff")) + text, encoding="utf-8")
        assert read_lines(path, "things") == records, name
    path.write_text(json.dumps({str(record["id"]): {"text": record["text"]} for record in records}))
    assert read_lines(path, "things") == [{**record, "id": str(record["id"])} for record in records]
    path.write_text(json.dumps([*records, 5]))
    with pytest.raises(SourceError, match=r"item 5 of .* is no JSON object"):
        read_lines(path, "things")
    path.write_text('[{"a": 1},]')
    with pytest.raises(SourceError, match=r"line 1 of .* is no JSON object"):
        read_lines(path, "things")


def _as_text(value: object) -> object:
    """The same with every number written as text, ids and names aside."""
    if isinstance(value, dict):
        kept = ("id", "event_id", "duration_group")
        return {key: each if key in kept else _as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    return str(value) if isinstance(value, int | float) else value


@pytest.mark.parametrize("kind", ["ovo", "longvideo", "events", "games"])
def test_annotations_in_all_forms_say_the_same(tmp_path: Path, kind: str) -> None:
    path, load = {
        "ovo": (made_data.ovo(tmp_path), lambda path: queries(load_ovo(path))),
        "longvideo": (made_data.longvideo(tmp_path), load_questions),
        "events": (made_data.events(tmp_path), load_events),
        "games": (made_data.metadata(tmp_path)[0], load_games),
    }[kind]
    wanted = load(path)
    own = path.read_text()
    entries = json.loads(own) if own.startswith("[") else [json.loads(line) for line in own.splitlines()]
    other = tmp_path / "other"
    for content in (entries, [_as_text(entry) for entry in entries]):
        by_id = {f"item {number}": entry for number, entry in enumerate(content)}
        lines = "\n".join(json.dumps(entry) for entry in content)
        for text in (lines, json.dumps(content), json.dumps(content, indent=1), json.dumps(by_id)):
            other.write_text(text)
            assert load(other) == wanted
