"""What the documents show is run as it stands there, with a tiny checkpoint for the real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL_MODEL = "mit-han-lab/StreamingVLM"


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_python_examples_run(number, checkpoint, tmp_path, make_video):
    make_video(tmp_path / "match.mp4", seconds=3)
    code = blocks("docs/python.md", "python")[number].replace(REAL_MODEL, str(checkpoint))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) >= (1 if number == 1 else 3)


def test_the_quickstart_runs(tmp_path):
    """Everything behind the install of README's first line, as it stands there, for a minute of the match."""
    line = blocks("README.md", "sh")[0].strip()
    install, commands = line.split(" && ", 1)
    assert install == "pip install -c constraints.txt ."
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        f"{commands} --duration 60",
        shell=True,
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "60 steps" in done.stderr
    assert sum(text.startswith("[00:00:") for text in done.stdout.splitlines()) >= 10


def test_the_first_example_is_ten_lines():
    assert len([line for line in blocks("docs/python.md", "python")[0].splitlines() if line]) <= 10


def test_every_link_between_documents_leads_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} -> {target}"
