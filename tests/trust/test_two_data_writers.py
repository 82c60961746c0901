"""Two of fetch, align, chunk or bench at once: the second is refused, with who has it, or waits its turn."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.data.words.transcript import Transcript, write_transcript
from tests.bench import made_data
from tests.data.fake_llm import Llm, serve_llm
from tests.data.loopback import Site, serve
from tests.trust.forked import Svlm
from tests.trust.runs import align_run, words

SHARED = "two runs of fetch or align in one folder: what one is at the other waits for, nothing is done twice"
REFUSED = "two runs of chunk or bench with one --out: the second is refused, and says who has it"


def until(is_so: Callable[[], object], process: Svlm) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.process.is_alive(), process.talk
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refused(second: Svlm, first: Svlm, what: str) -> None:
    assert second.wait() == 1
    [line] = [line for line in second.talk.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {what} is being written by process {first.pid} ")


class Gate:
    """A language model that answers once it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def respond(self, body: dict[str, Any]) -> tuple[int, str]:
        self.opened.wait(120)
        if len(body["messages"]) == 1:
            return 200, "A"
        said = json.loads(body["messages"][1]["content"]).get("sentences")
        if said is None:
            return 200, '{"live_percent": 90}'
        return 200, json.dumps([{"id": each["id"], "action": "keep", "text": each["text"]} for each in said])


@pytest.fixture
def gate() -> Iterator[tuple[Gate, Llm]]:
    made = Gate()
    with serve_llm(Llm(respond=made.respond)) as llm:
        yield made, llm


def test_two_of_fetch(tmp_path: Path, make_video, tally) -> None:
    film = make_video(tmp_path / "film.mp4", seconds=2.0).read_bytes()
    with serve(Site(files={"/a.mp4": film}, bytes_per_second={"/a.mp4": len(film) / 2})) as site:
        command = ["fetch", site.url("/a.mp4"), str(tmp_path / "film.mp4"), "--out", str(tmp_path / "out")]
        both = [Svlm(command, tmp_path / f"log{number}") for number in range(2)]
        assert [each.wait() for each in both] == [0, 0], [each.talk for each in both]
        assert site.served_bytes["/a.mp4"] == 3 * len(film)  # each looks at it, one downloads it
    lines = (tmp_path / "out" / "videos.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == len(lines) == 2
    assert not list((tmp_path / "out").rglob(".*lock"))
    tally(SHARED, 1)


def test_two_of_align(tmp_path: Path, make_video, gate: tuple[Gate, Llm], tally) -> None:
    opener, llm = gate
    run = align_run(tmp_path.resolve(), make_video, llm.address)
    command = list(run.commands[0])
    first = Svlm(command, tmp_path / "log1")
    until(lambda: list(run.folder.rglob(".align/.*.lock")), first)
    second = Svlm(command, tmp_path / "log2")
    opener.opened.set()
    assert [first.wait(), second.wait()] == [0, 0], (first.talk, second.talk)
    assert len(llm.asked) == len({json.dumps(body) for body in llm.asked})
    assert len(list((run.folder / "transcripts").iterdir())) == 3
    tally(SHARED, 1)


def test_two_of_chunk(tmp_path: Path, tally) -> None:
    for number in range(300):
        write_transcript(tmp_path / "said" / f"v{number}.json", Transcript(tuple(words(number, 100))))
    command = ["chunk", str(tmp_path / "said"), "--no-video-check", "--out", str(tmp_path / "set")]
    first = Svlm(command, tmp_path / "log1")
    until(lambda: (tmp_path / "set" / ".lock").exists(), first)
    first.signal(signal.SIGSTOP)  # in the middle, however fast it is
    refused(Svlm([*command, "--split", "0.5"], tmp_path / "log2"), first, f"the data set {tmp_path / 'set'}")
    first.signal(signal.SIGCONT)
    assert first.wait() == 0, first.talk
    report = json.loads((tmp_path / "set" / "report.json").read_text())
    assert [split["num_videos"] for split in report["splits"]] == [294, 6]
    tally(REFUSED, 1)


@pytest.mark.parametrize("part", ["generate", "score"])
def test_two_of_bench(tmp_path: Path, make_video, gate: tuple[Gate, Llm], part: str, tally) -> None:
    opener, llm = gate
    metadata, clips = made_data.metadata(tmp_path)
    given = [str(metadata), "--videos", str(made_data.videos(tmp_path, make_video)), "--api", "m"]
    if part == "score":
        given = [str(made_data.predictions(tmp_path / f"{name}.jsonl", name)) for name in ("ours", "theirs")]
        given += ["--metadata", str(metadata), "--judge", "m"]
    command = ["bench", "commentary", part, *given, "--clips", str(clips), "--base-url", llm.address]
    command += ["--out", str(tmp_path / "out")]
    first = Svlm(command, tmp_path / "log1")
    until(lambda: llm.asked, first)
    refused(Svlm(command, tmp_path / "log2"), first, f"the folder {tmp_path / 'out'}")
    opener.opened.set()
    assert first.wait() == 0, first.talk
    name = "results.jsonl" if part == "generate" else "votes.jsonl"
    lines = (tmp_path / "out" / name).read_text().splitlines()
    assert len(lines) == len(set(lines)) == len(llm.asked)
    tally(REFUSED, 1)
