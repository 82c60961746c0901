"""Results that an earlier build has stored (``stored/``): gone on with, and nothing is asked again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from svlm_cli.bench.commentary import games, livesports
from svlm_cli.bench.questions import longvideo, ovo_bench
from svlm_cli.cli import run
from tests.bench import made_data

STORED = Path(__file__).with_name("stored")
GRID = "runs:\n  - {name: ours, paper: 66.2}\n  - {name: forgetful, sink: 0, previous: none}\n"
FPS_GRID = "runs:\n  - {name: one}\n  - {name: two, policy: full}\n"


def command(name: str, folder: Path) -> list[str]:
    """How the results were made."""
    metadata, clips = made_data.metadata(folder)
    (folder / "grid.yaml").write_text(FPS_GRID if name == "fps" else GRID)
    grid, videos = ["--grid", str(folder / "grid.yaml")], ["--videos", str(folder / "videos")]
    ovo = ["ovo", "generate", str(made_data.ovo(folder)), *videos]
    return {
        "commentary": [
            *("commentary", "generate", str(metadata), "--clips", str(clips), *videos, *grid),
            *("--setting", "chunked", "--greedy"),
        ],
        "livesports": ["livesports", "generate", str(made_data.events(folder)), *videos, "--name", "ours"],
        "ovo": [*ovo, "--recent-frames", "4"],
        "logit": [*ovo, "--protocol", "logit", "--recent-frames", "0"],
        "longvideo": [
            *("longvideo", "generate", str(made_data.longvideo(folder)), *videos, "--recent-frames", "4"),
        ],
        "arena": ["arena", "--matches", "1", "--minutes", "0.2"],
        "fps": [*("fps", "arena:soccer,seed=3,minutes=1", "--seconds", "8", "--floor-steps", "2"), *grid],
    }[name]


@pytest.mark.parametrize("name", ["commentary", "livesports", "ovo", "logit", "longvideo", "arena", "fps"])
def test_nothing_is_asked_again(name: str, tmp_path: Path, make_video, one_thread) -> None:
    made_data.videos(tmp_path, make_video)
    out = tmp_path / "out"
    out.mkdir()
    path = Path(shutil.copy(STORED / f"{name}.jsonl", out / "results.jsonl"))
    arguments = ["bench", *command(name, tmp_path), "--device", "cpu", "--out", str(out), "--quiet"]
    assert run(arguments) == 0
    assert path.read_bytes() == (STORED / f"{name}.jsonl").read_bytes()


def test_a_run_is_what_its_lines_tell() -> None:
    """By hand from the files: names, protocol, the paper's figure and the columns of the rows."""
    lines = [json.loads(line) for line in (STORED / "commentary.jsonl").read_text().splitlines()]
    ours, forgetful = games.load_predictions(STORED / "commentary.jsonl")
    assert (ours.name, ours.facts.paper, forgetful.facts.paper) == ("ours", "66.2", None)
    assert ours.facts.protocol == "Inf-Streams-Eval, pieces of the scored windows, told the reference so far"
    told = next(line["facts"] for line in lines if line["run"] == "ours")
    assert ours.facts.to_json() == told
    assert ours.facts.columns == {
        key: told[key] for key in ("model", "frames", "resolution", "memory", "decoding")
    }
    said = livesports.load_predictions(STORED / "livesports.jsonl")
    assert len(said.texts) == 3
    assert said.facts.protocol
    assert "protocol" not in said.facts.columns


def test_rows_of_earlier_answers(tmp_path: Path) -> None:
    for name in ("ovo", "longvideo"):
        (tmp_path / name).mkdir()
        shutil.copy(STORED / f"{name}.jsonl", tmp_path / name / "results.jsonl")
    found = [ovo_bench.row(results) for results in ovo_bench.load_results([tmp_path / "ovo"])]
    found += longvideo.rows(tmp_path / "longvideo")[0]
    for name, rows in (("ovo", found[:2]), ("longvideo", found[2:])):
        lines = [json.loads(line) for line in (STORED / f"{name}.jsonl").read_text().splitlines()]
        protocols = dict.fromkeys(line["facts"]["protocol"] for line in lines)
        assert [row.protocol for row in rows] == list(protocols)
        assert all("protocol" not in row.facts and "paper" not in row.facts for row in rows)
