"""The command line from outside: its own process, a pretended engine (fake_svlm.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.running import environment, error_line, svlm

OPTIONS = """
    --model --fps --step-seconds --policy --restart-seconds --sink --text-window --vision-window --rounds
    --positions --query --title --previous-text --max-new-tokens --temperature --top-k --top-p
    --repetition-penalty --greedy --seed --start --duration --pace --out --device --dtype --threads
    --on-lag --ask --ask-file --max-answer-tokens --serve --cors --max-channels --save-state --save-every
    --resume --rtsp-transport --stall-seconds --reconnect-seconds --max-height --attention --max-pixels
    --min-pixels --trace --json --quiet --verbose -v"""

HEAVY = ["torch", "transformers", "numpy", "av", "decord", "PIL", "yt_dlp", "faster_whisper", "openai"]


def test_help_lists_what_exists(svlm_here) -> None:
    for arguments in (["--help"], []):
        done = svlm_here(*arguments)
        assert done.returncode == 0
        for name in ("fetch", "align", "chunk", "train", "stream", "bench"):
            assert f" {name} " in done.stdout


def test_version(svlm_here) -> None:
    assert svlm_here("--version").stdout.startswith("svlm 0.")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from svlm_cli.cli import run\n"
        "for name in ([], ['fetch'], ['align'], ['chunk'], ['train'], ['stream']):\n"
        "    assert run([*name, '--help']) == 0\n"
        f"    assert not set({HEAVY}) & set(sys.modules), name\n"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment(), check=True)


def test_stream_help_names_every_option_and_default() -> None:
    text = svlm("stream", "--help", COLUMNS="200", TERMINAL_WIDTH="200").stdout
    for option in OPTIONS.split():
        assert option in text
    for default in ("2.0", "16.0", "512", "0.9", "1.05", "Commentate on this match", "streaming"):
        assert f"[default: {default}]" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["stream"], "SOURCE"),
        (["strem"], "'stream'"),
        (["--bogus"], "--bogus"),
        (["stream", "fake:", "--fsp", "2"], "--fps?"),
        (["stream", "fake:", "--fps", "nan"], "--fps"),
        (["stream", "fake:", "--fps", "3"], "even whole number"),
        (["stream", "fake:", "--fps", "-2"], "--fps must be above 0"),
        (["stream", "fake:", "--duration", "inf"], "--duration"),
        (["stream", "fake:", "--start", "-1"], "--start"),
        (["stream", "fake:", "--sink", "-1"], "--sink"),
        (["stream", "fake:", "--rounds", "0"], "--rounds"),
        (["stream", "fake:", "--seed", "-1"], "--seed"),
        (["stream", "fake:", "--policy", "some"], "'streaming'"),
        (["stream", "fake:", "--device", "tpu"], "--device"),
        (["stream", "fake:", "--threads", "0"], "--threads"),
        (["stream", "fake:", "--out", "x.txt"], ".vtt, .srt, .jsonl"),
        (["stream", "nofile.mp4", "--fps", "x"], "--fps"),
        (["stream", "fake:", "--graphs", "maybe"], "'auto'"),
        (["stream", "fake:", "--cues", "minute"], "'reading'"),
        (["stream", "fake:", "--resume", "auto"], "--save-state"),
        (["stream", "fake:", "--reconnect-seconds", "nan"], "--reconnect-seconds"),
        (["stream", "fake:", "--reconnect-seconds", "-1"], "--reconnect-seconds"),
        (["bench", "fps", "fake:", "--compile"], "--compile needs a bounded cache"),
    ],
)
def test_wrong_usage_is_2_and_one_line(svlm_here, arguments: list[str], expected: str) -> None:
    done = svlm_here(*arguments)
    assert done.returncode == 2
    assert expected in error_line(done)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_wrong_usage_and_failures_from_outside() -> None:
    for arguments, code in (
        (["strem"], 2),
        (["stream", "fake:", "--fps", "3"], 2),
        (["stream", "fake:fail=1"], 1),
    ):
        done = svlm(*arguments)
        assert done.returncode == code
        assert done.stderr.startswith("error: ") == (code == 2)
        assert error_line(done)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nofile.mp4"], "nofile.mp4"),
        (["fake:", "--model", "missing"], "no such model"),
        (["fake:", "--out", "/nowhere/x.vtt"], "/nowhere"),
        (["fake:", "--previous-text", "@nofile.txt"], "nofile.txt"),
        (["fake:", "--model", "broken"], "RuntimeError: first line second line (run again with --verbose"),
        (["fake:fail=1"], "ValueError: it broke"),
    ],
)
def test_failures_are_1_and_one_line(svlm_here, arguments: list[str], expected: str) -> None:
    done = svlm_here("stream", *arguments)
    assert done.returncode == 1
    assert expected in error_line(done)


def test_a_traceback_only_when_verbose(svlm_here) -> None:
    done = svlm_here("stream", "fake:", "--model", "broken", "--verbose")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "error: RuntimeError: first line second line"


def test_previous_text_from_a_file(svlm_here, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_bytes("\ufeffKick-off, schön.\n".encode())
    done = svlm_here("stream", "fake:", "--previous-text", f"@{notes}", "--json", "--quiet")
    assert json.loads(done.stdout.splitlines()[0])["previous_text"] == "Kick-off, schön."
    notes.write_bytes(b"\xff\xfe\x00")
    done = svlm_here("stream", "fake:", "--previous-text", f"@{notes}")
    assert done.returncode == 1
    assert "not UTF-8" in error_line(done)


def test_every_setting_arrives(svlm_here) -> None:
    wanted = {
        "fps": 8.0,
        "step_seconds": 0.5,
        "policy": "window",
        "restart_seconds": 50.0,
        "sink": 1,
        "text_window": 2,
        "vision_window": 4.0,
        "rounds": 3,
        "query": "say",
        "title": "cup",
        "previous_text": "before",
        "max_new_tokens": 5,
        "temperature": 0.5,
        "top_k": 7,
        "top_p": 0.25,
        "repetition_penalty": 1.5,
        "seed": 9,
        "start": 10.0,
        "duration": 20.0,
        "pace": "realtime",
        "min_pixels": 800,
        "max_pixels": 80000,
    }
    options = [part for name, value in wanted.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    done = svlm_here("stream", "fake:", "--json", "--greedy", *options)
    start = json.loads(done.stdout.splitlines()[0])
    assert {name: start[name] for name in wanted} == wanted
    assert start["greedy"] is True


def test_words_are_data_and_the_rest_is_talk() -> None:
    done = svlm("stream", "fake:steps=3,silent=1,warn=2", FAKE_WORDS="[red]go\x1b[31m\x07al")
    assert done.returncode == 0
    assert done.stdout == "[00:00:00] [red]goal\n[00:00:02] [red]goal\n"
    talk = done.stderr.splitlines()
    assert talk[0].startswith("bundled arena model")
    assert "warning: a frame was skipped" in talk
    assert talk[-1].startswith("3 steps, ")
    assert "\x1b" not in done.stderr


def test_quiet_leaves_data_only(svlm_here) -> None:
    done = svlm_here("stream", "fake:steps=2,warn=1", "--quiet")
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2


def test_a_named_model_has_no_banner(svlm_here) -> None:
    assert "bundled" not in svlm_here("stream", "fake:", "--model", "mine").stderr


def test_json_lines_and_nothing_else_on_stdout(svlm_here, tmp_path: Path) -> None:
    done = svlm_here("stream", "fake:steps=3,silent=1,warn=2", "--json", "--out", str(tmp_path / "x.jsonl"))
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert kinds == ["start", "step", "step", "warning", "step", "end"]
    assert (tmp_path / "x.jsonl").read_text() == done.stdout


def test_json_is_utf8_whatever_the_terminal_is() -> None:
    done = svlm(
        "stream", "fake:steps=1", "--json", FAKE_WORDS="é💥", PYTHONIOENCODING="latin-1", PYTHONUTF8="0"
    )
    assert json.loads(done.stdout.splitlines()[1])["text"] == "é💥"


def test_a_file_that_ends_too_early_does_not_look_like_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from svlm_cli.cli import run

    def ends(*_: object) -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr("svlm_cli.recipe.load_recipe", ends)
    assert run(["train", "recipe.yaml"]) == 1
    assert "error: a file ends too early: Ran out of input" in capsys.readouterr().err


def test_ctrl_c_while_programs_are_loaded_is_no_traceback() -> None:
    script = (
        "import signal, sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from svlm_cli.__main__ import main\n"
        "sys.argv[1:] = ['--version']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
