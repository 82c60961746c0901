"""The walk of docs/training.md, as it stands there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

WALK = Path(__file__).resolve().parents[1] / "recipes" / "arena_walk.sh"


def test_from_matches_to_a_score(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(WALK), str(tmp_path)],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "dataset" / "report.json").read_text())
    assert report["splits"][0]["num_chunks"] == 27
    assert (tmp_path / "words.vtt").read_text().startswith("WEBVTT")
    assert (tmp_path / "bench" / "report.md").is_file()
    assert "30 steps" in done.stderr
