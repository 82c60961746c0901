"""What a person at a terminal sees, through a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess

from tests.commands.running import command, environment

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*arguments: str, pipe_stdout: bool = False, **extra: str) -> tuple[str, str, int]:
    """What the terminal got, what a pipe on standard output got, and the exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        stdin=slave,
        stdout=subprocess.PIPE if pipe_stdout else slave,
        stderr=slave,
        env=environment(TERM="xterm-256color", COLUMNS="100", LINES="30", **extra),
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    piped = process.stdout.read().decode() if process.stdout else ""
    if process.stdout:
        process.stdout.close()
    return shown.decode(), piped, process.wait(30)


def test_words_and_a_status_line() -> None:
    shown, _, code = on_terminal("stream", "fake:steps=3,silent=1", FAKE_WORDS="[red]go\x1b]0;title\x07al")
    assert code == 0
    plain = CONTROL.sub("", shown)
    assert "00:00:00  [red]goal" in plain
    assert "·" in plain
    assert "812 tokens cached" in plain
    assert "74% video" in plain
    assert "4.0x real time" in plain
    assert "\x1b]0;" not in shown
    assert plain.splitlines()[-1].startswith("3 steps")
    assert shown.endswith("\n")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_pipe_gets_plain_words_while_the_terminal_has_the_status() -> None:
    shown, piped, code = on_terminal("stream", "fake:steps=2", pipe_stdout=True, FAKE_WORDS="goal")
    assert code == 0
    assert piped == "[00:00:00] goal\n[00:00:01] goal\n"
    assert "tokens cached" in shown
    assert "goal" not in shown


def test_json_on_a_terminal_is_json_only_on_stdout() -> None:
    shown, _, _ = on_terminal("stream", "fake:steps=2", "--json", "--quiet")
    assert all(line.startswith('{"type"') for line in shown.splitlines())


def test_errors_are_red_unless_no_color() -> None:
    shown, _, code = on_terminal("stream", "nofile.mp4")
    assert code == 1
    assert "\x1b[1;31merror: no such file: nofile.mp4" in shown
    shown, _, _ = on_terminal("stream", "nofile.mp4", NO_COLOR="1")
    assert "31m" not in shown
    assert "error: no such file" in shown
