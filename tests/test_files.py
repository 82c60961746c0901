"""Files that are whole, claims that end with their process, text that can be stored and shown."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from svlm_cli.claims import Claim, claim, claimed
from svlm_cli.errors import OutputError, SourceError, boundary
from svlm_cli.files import append_line, put_aside, remove_partials, whole_file
from svlm_cli.text import all_encodable, encodable, visible

HOLD = """
import sys, pathlib, time
from svlm_cli.claims import claim
held = claim(pathlib.Path(sys.argv[1]), "it")
print("held", flush=True)
time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_claim_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "words.vtt"
    holder = hold(path)
    with pytest.raises(OutputError, match=f"the output is being written by process {holder.pid} "):
        claim(path, "the output")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with claim(path, "the output"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_claim_holds_within_a_process_and_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Claim(tmp_path / "real" / "out"), pytest.raises(BlockingIOError):
        Claim(tmp_path / "link" / "out")
    with claimed(tmp_path / "a" / "b" / "out") as is_mine:
        assert is_mine
        with claimed(tmp_path / "a" / "b" / "out", lambda: True) as is_mine_too:
            assert not is_mine_too


def test_a_long_wait_for_a_claim_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("svlm_cli.claims._TELL_SECONDS", 0.0)
    asked = iter([False, False, False, True])
    with claimed(tmp_path / "out"), claimed(tmp_path / "out", lambda: next(asked)) as is_mine:
        assert not is_mine
    [line] = caplog.messages
    assert line.startswith(f"out: waiting for process {os.getpid()} ")


def test_a_forked_child_does_not_keep_a_claim(tmp_path: Path) -> None:
    held = Claim(tmp_path / "out")
    child = os.fork()
    if child == 0:
        signal.pause()
    held.release()
    try:
        with Claim(tmp_path / "out"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_whole_file_replaces_files_only(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with whole_file(tmp_path / "link") as partial:
        partial.write_text("after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no ordinary file"), whole_file(tmp_path / "pipe"):
        pytest.fail("it must not be begun")
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link", "pipe"}


def test_partials_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "[a]*.svlm"
    for name in (".[a]*.0123abcd.svlm", ".[b]*.0123abcd.svlm", ".[a]*.0123abcd.part", "[a]*.svlm"):
        (tmp_path / name).write_text("")
    remove_partials(path)
    assert {each.name for each in tmp_path.iterdir()} == {
        ".[b]*.0123abcd.svlm",
        ".[a]*.0123abcd.part",
        "[a]*.svlm",
    }


def test_a_line_goes_behind_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines"
    append_line(path, b"a\n")
    for torn in (b"", b"half", bytes(200_000), b"\xc3"):
        with path.open("ab") as file:
            file.write(torn)
        append_line(path, b"b" * 70_000 + b"\n")
    assert path.read_bytes() == b"a\n" + 4 * (b"b" * 70_000 + b"\n")


def test_a_line_that_does_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_line(tmp_path / "lines", b"a\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:4]))
    with pytest.raises(OSError, match="No space left"):
        append_line(tmp_path / "lines", b"too long\n")
    assert (tmp_path / "lines").read_bytes() == b"a\n"


def test_files_put_aside_keep_what_was_put_aside_before(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / "words.vtt").write_text(f"run {number}")
        assert put_aside(tmp_path / "words.vtt") == tmp_path / f"words.vtt.{number}"
    assert (tmp_path / "words.vtt.2").read_text() == "run 2"


def test_any_text_can_be_stored_and_shown() -> None:
    dice = random.Random(7)
    for _ in range(300):
        text = "".join(chr(dice.choice((dice.randrange(0x300), dice.randrange(0x110000)))) for _ in range(20))
        encodable(text).encode()
        shown = visible(text)
        shown.encode()
        bad = {letter for letter in shown if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")}
        assert bad <= {"\n", "\t"}
        assert visible(shown) == shown
    assert visible("\x1b]0;owned\x07 ab\u202ecd") == "\\x1b]0;owned\\x07 ab\\u202ecd"
    assert encodable("a\ud83db") == "a\ufffdb"
    assert all_encodable({"\udcff": ["\ud83d", 1, {"a": None}]}) == {"\ufffd": ["\ufffd", 1, {"a": None}]}


def test_a_boundary_turns_what_a_library_raises_into_an_error_of_ours() -> None:
    undecodable = UnicodeDecodeError("utf-8", b"", 0, 1, "invalid start byte")
    for error in (IndexError("x\ny"), AssertionError(), OSError(5, "I/O"), undecodable):
        with pytest.raises(SourceError, match=r"^reading it: ."), boundary("reading it", SourceError):
            raise error
    for kept in (OutputError("ours"), MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(kept)), boundary("reading it", SourceError):
            raise kept
