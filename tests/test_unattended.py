"""A process nobody watches: what starts it is right, and a kill now and then loses nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs/deploy"


def test_a_stream_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """A short share of the ten minutes (benchmarks/unattended.py), judged by the same rules."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    script = ROOT / "benchmarks/unattended.py"
    command = [sys.executable, str(script), "--minutes", "0.4", "--kill-every", "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["kills"] >= 1
    # On a machine with much else to do the last process may not have come to its first words.
    assert 1 <= figures["starts"] <= figures["kills"] + 1
    assert figures["steps"] >= 3


def test_the_systemd_unit_is_one() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "verify", str(DEPLOY / "svlm.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["svlm.service", "compose.yaml", "../unattended.md"])
def test_every_option_in_them_is_one_of_svlm_stream(name: str) -> None:
    known = (ROOT / "docs/cli.md").read_text()
    text = (DEPLOY / name).read_text()
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    used -= {"--now", "--minutes", "--kill-every"}
    assert {"--resume", "--reconnect-seconds", "--save-state", "--out", "--serve"} <= used
    assert [option for option in sorted(used) if f"`{option}" not in known] == []


def test_the_compose_file_and_its_dockerfile() -> None:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service = content["services"]["svlm"]
    assert set(content) == {"services", "volumes"}
    assert set(service) <= {
        *("build", "command", "environment", "volumes", "ports", "restart", "stop_grace_period"),
        "healthcheck",
    }
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert (context / service["build"]["dockerfile"]).is_file()
    assert (context / "constraints.txt").is_file()
    assert [each.split(":")[0] for each in service["volumes"]] == list(content["volumes"])
    compile(service["healthcheck"]["test"][-1], "healthcheck", "exec")
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    kinds = {"FROM", "RUN", "COPY", "USER", "WORKDIR", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {line.split()[0] for line in lines} == kinds
