"""How the command tests start ``svlm`` with the pretended engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FAKE = Path(__file__).with_name("fake_svlm.py")
ROOT = FAKE.parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(FAKE), *arguments]


def environment(**extra: str) -> dict[str, str]:
    kept = {
        key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}
    }
    return kept | {"PYTHONPATH": str(ROOT)} | extra


def svlm(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(**extra), timeout=60, check=False
    )


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error: no traceback, no colour in a pipe."""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    return last
