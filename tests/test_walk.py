"""The walks of docs/training.md, as they stand there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def walked(programs: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(RECIPES / script), *arguments],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_from_matches_to_a_score(warm_programs: Path, tmp_path: Path) -> None:
    done = walked(warm_programs, "arena_walk.sh", str(tmp_path))
    report = json.loads((tmp_path / "dataset" / "report.json").read_text())
    assert report["splits"][0]["num_chunks"] == 27
    assert (tmp_path / "words.vtt").read_text().startswith("WEBVTT")
    assert (tmp_path / "bench" / "report.md").is_file()
    assert "30 steps" in done.stderr


@pytest.mark.parametrize(
    ("vocabulary", "is_short"),
    [
        ("part", False),
        pytest.param("part", True, marks=pytest.mark.slow),
        pytest.param("whole", False, marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint_repeats_what_it_learnt_by_heart(
    vocabulary: str,
    is_short: bool,
    warm_programs: Path,
    tmp_path: Path,
    shared_data: Path,
    part_of_vocabulary: Path,
    make_video: Callable[..., Path],
) -> None:
    """Four chunks of a real clip, or all of a made one of another kind, streamed from the start of each."""
    clip = shared_data / "video" / "armwrestling.mp4"
    if is_short:
        clip = make_video(tmp_path / "a short one.mkv", seconds=6.5, fps=10, size=(160, 90))
    part = [str(part_of_vocabulary)] if vocabulary == "part" else []
    done = walked(warm_programs, "smoke.sh", str(clip), str(tmp_path / "smoke"), *part)
    tmp_path = tmp_path / "smoke"
    dataset = (tmp_path / "dataset" / "train_s2w4_with_seeks.jsonl").read_text().splitlines()
    assert len(dataset) == (2 if is_short else 4)
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
