"""``svlm stream`` with several sources: each channel writes what it writes alone; who fails is named."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from svlm_cli.cli import run
from svlm_cli.commands.options import ModelChoice
from svlm_cli.commands.stream.asking import lines as typed_lines
from svlm_cli.commands.stream.channel_file import ChannelBook, ChannelOptions, named_channels
from svlm_cli.errors import UsageError

SMALL = (
    "--threads",
    "1",
    "--max-new-tokens",
    "4",
    "--vision-window",
    "2",
    "--rounds",
    "2",
    "--text-window",
    "9",
)
GAMES = ["arena:soccer,seed=3", "arena:soccer,seed=4,minutes=1"]
NAMES = ["arena-soccer-seed-3", "arena-soccer-seed-4-minutes-1"]


def test_channels_write_what_each_writes_alone_and_go_on(tmp_path, capsys) -> None:
    """Captions and events of both, also where they were stopped and resumed; a source that is not there."""
    air = tmp_path / "air"
    air.mkdir()
    for game, name in zip(GAMES, NAMES, strict=True):
        alone = str(tmp_path / f"{name}.vtt")
        assert run(["stream", game, "--duration", "4", *SMALL, "--quiet", "--out", alone]) == 0
    capsys.readouterr()
    kept = ("--out", str(air / "{name}.vtt"), "--save-state", str(air / "{name}.svlm"))
    gone = str(tmp_path / "gone.mp4")
    assert run(["stream", *GAMES, gone, "--duration", "2", *SMALL, "--json", *kept]) == 1
    told = capsys.readouterr()
    events = [json.loads(line) for line in told.out.splitlines()]
    assert {event["channel"] for event in events} == {*NAMES, "gone"}
    for name in NAMES:
        kinds = [event["type"] for event in events if event["channel"] == name]
        assert [kinds[0], kinds[-1], kinds.count("step")] == ["start", "end", 2]
    assert "1 of 3 channels failed: gone" in told.err
    resumed = ("--resume", str(air / "{name}.svlm"))
    assert run(["stream", *GAMES, "--duration", "4", *SMALL, *kept, *resumed]) == 0
    told = capsys.readouterr()
    assert all(line.split("] ")[1].startswith(tuple(NAMES)) for line in told.out.splitlines())
    assert f"{NAMES[1]}: 2 steps" in told.err
    for name in NAMES:
        assert (air / f"{name}.vtt").read_bytes() == (tmp_path / f"{name}.vtt").read_bytes()


def test_what_does_not_go_together(tmp_path, capsys) -> None:
    for options, told in (
        (["--out", str(tmp_path / "x.vtt")], "would both write"),
        (["--save-state", str(tmp_path / "x.svlm")], "would both write"),
        (["--verbose"], "for one source"),
        (["--max-channels", "3"], "add --serve"),
        (["--max-channels", "3", "--serve", "0", "--trace", str(tmp_path / "x.jsonl")], "would share it"),
        (["--graphs", "on"], "for one source"),
    ):
        assert run(["stream", *GAMES, *options]) == 2
        assert told in capsys.readouterr().err
    assert run(["stream", "-", "-"]) == 2
    assert run(["stream", "@x.yaml", "y.mp4"]) == 2
    assert run(["stream", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]) == 1
    assert "no channel could be opened" in capsys.readouterr().err
    assert not list(tmp_path.glob("x*"))


def test_questions_go_to_the_channel_they_name(capsys, monkeypatch) -> None:
    typed = [f"{NAMES[1]}: Who scored?", "And when?", "Team: which?"]

    class Typed:
        def __init__(self, ask, _show, *, by_letter) -> None:
            for line in typed_lines(io.BytesIO("\n".join(typed).encode())):
                ask(line.strip())

        def restore(self) -> None:
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            pass

    monkeypatch.setattr("svlm_cli.commands.stream.asking.Typing", Typed)
    assert (
        run(["stream", *GAMES, "--duration", "4", *SMALL, "--max-answer-tokens", "2", "--ask", "--json"]) == 0
    )
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    asked = [(event["channel"], event["question"]) for event in events if event["type"] == "answer"]
    assert asked == [(NAMES[1], "Who scored?"), (NAMES[1], "And when?"), (NAMES[1], "Team: which?")]


def test_names_come_from_sources_and_are_unique() -> None:
    sources = [
        "a/cup.final.mp4",
        "b/cup.final.mp4",
        "rtsp://u:secret@host/live/1",
        "camera:0",
        "../",
        "日本.mp4",
    ]
    names = [spec.name for spec in named_channels(sources, ChannelOptions())]
    assert names == ["cup.final", "cup.final-2", "1", "camera-0", "channel", "channel-2"]
    assert not any("secret" in name for name in names)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "channels.yaml"
    path.write_text(text)
    return path


def test_a_file_of_channels(tmp_path) -> None:
    """The command line is the base, then defaults, then what a channel says itself."""
    path = written(
        tmp_path,
        """
defaults: {model: m, dtype: bfloat16, fps: 4, deinterlace: off, out: "air/{name}.vtt"}
channels:
  - {name: one, source: a.mp4, title: "Court 1", query: "Say it"}
  - {source: "rtsp://host/two", fps: 8, out: ["{name}.srt", "x/{name}.jsonl"], pace: max, stall_seconds: 3}
""",
    )
    options = ChannelOptions().changed({"greedy": True, "fps": 6.0, "start": 2.0})
    specs, model = ChannelBook(options, ModelChoice(device="cpu"), path).read()
    assert (model.model, model.dtype.value, model.device) == ("m", "bfloat16", "cpu")
    one, two = specs
    assert (one.name, two.name) == ("one", "two")
    assert (one.settings.fps, two.settings.fps) == (4, 8)
    assert one.settings.sampling.greedy
    assert one.settings.start == two.settings.start == 2
    assert (one.settings.title, one.settings.query, two.settings.title) == ("Court 1", "Say it", "")
    assert one.kept.outputs == (Path("air/one.vtt"),)
    assert two.kept.outputs == (Path("two.srt"), Path("x/two.jsonl"))
    assert one.settings.deinterlace.value == "off"
    assert (one.pace, two.pace.value, two.live.stall_seconds) == (None, "max", 3)


def test_every_problem_of_a_file_is_told_at_once(tmp_path) -> None:
    path = written(
        tmp_path,
        """
defaults: {fsp: 4}
channel: 1
channels:
  - {name: one, source: a.mp4, fps: many}
  - {name: one, source: b.mp4, device: cuda}
  - {title: no source}
""",
    )
    with pytest.raises(UsageError) as caught:
        ChannelBook(ChannelOptions(), ModelChoice(), path).read()
    told = str(caught.value)
    for part in (
        "channel: unknown key",
        "defaults.fsp: unknown key, did you mean fps?",
        "channels.0.fps: ",
        "channels.1.device: is of the process",
        "channels.2.source: field required",
        "one is there twice",
    ):
        assert part in told, told


@pytest.mark.parametrize("text", ["", "[]", "channels: []", "channels: {a: 1}", "channels: [", "\x00"])
def test_what_is_no_file_of_channels(tmp_path, text) -> None:
    with pytest.raises(UsageError):
        ChannelBook(ChannelOptions(), ModelChoice(), written(tmp_path, text)).read()
