"""Every benchmark that runs a model, by its command, on models of every family but the first two."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.cli import run
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from tests.bench import made_data
from tests.families import RECURRENT, SQUARE, STAMPED

FIRST = ("qwen3_vl", "qwen3_5", "smolvlm")
OTHERS = tuple(family for family in STAMPED + RECURRENT + SQUARE if family not in FIRST)
GAME = "arena:soccer?seed=1,minutes=1"


@pytest.fixture(
    scope="module", params=[*FIRST, *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)]
)
def how(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Options that open a model of the family and keep its pictures small."""
    folder = tmp_path_factory.mktemp("families") / request.param
    build_random_checkpoint(folder, family=request.param, vocabulary=str(checkpoint), spread=3.0)
    small = [] if request.param in SQUARE else ["--min-pixels", "4096", "--max-pixels", "20000"]
    return ["--model", str(folder), "--device", "cpu", *small]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return made_data.videos(tmp_path_factory.mktemp("films"), make_video)


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_commentary(how: list[str], films: Path, tmp_path: Path) -> None:
    metadata, clips = made_data.metadata(tmp_path)
    asked = [str(metadata), "--clips", str(clips), "--videos", str(films), "--start", "0"]
    asked += ["--max-new-tokens", "3"]
    assert run(["bench", "commentary", "generate", *asked, *how, "--out", str(tmp_path / "out")]) == 0
    said = records(tmp_path / "out")
    assert Counter(Path(line["video"]).name for line in said).keys() == {"cup_final.mp4", "nba_night.mp4"}
    assert all(line["items"] for line in said)


def test_livesports(how: list[str], films: Path, tmp_path: Path) -> None:
    asked = [str(made_data.events(tmp_path)), "--videos", str(films), "--max-new-tokens", "3"]
    assert run(["bench", "livesports", "generate", *asked, *how, "--out", str(tmp_path / "out")]) == 0
    assert len(records(tmp_path / "out")) == 3


@pytest.mark.parametrize("protocol", ["official", "logit"])
def test_ovo(how: list[str], films: Path, tmp_path: Path, protocol: str) -> None:
    asked = [str(made_data.ovo(tmp_path)), "--videos", str(films), "--protocol", protocol]
    asked += ["--max-answer-tokens", "2"]
    assert run(["bench", "ovo", "generate", *asked, *how, "--out", str(tmp_path / "out")]) == 0
    said = records(tmp_path / "out")
    assert Counter(line["run"] for line in said) == {"streamed": 7, "recent 4 frames": 7}
    if protocol == "logit":
        assert {line["response"] for line in said} <= {"No", "Yes", *"0123456789", *"ABCDE"}


def test_longvideo(how: list[str], films: Path, tmp_path: Path) -> None:
    asked = [str(made_data.longvideo(tmp_path)), "--videos", str(films), "--max-answer-tokens", "2"]
    assert run(["bench", "longvideo", "generate", *asked, *how, "--out", str(tmp_path / "out")]) == 0
    assert {line["id"] for line in records(tmp_path / "out")} == {"q1", "q2"}


def test_fps_and_floor(how: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [GAME, "--seconds", "8", "--policy", "streaming", "--vision-window", "2", "--rounds", "2"]
    asked += ["--floor-steps", "2", "--max-new-tokens", "3", "--json", "--out", str(tmp_path / "out")]
    assert run(["bench", "fps", *asked, *how]) == 0
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    seconds = told["floor"]["floor_seconds"]
    assert min(seconds[stage] for stage in ("vision", "prefill", "decode")) > 0


def test_arena(how: list[str], tmp_path: Path) -> None:
    asked = ["--matches", "1", "--minutes", "0.1", "--max-new-tokens", "2", "--quiet"]
    assert run(["bench", "arena", *asked, *how, "--out", str(tmp_path / "out")]) == 0
    assert records(tmp_path / "out")[0]["seconds"] == 6
