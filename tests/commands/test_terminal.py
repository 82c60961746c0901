"""What a person at a terminal sees, through a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping

from tests.commands.running import command, environment

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    *arguments: str,
    columns: int = 160,
    pipe_stdout: bool = False,
    typed: Mapping[str, bytes] | None = None,
    **extra: str,
) -> tuple[str, str, int]:
    """What the terminal got, what a pipe on standard output got, and the exit code.

    Args:
        arguments: of ``svlm``.
        columns: of the terminal.
        pipe_stdout: standard output is no terminal.
        typed: what is typed once something has been shown.
        extra: environment.
    """
    master, slave = pty.openpty()
    waiting = dict(typed or {})
    process = subprocess.Popen(
        command(*arguments),
        stdin=slave,
        stdout=subprocess.PIPE if pipe_stdout else slave,
        stderr=slave,
        env=environment(TERM="xterm-256color", COLUMNS=str(columns), LINES="30", **extra),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C reaches it as from a keyboard
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
        for text in [text for text in waiting if text.encode() in shown]:
            os.write(master, waiting.pop(text))
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
    assert "812 tokens" in plain
    assert "▓▓▓ sink 100 ▒▒▒ text 114 ░░░░░░░░░░░░░░░░░░ frames 598" in plain
    assert "4.0x real time" in plain
    assert "\x1b]0;" not in shown
    assert plain.splitlines()[-1].startswith("3 steps")
    assert shown.endswith("\n")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_pipe_gets_plain_words_while_the_terminal_has_the_status() -> None:
    shown, piped, code = on_terminal("stream", "fake:steps=2", pipe_stdout=True, FAKE_WORDS="goal")
    assert code == 0
    assert piped == "[00:00:00] goal\n[00:00:01] goal\n"
    assert "812 tokens" in shown
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


def test_lag_and_skipped_seconds_at_realtime_pace() -> None:
    shown, _, code = on_terminal("stream", "fake:steps=4,lag=1.5,skip=7,live=1")
    assert code == 0
    plain = CONTROL.sub("", shown)
    assert "lag 1.5 s" in plain
    assert "7 s skipped" in plain
    shown, _, _ = on_terminal("stream", "fake:steps=2")
    assert "lag" not in shown


def test_a_question_is_typed_shown_corrected_and_answered() -> None:
    typed = {"00:00:01": b"who scored, and \x15who\xc3\xa9x\x7f ", "whoé ": b"won?\r"}
    shown, _, code = on_terminal("stream", "fake:steps=60,pause=0.05", "--ask", typed=typed)
    assert code == 0
    plain = CONTROL.sub("", shown)
    assert "ask: who scored, and" in plain or "ask: whoé" in plain
    assert "whoé won? WHOÉ WON?" in plain


def test_keys_that_are_no_letters_ask_nothing() -> None:
    typed = {"00:00:01": b"\x1b[A\x1b[D\r\r \r\x01"}
    shown, _, code = on_terminal("stream", "fake:steps=20,pause=0.05", "--ask", typed=typed)
    assert code == 0
    assert "(no answer)" not in shown


def test_ctrl_c_once_ends_cleanly_and_gives_the_terminal_back() -> None:
    shown, _, code = on_terminal(
        "stream", "fake:steps=100000,pause=0.05", "--ask", typed={"00:00:02": b"\x03"}
    )
    assert code == 130
    plain = CONTROL.sub("", shown)
    assert "stopping after this step" in plain
    assert "stopped after " in plain
    assert "100000" not in plain
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_ctrl_c_twice_ends_at_once() -> None:
    """The second one does not wait for a step that takes for ever."""
    typed = {"00:00:00": b"\x03", "stopping after this step": b"\x03"}
    shown, _, code = on_terminal("stream", "fake:steps=2,hang=1", typed=typed)
    assert code == 130
    assert "stopped after" not in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_model_text_cannot_drive_the_terminal() -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07\x9b31mred\r\b<script>alert(1)</script>"
    shown, _, code = on_terminal("stream", "fake:steps=2", FAKE_WORDS=hostile)
    assert code == 0
    assert "\x1b[2J" not in shown
    assert "\x1b]0;" not in shown
    assert "owned" not in shown
    assert "red <script>alert(1)</script>" in CONTROL.sub("", shown)


def test_the_status_fits_eighty_columns() -> None:
    arguments = ("stream", "fake:steps=4,lag=1.5,skip=17,live=1")
    shown, _, _ = on_terminal(*arguments, columns=80)
    plain = CONTROL.sub("", shown)
    assert "00:00:04 0.25/0.25 s 4.0x lag 1.5 skip 17 812 tokens ▓▒▒░░░░░░░░░" in plain


def test_the_end_of_a_long_question_is_seen() -> None:
    typed = {"00:00:01": b"x" * 200 + b" the end"}
    shown, _, _ = on_terminal("stream", "fake:steps=40,pause=0.05", "--ask", columns=80, typed=typed)
    assert re.search(r"ask: x{50,70} the end_", CONTROL.sub("", shown))
