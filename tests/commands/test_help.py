"""What somebody sees who asks for help: examples first, short options, what a bug report needs."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from svlm_cli import __version__
from svlm_cli.cli import app
from svlm_cli.commands.examples import HEADING, broken
from tests.commands.test_terminal import CONTROL, on_terminal

SHORT = {"--out": "-o", "--quiet": "-q", "--model": "-m", "--version": "-V", "--verbose": "-v"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
SINGLE = [path for path, command in COMMANDS.items() if not hasattr(command, "commands")]


@pytest.mark.parametrize("path", [(), ("bench",), *SINGLE], ids=" ".join)
def test_examples_stand_before_the_options(svlm_here, path: tuple[str, ...], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    text = svlm_here(*path, "--help").stdout
    assert text.index(HEADING) < text.index("─ Options ─")
    assert max(map(len, text.splitlines())) <= 80
    shown = [line.strip() for line in text.partition(HEADING)[2].partition("─")[0].splitlines()]
    typed = " ".join(" ".join(line.removesuffix("\\") for line in shown).split())
    of_it = next(part for part in COMMANDS[path].help.split("\n\n") if part.startswith(HEADING))
    assert all(len(line) <= 78 for line in of_it.splitlines() if "#" in line)
    lines = of_it.replace(" \\\n", " ").splitlines()[1:]
    assert len(lines) >= 1
    for line in lines:
        assert " ".join(line.split()) in typed
        words = shlex.split(line, comments=True)
        assert words[: 1 + len(path)] == ["svlm", *path] or not path or not words


def test_a_long_example_can_be_copied() -> None:
    command = "svlm stream match.mp4 --title 'a b' --out one.vtt --out two.vtt --out three.vtt --json -q"
    lines = list(broken(command))
    assert len(lines) > 1
    assert max(map(len, lines)) <= 76
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)
    assert list(broken("svlm chunk matches")) == ["svlm chunk matches"]


def test_short_options_stand_beside_the_long_ones() -> None:
    found = set()
    for command in COMMANDS.values():
        for parameter in command.params:
            for long, short in SHORT.items():
                if long in parameter.opts:
                    assert short in parameter.opts, command.name
                    found.add(long)
    assert found == set(SHORT)


def test_short_options_do_as_the_long_ones(svlm_here, tmp_path: Path) -> None:
    words = tmp_path / "words.vtt"
    done = svlm_here("stream", "fake:steps=2", "-q", "-m", "some", "-o", str(words))
    assert (done.returncode, done.stderr) == (0, "")
    assert words.read_text().startswith("WEBVTT")
    assert svlm_here("-V").stdout == f"svlm {__version__}\n"


def test_what_a_bug_report_needs_and_nothing_about_whose_machine_it_is(
    svlm_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVLM_MODEL", str(tmp_path / "secret"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")
    done = svlm_here("--env")
    assert done.returncode == 0
    facts = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    import av
    import torch
    import transformers

    assert facts["svlm"] == __version__
    assert facts["torch"].startswith(torch.__version__)
    assert transformers.__version__ in facts["libraries"]
    assert facts["PyAV"].startswith(av.__version__)
    assert facts["set"] == "SVLM_MODEL, OPENAI_API_KEY"
    assert re.match(r"(compiled|torch) \(", facts["kernels"])
    assert {"processor", "features", "memory", "GPU", "ffmpeg", "voices", "optional"} <= set(facts)
    for private in ("/", "sk-12345", "secret", socket.gethostname(), f"{getpass.getuser()}@", os.getcwd()):
        assert private not in done.stdout


def test_a_broken_library_is_told_without_its_path(svlm_here, monkeypatch: pytest.MonkeyPatch) -> None:
    from svlm_cli.model.kernels import native

    monkeypatch.setattr(native, "_load", lambda: (None, "/home/ann/lib/_native.so: no such file"))
    line = next(line for line in svlm_here("--env").stdout.splitlines() if line.startswith("kernels"))
    assert line.endswith("(a path) no such file)")
    assert "ann" not in line


def test_the_place_to_type_a_question_is_seen_before_anything_is_typed() -> None:
    shown, _, code = on_terminal("stream", "fake:steps=4,pause=0.05", "--ask", columns=80)
    assert code == 0
    assert "ask: _ type a question, Enter asks it" in CONTROL.sub("", shown)
    shown, _, _ = on_terminal("stream", "fake:steps=2,pause=0.05", columns=80)
    assert "ask:" not in shown
