"""Which windows are commentated and scored: --start and --clips by one rule, short games too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from svlm_cli.cli import run
from tests.bench import made_data


@pytest.fixture
def data(tmp_path: Path, make_video) -> list[str]:
    metadata, clips = made_data.metadata(tmp_path)
    folder = made_data.videos(tmp_path, make_video)
    return [str(metadata), "--clips", str(clips), "--videos", str(folder)]


@pytest.mark.parametrize(("start", "num"), [(None, 3), ("0", 3), ("3", 1), ("6", 1)])
def test_start_and_clips_are_one_rule(data, tmp_path, capsys, start: str | None, num: int) -> None:
    """Windows of --clips that begin before --start are neither commentated nor scored."""
    more = [] if start is None else ["--start", start]
    arguments = ["bench", "commentary", "generate", *data, "--out", str(tmp_path / "out"), *more]
    arguments += ["--api", "fake", "--dry-run", "--json"]
    assert run(arguments) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["plans"][0]["calls"] == num
    assert ("1 of 2 games have no window from --start" in told.err) == (num == 1)
    ours, theirs = (made_data.predictions(tmp_path / f"{name}.jsonl", name) for name in ("a", "b"))
    score = ["bench", "commentary", "score", str(ours), str(theirs), "--metadata", *data[:3]]
    assert run([*score, "--dry-run", "--json", "--out", str(tmp_path / "s"), *more]) == 0
    assert json.loads(capsys.readouterr().out)["plans"][0]["calls"] == 2 * num


def test_games_shorter_than_the_papers_start_are_read_when_told(tmp_path: Path, capsys) -> None:
    content = [[second, second + 1, "he shoots and scores"] for second in range(350)]
    games = [{"video": name, "title": "", "content": content} for name in ("a.mp4", "b.mp4")]
    metadata = made_data.lines(tmp_path / "m.jsonl", games)
    line = {"chunk_start": 0, "chunk_end": 350, "items": []}
    said = made_data.lines(tmp_path / "p.jsonl", [line | {"video": game["video"]} for game in games])
    other = made_data.lines(tmp_path / "q.jsonl", [line | {"video": game["video"]} for game in games])
    arguments = ["bench", "commentary", "score", str(said), str(other), "--metadata", str(metadata)]
    arguments += ["--dry-run", "--json", "--out", str(tmp_path / "out")]
    assert run(arguments) == 1
    told = capsys.readouterr().err
    assert (
        "2 of 2 games have no window from --start 1000 s on, of 100 s and 200 words, and are left out" in told
    )
    assert "begin earlier with --start" in told
    assert run([*arguments, "--start", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["plans"][0]["calls"] == 2 * 2 * 3
