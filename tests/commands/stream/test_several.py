"""``svlm stream`` with several sources: each channel writes what it writes alone; who fails is named."""

from __future__ import annotations

import fcntl
import io
import json
import os
import random
import re
import threading
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
        (["--resume", str(tmp_path / "x.svlm")], "would both go on from"),
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


def test_files_and_states_that_fail_are_of_one_channel(tmp_path, capsys) -> None:
    """A disk that is full at the first step, a damaged state, one of another stream: the others say all."""
    (tmp_path / "full.vtt").symlink_to("/dev/full")
    (tmp_path / "torn.svlm").write_bytes(b"")
    other = ["stream", GAMES[1], "--duration", "2", "--save-state", str(tmp_path / "other.svlm"), "--quiet"]
    assert run([*other, *SMALL, "--sink", "3"]) == 0
    damaged = bytearray((tmp_path / "other.svlm").read_bytes())
    damaged[-9] ^= 4
    (tmp_path / "torn.svlm").write_bytes(damaged)
    kept = {"out": str(tmp_path / "{name}.vtt"), "save_state": str(tmp_path / "{name}.svlm")}
    entries = [{"name": name, "source": GAMES[0]} for name in ("well", "full", "torn", "other")]
    book = tmp_path / "channels.yaml"
    book.write_text(json.dumps({"defaults": {**kept, "resume": "auto"}, "channels": entries}))
    capsys.readouterr()
    assert run(["stream", f"@{book}", "--duration", "3", *SMALL, "--json"]) == 1
    told = capsys.readouterr()
    events = [json.loads(line) for line in told.out.splitlines()]
    said = {
        name: [each["text"] for each in events if each["channel"] == name and each["type"] == "step"]
        for name in ("well", "full", "torn", "other")
    }
    assert len(said["well"]) == 3
    assert said["full"] == said["well"]
    assert said["torn"] == said["other"] == []
    ends = [each["channel"] for each in events if each["type"] == "end"]
    assert sorted(ends) == ["full", "other", "torn", "well"]
    warned = {each["channel"]: each["message"] for each in events if each["type"] == "warning"}
    assert "goes on without its files" in warned["full"]
    assert "damaged" in warned["torn"]
    assert "was made with something else" in warned["other"]
    assert "3 of 4 channels failed" in told.err
    assert (tmp_path / "torn.svlm").read_bytes() == damaged
    assert not (tmp_path / "torn.vtt").exists()


def test_a_pipe_that_nobody_empties_is_of_one_channel(tmp_path, capsys) -> None:
    """One that is full, one without a reader: the others say all, without a wait."""
    for name in ("full", "alone"):
        os.mkfifo(tmp_path / f"{name}.jsonl")
    reader = os.open(tmp_path / "full.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    helped: list[str] = []

    def help_out() -> None:  # else a build that waits would do so for ever
        helped.append("it waits")
        for name in ("full", "alone"):
            threading.Thread(target=(tmp_path / f"{name}.jsonl").read_bytes, daemon=True).start()

    timer = threading.Timer(40, help_out)
    timer.start()
    entries = [{"name": name, "source": GAMES[0]} for name in ("well", "full", "alone")]
    book = tmp_path / "channels.yaml"
    book.write_text(json.dumps({"defaults": {"out": str(tmp_path / "{name}.jsonl")}, "channels": entries}))
    assert run(["stream", f"@{book}", "--duration", "12", *SMALL, "--json"]) == 1
    timer.cancel()
    assert not helped
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    warned = {each["channel"]: each["message"] for each in events if each["type"] == "warning"}
    assert "whoever reads it does not keep up" in warned["full"]
    assert "nobody reads it" in warned["alone"]
    for name in ("well", "full", "alone"):
        assert sum(each["channel"] == name and each["type"] == "step" for each in events) == 12
    whole = os.read(reader, 1 << 16).splitlines()
    os.close(reader)
    assert [json.loads(line)["type"] for line in whole][:2] == ["start", "step"]
    assert len((tmp_path / "well.jsonl").read_text().splitlines()) == 14


@pytest.mark.parametrize("names", [NAMES, ["cup: final", "cup"], ["a", "a: b"], ["cup", "cup: final: late"]])
def test_questions_go_to_the_channel_they_name(tmp_path, capsys, monkeypatch, names) -> None:
    """Names with a colon too: the longest that is one counts."""
    listed = [{"source": source, "name": name} for source, name in zip(GAMES, names, strict=True)]
    (tmp_path / "channels.yaml").write_text(json.dumps({"channels": listed}))
    typed = [f"{names[1]}: Who scored?", "And when?", "Team: which?", f"{names[0]} : late?"]

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
        run(
            [
                "stream",
                f"@{tmp_path / 'channels.yaml'}",
                *("--duration", "4", *SMALL, "--max-answer-tokens", "2", "--ask", "--json"),
            ]
        )
        == 0
    )
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    asked = [(event["channel"], event["question"]) for event in events if event["type"] == "answer"]
    assert [question for name, question in asked if name == names[1]] == [
        "Who scored?",
        "And when?",
        "Team: which?",
    ]
    assert [question for name, question in asked if name == names[0]] == ["late?"]


