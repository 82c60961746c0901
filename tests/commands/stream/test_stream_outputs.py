"""The outputs of ``svlm stream`` when things go wrong: failing starts, full disks, signals, kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import webvtt

from svlm_cli.claims import claim
from tests.commands.running import command, environment, error_line, svlm
from tests.strict_srt import parse_srt


def test_an_existing_output_survives_a_failing_start(svlm_here, tmp_path: Path) -> None:
    path = tmp_path / "x.vtt"
    path.write_text("precious")
    for arguments in (["fake:", "--model", "missing"], ["fake:fail=0"], ["nofile"], ["fake:", "--fps", "3"]):
        assert svlm_here("stream", *arguments, "--out", str(path)).returncode in {1, 2}
        assert path.read_text() == "precious"
        assert os.listdir(tmp_path) == ["x.vtt"]


def test_an_output_that_is_there_is_kept_beside_unless_told_otherwise(svlm_here, tmp_path: Path) -> None:
    path, trace = tmp_path / "x.vtt", tmp_path / "trace"
    for file in (path, trace):
        file.write_text("precious")
    arguments = ["stream", "fake:", "--cues=second", "--out", str(path), "--trace", str(trace)]
    told = [line for line in svlm_here(*arguments).stderr.splitlines() if line.startswith("warning")]
    kept = "was there already: it is kept as"
    assert told == [
        f"warning at 00:00:00: {path} {kept} x.vtt.1 (--overwrite replaces it)",
        f"warning at 00:00:00: {trace} {kept} trace.1 (--overwrite replaces it)",
    ]
    assert (tmp_path / "x.vtt.1").read_text() == (tmp_path / "trace.1").read_text() == "precious"
    events = [json.loads(line) for line in svlm_here(*arguments, "--json").stdout.splitlines()]
    messages = [event["message"] for event in events if event["type"] == "warning"]
    assert [message.rpartition("kept as ")[2].split()[0] for message in messages] == ["x.vtt.2", "trace.2"]
    assert "warning" not in svlm_here(*arguments, "--overwrite").stderr
    assert sorted(os.listdir(tmp_path)) == ["trace", "trace.1", "trace.2", "x.vtt", "x.vtt.1", "x.vtt.2"]
    assert len(webvtt.read(str(path))) == 3


@pytest.mark.parametrize("option", ["--out", "--trace", "--save-state", "--resume"])
def test_what_somebody_else_writes_is_refused_before_a_model_is_opened(tmp_path: Path, option: str) -> None:
    path = tmp_path / "x.vtt"
    # A state is written over states and empty files alone.
    precious = "" if option == "--save-state" else "precious"
    path.write_text(precious)
    (tmp_path / "link.vtt").symlink_to(path)
    for name in ("x.vtt", "link.vtt"):
        with claim(path, "it"):
            done = svlm("stream", "fake:", "--model", "missing", option, str(tmp_path / name))
        assert done.returncode == 1
        assert f"is being written by process {os.getpid()} (" in error_line(done)
    assert path.read_text() == precious
    assert sorted(os.listdir(tmp_path)) == ["link.vtt", "x.vtt"]


def test_what_is_no_ordinary_file_holds_no_state(svlm_here, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "full").symlink_to("/dev/full")
    for name in ("pipe", "full"):
        done = svlm_here("stream", "fake:", "--save-state", str(tmp_path / name))
        assert done.returncode == 1
        assert "no ordinary file" in error_line(done)
    assert sorted(os.listdir(tmp_path)) == ["full", "pipe"]


def test_an_empty_state_is_no_ctrl_c_and_leftovers_beside_it_are_cleared(svlm_here, tmp_path: Path) -> None:
    (tmp_path / "s.svlm").write_text("")
    (tmp_path / ".s.0123abcd.svlm").write_text("half a state")
    done = svlm_here("stream", "fake:", "--resume", str(tmp_path / "s.svlm"))
    assert done.returncode == 1
    assert "not a state" in error_line(done)
    assert os.listdir(tmp_path) == ["s.svlm"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_named_in_the_summary(tmp_path: Path) -> None:
    (tmp_path / "full.srt").symlink_to("/dev/full")
    outputs = ["--cues=second", "--out", str(tmp_path / "full.srt"), "--out", str(tmp_path / "x.vtt")]
    done = svlm("stream", "fake:", *outputs)
    assert done.returncode == 1
    assert "full.srt (No space left on device)" in done.stderr.splitlines()[-1]
    assert len(webvtt.read(str(tmp_path / "x.vtt"))) == 3
    with open("/dev/full", "w") as full:
        broken = subprocess.run(
            command("stream", "fake:"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            check=False,
        )
    assert broken.returncode == 1
    assert "standard output" in error_line(broken)


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    out = tmp_path / "x.vtt"
    process = subprocess.Popen(
        command("stream", "fake:steps=1000000", "--json", "--out", str(out)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout.readline().startswith(b'{"type": "start"')
    process.stdout.close()
    talk = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(30) == 0
    assert "error" not in talk
    assert "Exception" not in talk
    assert len(webvtt.read(str(out))) >= 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_stream_leaves_whole_outputs(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    vtt, jsonl = tmp_path / "x.vtt", tmp_path / "x.jsonl"
    process = subprocess.Popen(
        command(
            "stream", "fake:steps=1000000,pause=0.01", "--cues=second", "--out", str(vtt), "--out", str(jsonl)
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    for _ in range(3):
        assert process.stdout.readline().startswith("[00:00:")
    process.send_signal(number)
    words, talk = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in talk
    assert talk.splitlines()[-2].startswith("stopped after ")
    assert talk.splitlines()[-1].startswith(f"{3 + len(words.splitlines())} steps")
    events = [json.loads(line)["type"] for line in jsonl.read_text().splitlines()]
    assert events == ["start", *["step"] * (3 + len(words.splitlines())), "end"]
    assert len(webvtt.read(str(vtt))) == len(events) - 2


def test_outputs_are_valid_after_sigkill_at_any_moment(tmp_path: Path) -> None:
    seed = random.Random(7)
    outputs = [tmp_path / f"x.{suffix}" for suffix in ("vtt", "srt", "jsonl")]
    for _ in range(6):
        process = subprocess.Popen(
            command(
                "stream",
                "fake:steps=1000000",
                "--quiet",
                "--cues=second",
                "--overwrite",
                *(f"--out={path}" for path in outputs),
            ),
            stdout=subprocess.PIPE,
            env=environment(),
        )
        process.stdout.readline()
        deadline = time.monotonic() + seed.uniform(0, 0.15)
        while time.monotonic() < deadline:
            os.read(process.stdout.fileno(), 65536)
        process.kill()
        process.wait()
        process.stdout.close()
        num_vtt = len(webvtt.read(str(outputs[0])))
        num_srt = len(parse_srt(outputs[1].read_text()))
        num_lines = len([json.loads(line) for line in outputs[2].read_text().splitlines()])
        assert num_vtt >= 1
        assert 0 <= num_vtt - num_srt <= 1
        assert 0 <= num_srt - (num_lines - 1) <= 1


def test_talk_that_cannot_be_written_does_not_end_the_work() -> None:
    line = " ".join(command("stream", "fake:steps=2"))
    redirects = ["2>&-", "2> >(true)"] + (["2>/dev/full"] if os.path.exists("/dev/full") else [])
    for redirect in redirects:
        done = subprocess.run(
            ["bash", "-c", f"{line} {redirect}"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            check=False,
        )
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == 2


def test_a_closed_standard_output_is_no_output(tmp_path: Path) -> None:
    line = " ".join(command("stream", "fake:steps=2", "--out", str(tmp_path / "x.vtt")))
    done = subprocess.run(
        ["bash", "-c", f"{line} >&-"], stderr=subprocess.PIPE, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(webvtt.read(str(tmp_path / "x.vtt"))) == 2


def test_what_a_stream_reads_is_not_written_over(svlm_here, tmp_path: Path) -> None:
    path = tmp_path / "read.jsonl"
    path.write_text("1.0 Who scored?\n")
    for read, written in (
        ("--ask-file", "--out"),
        ("--ask-file", "--trace"),
        ("--ask-file", "--save-state"),
        ("--resume", "--out"),
        ("--resume", "--trace"),
    ):
        done = svlm_here("stream", "fake:", read, str(path), written, str(path), "--overwrite")
        assert done.returncode == 2
        assert "is the same file as the" in error_line(done)
        assert path.read_text() == "1.0 Who scored?\n"
        assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "content",
    [b"precious notes of somebody", b"\x40" + bytes(7) + b'{"__metadata__":{"format":"pt"},"weight":{}}'],
)
def test_a_state_takes_the_place_of_states_alone(svlm_here, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    done = svlm_here("stream", "fake:", "--save-state", str(path))
    assert done.returncode == 1
    assert "is no state" in error_line(done)
    assert path.read_bytes() == content
    path.write_text("")
    for _ in range(2):
        assert svlm_here("stream", "fake:", "--save-state", str(path)).returncode == 0
