"""What the documents show is run as it stands there, with a tiny checkpoint for the real one."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL_MODEL = "mit-han-lab/StreamingVLM"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = {path.name for home in (ROOT, ROOT / "svlm_cli") for path in home.iterdir() if path.is_dir()}


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_python_examples_run(number, warm_programs, checkpoint, tmp_path, make_video):
    make_video(tmp_path / "match.mp4", seconds=3)
    code = blocks("docs/python.md", "python")[number].replace(REAL_MODEL, str(checkpoint))
    done = subprocess.run(
        [warm_programs / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) >= (1 if number == 1 else 3)


def test_the_quickstart_runs(warm_programs, tmp_path):
    """Everything behind the install of README's first line, as it stands there, for a minute of the match."""
    line = next(line for line in blocks("README.md", "sh")[0].splitlines() if not line.startswith("#"))
    install, commands = line.split(" && ", 1)
    assert install == "pip install -c constraints.txt ."
    path = f"{warm_programs}{os.pathsep}{os.environ['PATH']}"
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


def prose(document: Path) -> str:
    """Without the blocks of code."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """What GitHub makes of the headings: small letters, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_links(document: Path) -> list[str]:
    """Targets of links (and pictures) that are not there, headings included."""
    missing = []
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        if "://" not in target and (not page.exists() or (anchor and anchor not in anchors(page))):
            missing.append(target)
    return missing


def missing_paths(document: Path) -> list[str]:
    """Files and folders in backticks, from the root or from svlm_cli, that are not there."""
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[a-z_]+\.py)`", prose(document))
    ours = [path for path in named if path.split("/")[0] in ROOMS or path.endswith(".py")]
    return [
        path
        for path in ours
        if "NAME" not in path and not any((home / path).exists() for home in (ROOT, ROOT / "svlm_cli"))
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_is_there(document):
    assert not missing_links(document)
    assert not missing_paths(document)


def test_a_link_or_path_to_nothing_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](gone.md) [b](#one) [c](#two) `stream/loop.py` `stream/gone.py` `model/`\n")
    assert missing_links(page) == ["gone.md", "#two"]
    assert missing_paths(page) == ["stream/gone.py"]
