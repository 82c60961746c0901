"""The walks of docs/training.md, as they stand there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def walked(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(RECIPES / script), *arguments],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_from_matches_to_a_score(tmp_path: Path) -> None:
    done = walked("arena_walk.sh", str(tmp_path))
    report = json.loads((tmp_path / "dataset" / "report.json").read_text())
    assert report["splits"][0]["num_chunks"] == 27
    assert (tmp_path / "words.vtt").read_text().startswith("WEBVTT")
    assert (tmp_path / "bench" / "report.md").is_file()
    assert "30 steps" in done.stderr


def test_a_checkpoint_repeats_what_it_learnt_by_heart(tmp_path: Path, shared_data: Path) -> None:
    """Four chunks of a real clip, streamed greedily from the start of each."""
    pytest.importorskip("dashscope", reason="the real Qwen vocabulary is in the dashscope package")
    done = walked("smoke.sh", str(shared_data / "video" / "armwrestling.mp4"), str(tmp_path))
    dataset = (tmp_path / "dataset" / "train_s2w4_with_seeks.jsonl").read_text().splitlines()
    assert len(dataset) == 4
    expected = []
    for line in dataset:
        user, assistant = json.loads(line)
        start, end = (user["content"][0][key] for key in ("video_start", "video_end"))
        words = assistant["content"][0]["text_stream"]
        expected.append(f"from second {start}:")
        for second in range(start, end):
            said = " ".join(word for _, stop, word in words if second < stop <= second + 1)
            expected += [f"[00:00:{second:02d}] {said}"] if said else []
    told = done.stdout.splitlines()
    assert told[told.index("from second 0:") :] == expected
    assert list((tmp_path / "run" / "sft" / "runs").rglob("events.out.tfevents.*"))
