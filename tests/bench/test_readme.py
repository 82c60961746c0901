"""README's benchmark commands as they stand there, on small made data, with the bundled model."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from svlm_cli.cli import run
from tests.bench import made_data
from tests.commands.running import ROOT
from tests.data.fake_llm import Llm, serve_llm


def commands() -> list[list[str]]:
    text = (ROOT / "README.md").read_text().split("## Benchmarks")[1]
    block = text.split("```sh\n")[1].split("```")[0]
    return [shlex.split(line)[1:] for line in block.splitlines() if line.startswith("svlm ")]


def test_every_command_runs(
    tmp_path: Path, make_video, monkeypatch: pytest.MonkeyPatch, capsys, drawn: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SVLM_MODEL", raising=False)
    made_data.all_of_the_readme(tmp_path, make_video)
    every = commands()
    assert {" ".join(each[1:3]) for each in every if each[1] != "report"} == {
        f"{bench} {part}"
        for bench in ("commentary", "livesports", "ovo", "longvideo")
        for part in ("generate", "score")
    }
    with serve_llm(Llm(respond=lambda _: (200, "Answer: A. Commentary A is closer."))) as llm:
        for command in every:
            asks = "--api" in command or (
                command[2] == "score" and command[1] in ("commentary", "livesports")
            )
            address = ["--base-url", llm.address] if asks else []
            assert run([*command, *address]) == 0, (command, capsys.readouterr().err)
    assert len(llm.asked) == 2 + 2 * 2 + 3 + 2 * 3
    capsys.readouterr()
    compared = json.loads((tmp_path / "compared" / "summary.json").read_text())["benchmarks"]
    assert [each["benchmark"] for each in compared] == ["commentary", "livesports", "ovo", "longvideo"]
    rows = {each["benchmark"]: each["runs"] for each in compared}
    assert all(row["protocol"] for found in rows.values() for row in found)
    assert rows["commentary"][0]["scores"]["win_rate"]["percent"] == 50.0, "this judge likes the first place"
    assert [row["run"] for row in rows["ovo"]] == [
        f"{name} ({rule})" for rule in ("official", "logit") for name in ("streamed", "recent 4 frames")
    ]
