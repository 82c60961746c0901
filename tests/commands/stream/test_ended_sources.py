"""A source that ended where a saved state stands: nothing is new, nothing is lost, nothing is wrong."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import av
import pytest

from svlm_cli.cli import run
from tests.media.live_servers import file_server

SMALL = ("--threads=1", "--max-new-tokens=4", "--vision-window=2", "--rounds=2", "--text-window=9")
STATE = ("--save-state", "s.svlm", "--resume", "auto", "--reconnect-seconds", "inf", "--pace", "max")
KEPT = (*STATE, "--out", "x.vtt", "--out", "x.jsonl")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def playlist(video: Path, folder: Path) -> None:
    """A broadcast that has ended: ``live.m3u8`` and its segments, as ffmpeg cuts them."""
    with (
        av.open(str(video)) as source,
        av.open(
            str(folder / "live.m3u8"), "w", format="hls", options={"hls_time": "1", "hls_list_size": "0"}
        ) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)


@pytest.mark.parametrize("kind", ["file", "playlist", "match", "channels"])
def test_every_later_start_ends_well_and_leaves_the_outputs(kind, folder: Path, make_video, capsys) -> None:
    seconds = random.Random(kind).choice([2.0, 2.5, 3.0])
    video = make_video(folder / "a.mp4", seconds)
    server = None
    sources = {
        "file": ["a.mp4"],
        "match": ["arena:soccer,seed=9,minutes=0.05"],
        "channels": ["a.mp4", "b.mp4"],
    }
    kept = KEPT
    if kind == "channels":
        shutil.copy(video, folder / "b.mp4")
        kept = tuple(each.replace("x.", "{name}.").replace("s.svlm", "{name}.svlm") for each in KEPT)
    if kind == "playlist":
        playlist(video, folder)
        server = file_server(folder)
        sources[kind] = [f"http://127.0.0.1:{server.port}/live.m3u8"]
    try:
        assert run(["stream", *sources[kind], *SMALL, *kept]) == 0
        before = {path: path.read_bytes() for path in [*folder.glob("*.vtt"), *folder.glob("*.jsonl")]}
        assert len(before) == 2 * len(sources[kind])
        capsys.readouterr()
        for _ in range(2):
            assert run(["stream", *sources[kind], *SMALL, *kept]) == 0
            assert capsys.readouterr().err.count("nothing new behind 00:00:0") == len(sources[kind])
            assert {path: path.read_bytes() for path in before} == before
    finally:
        if server is not None:
            server.stop()


@pytest.mark.parametrize("kind", ["one", "channels"])
def test_what_was_torn_removed_or_named_anew_is_mended_and_told(kind, folder, make_video, capsys) -> None:
    make_video(folder / "a.mp4", 3.0)
    kept, stem, sources = [*KEPT, "--out", "x.srt"], "x", ["a.mp4"]
    if kind == "channels":
        shutil.copy(folder / "a.mp4", folder / "b.mp4")
        kept = [each.replace("x.", "{name}.").replace("s.svlm", "{name}.svlm") for each in kept]
        stem, sources = "a", ["a.mp4", "b.mp4"]
    assert run(["stream", *sources, *SMALL, *kept]) == 0
    before = {path: path.read_bytes() for path in folder.glob("*.*t") if path.suffix in (".vtt", ".srt")}
    vtt, events = folder / f"{stem}.vtt", folder / f"{stem}.jsonl"
    vtt.write_bytes(vtt.read_bytes()[:-5])
    lines = events.read_bytes()
    events.write_bytes(lines[:-9])
    (folder / f"{stem}.srt").unlink()
    kept += ["--out", ("x" if kind == "one" else "{name}") + ".ttml"]
    capsys.readouterr()
    assert run(["stream", *sources, *SMALL, *kept]) == 0
    told = capsys.readouterr().err
    for sentence in (f"{stem}.jsonl had a torn end", f"{stem}.srt is gone", f"{stem}.ttml is no output"):
        assert told.count(sentence) == 1
    assert told.count("last words") >= 1
    assert vtt.read_bytes() == before[vtt]
    mended = [json.loads(line) for line in events.read_text().splitlines()]
    assert [each["type"] for each in mended if each["type"] == "step"] == ["step"] * lines.count(b'"step"')
    assert mended[-1]["type"] == "end"
    after = {path: path.read_bytes() for path in folder.iterdir() if path.suffix != ".svlm"}
    assert run(["stream", *sources, *SMALL, *kept]) == 0
    told = capsys.readouterr().err
    assert told.count("warning") == told.count("nothing new behind") == len(sources)
    assert {path: path.read_bytes() for path in after} == after


def test_words_behind_the_state_stay_when_the_source_ended_meanwhile(
    folder: Path, make_video, capsys
) -> None:
    """A process is killed behind its last state, and the broadcast ends before it starts again."""
    make_video(folder / "a.mp4", 2.0)
    assert run(["stream", "a.mp4", *SMALL, *KEPT]) == 0
    with Path("x.jsonl").open("a") as file:
        file.write(
            json.dumps({"type": "step", "start_seconds": 2.0, "end_seconds": 3.0, "text": "more"}) + "\n"
        )
    before = Path("x.jsonl").read_bytes()
    assert run(["stream", "a.mp4", *SMALL, *KEPT]) == 0
    assert Path("x.jsonl").read_bytes() == before


def test_a_start_behind_the_end_and_another_file_are_errors(folder: Path, make_video, capsys) -> None:
    make_video(folder / "a.mp4", 5.0)
    assert run(["stream", "a.mp4", *SMALL, "--start", "6"]) == 1
    assert run(["stream", "a.mp4", *SMALL, *STATE]) == 0
    make_video(folder / "a.mp4", 2.0)
    capsys.readouterr()
    assert run(["stream", "a.mp4", *SMALL, *STATE]) == 1
    told = capsys.readouterr().err
    assert "there is nothing at 5 s" in told
    assert "start earlier" not in told
    assert "another source than that of the saved state" in told
