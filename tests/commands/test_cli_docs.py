from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from svlm_cli.cli import app
from svlm_cli.commands.stream.command import EXAMPLES
from tests.commands.running import ROOT, environment

GENERATOR = ROOT / "docs" / "generate_cli.py"


def test_the_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in EXAMPLES.splitlines() if line.startswith("svlm ")])
def test_examples_run(svlm_here, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("Welcome back.")
    arguments = shlex.split(line)[1:]
    arguments[1] = "fake:steps=1"
    done = svlm_here(*arguments)
    assert done.returncode == 0, done.stderr


def test_every_option_has_help_and_a_default() -> None:
    for name, each in typer.main.get_command(app).commands.items():
        for parameter in each.params:
            assert parameter.help, f"svlm {name} {parameter.opts}"
            stated = (
                parameter.required or parameter.default is not None or isinstance(parameter.show_default, str)
            )
            assert stated, f"svlm {name} {parameter.opts} states no default"
