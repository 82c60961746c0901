"""The key of a judge: in no file, no output, no traceback."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from svlm_cli.cli import run
from tests.bench.judge.test_judge import KEY, always_a, arguments, votes
from tests.commands.running import environment
from tests.data.fake_llm import Llm, serve_llm


def test_the_key_is_nowhere(data, tmp_path, capsys, monkeypatch) -> None:
    """The server sends it back in errors and in replies; the client's own log is on."""
    out, num_asked = tmp_path / "out", 0

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        nonlocal num_asked
        num_asked += 1
        return (500, "try again") if num_asked % 3 == 0 else (200, f"Winner: A. Your key is {KEY}.")

    with serve_llm(Llm(respond=respond)) as llm:
        done = subprocess.run(
            [sys.executable, "-m", "svlm_cli", *arguments(data, llm, out, "--verbose")],
            env=environment(OPENAI_API_KEY=KEY, OPENAI_LOG="debug"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert all(KEY in key for key in llm.keys), "it has to be sent"
        llm.address = llm.address.replace("http://", f"http://user:{KEY}@")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        run(arguments(data, llm, tmp_path / "bad", "--judge", "x", "-v"))
    assert KEY not in done.stdout + done.stderr + "".join(capsys.readouterr())
    for file in [*out.rglob("*"), *(tmp_path / "bad").rglob("*")]:
        assert KEY.encode() not in file.read_bytes(), file
    assert len(votes(out)) == 6


def test_a_refused_key_is_not_in_the_traceback(data, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve_llm(Llm(respond=lambda _: (401, f"Incorrect API key provided: {KEY}"))) as llm:
        assert run(arguments(data, llm, tmp_path / "out", "--verbose")) == 1
    out, err = capsys.readouterr()
    assert "Traceback" in err
    assert "Incorrect API key provided: ***" in err
    assert KEY not in out + err


def test_a_key_that_no_header_can_hold(data, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-s\u00e9cret")
    with serve_llm(Llm(respond=always_a)) as llm:
        assert run(arguments(data, llm, tmp_path / "out")) == 1
        assert not llm.asked
    told = capsys.readouterr().err
    assert "OPENAI_API_KEY" in told
    assert "cret" not in told.replace("secret", "")
