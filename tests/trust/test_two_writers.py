"""Two at once who would write the same: the second is refused, with who has it, and nothing is touched."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.trust.forked import Svlm
from tests.trust.streams import LIVE, SMALL, STATE, run, told

# svlm stream


def wait_for(path: Path, stream: Svlm) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_text().count('"step"') < 2:
        assert stream.process.is_alive(), stream.talk
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory):
    """A stream that goes on, resumed from one state and saving to another; and its folder."""
    folder = tmp_path_factory.mktemp("streaming")
    first = Svlm(["stream", LIVE, *SMALL, "--duration=1", f"--save-state={folder / 'old'}"], folder / "log")
    assert first.wait() == 0, first.talk
    (folder / "link.vtt").symlink_to("x.vtt")
    (folder / "link").symlink_to(folder)
    stream = run(folder, "--pace=realtime", f"--resume={folder / 'old'}", f"--save-state={folder / STATE}")
    wait_for(folder / "x.jsonl", stream)
    yield folder, stream
    stream.signal(signal.SIGKILL)
    stream.wait()


@pytest.mark.parametrize(
    ("option", "name", "what"),
    [
        ("--out", "x.vtt", "the output"),
        ("--out", "link.vtt", "the output"),
        ("--out", "link/x.jsonl", "the output"),
        ("--trace", "trace", "the trace"),
        ("--save-state", STATE, "the state"),
        ("--resume", "old", "the state"),
        ("--out", "trace.jsonl", "the output"),
    ],
)
def test_a_second_stream_is_refused_at_once(streaming, tally, option: str, name: str, what: str) -> None:
    folder, first = streaming
    if name == "trace.jsonl":
        (folder / name).symlink_to("trace")
    names = sorted(path.name for path in folder.iterdir())
    mine = folder.parent / f"{option[2:]}-{name.replace('/', '-')}"
    mine.mkdir()
    second = Svlm(
        ["stream", LIVE, *SMALL, "--model=nowhere", f"{option}={folder / name}", f"--out={mine / 'y.vtt'}"],
        mine / "log",
    )
    assert second.wait() == 1
    [line] = second.talk.splitlines()
    assert line.startswith(f"error: {what} {folder / name} is being written by process {first.pid} ")
    assert [path.name for path in mine.iterdir()] == ["log"]
    assert names == sorted(path.name for path in folder.iterdir())
    tally("two streams with one output, trace or state: the second is refused", 1)


def test_the_first_stream_is_none_the_worse(streaming) -> None:
    folder, first = streaming
    first.signal(signal.SIGINT)
    assert first.wait() == 130, first.talk
    indices = [step["index"] for step in told(folder)["x.jsonl"]]
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    assert json.loads((folder / "x.jsonl").read_text().splitlines()[-1])["type"] == "end"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
