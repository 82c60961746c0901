"""What goes on beside a stream, from the command line: questions, the page, the state."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from svlm_cli.commands.stream.asking import MOST_LINE_BYTES, lines
from tests.commands.running import command, environment, error_line, svlm
from tests.commands.test_terminal import on_terminal

ENDLESS = "fake:steps=1000000,pause=0.03"


@contextmanager
def running(*arguments: str, **extra: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An endless stream with a page, and the page's address."""
    process = subprocess.Popen(
        command("stream", ENDLESS, "--serve", "127.0.0.1:0", *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**extra),
    )
    assert process.stderr is not None
    try:
        address = ""
        while not address:
            found = re.match(r"page: http://([\d.:]+)/$", process.stderr.readline())
            address = found[1] if found else ""
        yield process, address
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def request(address: str, method: str, path: str, question: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=20)
    body = json.dumps({"question": question}) if question else None
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    found = response.status, response.read() if path != "/events" else response.read(400)
    connection.close()
    return found


def test_a_page_is_served_asked_and_closed_with_the_stream(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    with running("--out", str(out)) as (process, address):
        assert request(address, "GET", "/")[0] == 200
        assert request(address, "POST", "/ask", "who?")[0] == 202
        assert b'"type": "start"' in request(address, "GET", "/events")[1]
        while not out.exists() or '"answer"' not in out.read_text():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        with pytest.raises(OSError, match="refused"):
            request(address, "GET", "/")
    events = [json.loads(line) for line in out.read_text().splitlines()]
    answer = next(event for event in events if event["type"] == "answer")
    assert (answer["question"], answer["text"]) == ("who?", "WHO?")
    assert events[-1]["type"] == "end"


def test_a_page_stays_for_who_still_reads_it() -> None:
    typed = {"the page stays until Ctrl-C": b"\x03"}
    shown, _, code = on_terminal("stream", "fake:steps=2", "--serve", "0", typed=typed)
    assert code == 0
    assert "2 steps" in shown


def test_without_a_terminal_nothing_waits(svlm_here) -> None:
    done = svlm_here("stream", "fake:steps=2", "--serve", "127.0.0.1:0")
    assert done.returncode == 0
    assert "page: http://127.0.0.1:" in done.stderr


def test_off_loopback_the_token_is_said_or_chosen() -> None:
    done = svlm("stream", "fake:steps=2", "--serve", "0.0.0.0:0")
    assert re.search(r"page: http://\S+:\d+/\?token=\S{16,}", done.stderr)
    silent = svlm("stream", "fake:steps=2", "--serve", "0.0.0.0:0", "--quiet")
    assert silent.returncode == 2
    assert "SVLM_PAGE_TOKEN" in error_line(silent)
    chosen = svlm("stream", "fake:steps=2", "--serve", "0.0.0.0:0", SVLM_PAGE_TOKEN="chosen")
    assert chosen.returncode == 0
    assert "chosen" not in chosen.stderr + chosen.stdout
    assert "token=" not in chosen.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--serve", "nonsense"], 2, "HOST:PORT"),
        (["--serve", "256.1.1.1:80"], 1, "cannot serve on 256.1.1.1:80"),
        (["--ask-file", "nofile"], 2, "cannot read nofile"),
        (["--save-state", "nofolder/x.svlm"], 1, "mkdir -p"),
        (["--save-state", "x.vtt", "--out", "x.vtt"], 2, "the same file"),
        (["--save-state", "x.svlm", "--save-every", "0"], 2, "--save-every"),
        (["--resume", "nofile.svlm"], 1, "no such file: nofile.svlm"),
        (["--stall-seconds", "0"], 2, "--stall-seconds"),
        (["--reconnect-seconds", "-1"], 2, "--reconnect-seconds"),
        (["--on-lag", "panic"], 2, "--on-lag"),
        (["--max-answer-tokens", "0"], 2, "--max-answer-tokens"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    svlm_here, arguments: list[str], code: int, expected: str
) -> None:
    done = svlm_here("stream", "fake:", *arguments)
    assert done.returncode == code, done.stderr
    assert expected in error_line(done)


def test_standard_input_is_video_or_questions(svlm_here) -> None:
    done = svlm_here("stream", "-", "--ask")
    assert done.returncode == 2
    assert "standard input" in error_line(done)


def test_lines_of_a_pipe_are_questions_whatever_bytes_they_are() -> None:
    done = subprocess.run(
        command("stream", "fake:steps=40,pause=0.02", "--ask"),
        input=b"who?\n\nwhere is caf\xe9?\n",
        capture_output=True,
        env=environment(FAKE_WORDS=""),
        timeout=60,
        check=True,
    )
    lines = done.stdout.decode().splitlines()
    assert [line[11:] for line in lines] == ["who? -> WHO?", "where is caf\ufffd? -> WHERE IS CAF\ufffd?"]
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_stream_ends_while_somebody_may_still_ask(is_stopped: bool) -> None:
    """The other end of the pipe stays open: a thread waits for it to the last."""
    with subprocess.Popen(
        command("stream", "fake:steps=2000,pause=0.02" if is_stopped else "fake:steps=5", "--ask"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        if is_stopped:
            process.send_signal(signal.SIGINT)
        told = process.stderr.read().decode()
        assert process.wait(60) == (130 if is_stopped else 0)
    assert "Fatal" not in told
    assert told.splitlines()[-1].count("real time") == 1


def test_a_line_without_end_is_one_question() -> None:
    endless = b"x" * (3 * MOST_LINE_BYTES) + b"\nnext\nlast"
    assert [len(line) for line in lines(io.BytesIO(endless))] == [MOST_LINE_BYTES, 5, 4]


def test_questions_of_a_file_come_in_their_second(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("2 who?\n0.5 where?\n2.5 when?\n")
    done = svlm("stream", "fake:steps=5", "--ask-file", str(tmp_path / "q.txt"), FAKE_WORDS="")
    assert done.stdout.splitlines() == [
        "[00:00:00] where? -> WHERE?",
        "[00:00:02] who? -> WHO?",
        "[00:00:03] when? -> WHEN?",
    ]
    as_json = svlm("stream", "fake:steps=5", "--ask-file", str(tmp_path / "q.txt"), "--json", "--quiet")
    kinds = [json.loads(line)["type"] for line in as_json.stdout.splitlines()]
    assert kinds == ["start", "answer", "step", "step", "answer", "step", "answer", "step", "step", "end"]


def test_live_sources_keep_the_pace_of_the_clock_and_files_do_not(svlm_here) -> None:
    for source, arguments, pace in (
        ("fake:", [], "max"),
        ("fake:live=1", [], "realtime"),
        ("fake:live=1", ["--pace", "max"], "max"),
        ("fake:", ["--pace", "realtime"], "realtime"),
    ):
        done = svlm_here("stream", source, *arguments, "--json", "--quiet")
        assert json.loads(done.stdout.splitlines()[0])["pace"] == pace