def test_names_come_from_sources_and_are_unique() -> None:
    sources = [
        "a/cup.final.mp4",
        "b/cup.final.mp4",
        "rtsp://u:secret@host/live/1",
        "camera:0",
        "../",
        "日本.mp4",
        f"https://host/{'x' * 300}.m3u8",
        f"https://host/{'x' * 300}.mp4",
    ]
    names = [spec.name for spec in named_channels(sources, ChannelOptions())]
    assert names == [
        "cup.final",
        "cup.final-2",
        "1",
        "camera-0",
        "channel",
        "channel-2",
        "x" * 64,
        f"{'x' * 64}-2",
    ]
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


WRONG = {
    "fps: 0": "--fps must be above 0",
    "fps: 3": "must be an even whole number",
    "temperature: -1": "--temperature must be above 0",
    "seed: -1": "seed: input should be greater than or equal to 0",
    "max_height: 0": "max_height: input should be greater than or equal to 1",
    "stall_seconds: 0": "--stall-seconds must be above 0",
    "vision_window: .inf": "vision_window: input should be a finite number",
    "max_channels: 3": "max_channels: is of the process",
    "cors: ['*']": "cors: is of the process",
    "serve: '1'": "serve: is of the process",
    "quantize: int8": "quantize: is of the process",
    "previous_text: '@/none'": "cannot read /none",
    "on_lag: never": "on_lag: input should be",
    "sinks: 4": "sinks: unknown key, did you mean sink?",
}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_an_option_would_not_take_is_told_of_each_channel(tmp_path, seed) -> None:
    """Channels with a mistake each, in any order, well ones between them: named by their numbers."""
    chance = random.Random(seed)
    chosen = [None, None, *chance.sample(sorted(WRONG), 9)]
    chance.shuffle(chosen)
    entries = [
        f"  - {{source: {n}.mp4{'' if wrong is None else ', ' + wrong}}}" for n, wrong in enumerate(chosen)
    ]
    path = written(tmp_path, "\n".join(["channels:", *entries]))
    with pytest.raises(UsageError) as caught:
        ChannelBook(ChannelOptions(), ModelChoice(), path).read()
    problems = str(caught.value).split("; ")
    for number, wrong in enumerate(chosen):
        own = [each for each in problems if re.search(rf"\bchannels\.{number}\b", each)]
        assert len(own) == (wrong is not None), problems
        assert wrong is None or WRONG[wrong] in own[0], own


def test_one_mistake_of_all_is_told_once(tmp_path) -> None:
    path = written(tmp_path, "defaults: {fps: 5}\nchannels: [a, b, {source: c, fps: 2}, d, e, f, g]")
    with pytest.raises(UsageError) as caught:
        ChannelBook(ChannelOptions(), ModelChoice(), path).read()
    assert "channels.0, channels.1, channels.3, channels.4 and 2 more: --fps 5 times" in str(caught.value)
    for text, told in (
        ("device: gpu", "is not one of auto, cpu"),
        ("threads: 0", "greater than or equal to 1"),
    ):
        with pytest.raises(UsageError, match=told):
            ChannelBook(
                ChannelOptions(), ModelChoice(), written(tmp_path, f"defaults: {{{text}}}\nchannels: [a]")
            ).read()


@pytest.mark.parametrize("text", ["", "[]", "channels: []", "channels: {a: 1}", "channels: [", "\x00"])
def test_what_is_no_file_of_channels(tmp_path, text) -> None:
    with pytest.raises(UsageError):
        ChannelBook(ChannelOptions(), ModelChoice(), written(tmp_path, text)).read()
