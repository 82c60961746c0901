"""``svlm stream`` whole: real engine, tiny checkpoint, real files."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import webvtt

from svlm_cli.cli import run

from .strict_srt import parse_srt


@pytest.fixture(scope="module")
def video(tmp_path_factory, make_video) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "match.mp4", seconds=5)


def stream(video, checkpoint, *options: str) -> int:
    return run(["stream", str(video), "--model", str(checkpoint), "--device", "cpu", *options])


FAST = ("--max-new-tokens", "3", "--greedy")


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_and_every_output_tell_the_same(video, checkpoint, tmp_path, capsys):
    outputs = [tmp_path / name for name in ("x.vtt", "x.srt", "x.jsonl")]
    chosen = [part for path in outputs for part in ("--out", str(path))]
    assert stream(video, checkpoint, *FAST, "--fps", "8", "--json", "--cues", "second", *chosen) == 0
    events = lines(capsys.readouterr().out)
    assert [event["type"] for event in events] == ["start", *["step"] * 5, "end"]
    assert lines((tmp_path / "x.jsonl").read_text()) == events
    start, steps, end = events[0], events[1:-1], events[-1]
    assert (start["fps"], start["policy"], start["device"], start["dtype"]) == (
        8,
        "streaming",
        "cpu",
        "float32",
    )
    assert {"source", "model", "version", "sink", "temperature", "seed"} <= set(start)
    assert [step["start_seconds"] for step in steps] == [0, 1, 2, 3, 4]
    assert all(step["num_frames"] == 8 for step in steps)
    assert all(step["timings"]["total"] >= step["timings"]["decode"] > 0 for step in steps)
    assert end["steps"] == 5
    assert end["realtime_factor"] == pytest.approx(5 / end["wall_seconds"], rel=1e-3)
    spoken = [step for step in steps if step["text"]]
    assert len(spoken) >= 3
    cues = webvtt.read(str(tmp_path / "x.vtt"))
    assert [cue.start_in_seconds for cue in cues] == [step["start_seconds"] for step in spoken]
    assert len(parse_srt((tmp_path / "x.srt").read_text())) == len(spoken)


def test_trace_holds_what_the_model_saw(video, checkpoint, tmp_path, capsys):
    path = tmp_path / "trace.jsonl"
    assert stream(video, checkpoint, *FAST, "--trace", str(path), "--duration", "3", "--title", "Cup") == 0
    records = lines(path.read_text())
    assert [record["step"] for record in records] == [0, 1, 2]
    for record in records:
        assert {len(row) for row in record["position_ids"]} == {len(record["context_ids"])}
        assert record["position_ids"][0][:3] == [0, 1, 2]
        assert 1 <= len(record["generated_ids"]) <= 4
    assert records[1]["context_ids"][: len(records[0]["context_ids"])] == records[0]["context_ids"]


def test_start_and_duration_choose_a_part(video, checkpoint, capsys):
    assert stream(video, checkpoint, *FAST, "--json", "--start", "2", "--duration", "2") == 0
    steps = [event for event in lines(capsys.readouterr().out) if event["type"] == "step"]
    assert [(step["index"], step["start_seconds"]) for step in steps] == [(0, 2.0), (1, 3.0)]


def test_realtime_pace_waits_for_the_picture(video, checkpoint, capsys):
    began = time.monotonic()
    assert stream(video, checkpoint, *FAST, "--json", "--pace", "realtime", "--duration", "2") == 0
    assert time.monotonic() - began >= 2.0
    steps = [event for event in lines(capsys.readouterr().out) if event["type"] == "step"]
    assert all(step["lag_seconds"] > 0 for step in steps)


@pytest.mark.parametrize("policy", ["streaming", "full", "window", "recompute"])
def test_every_policy_runs(policy, video, checkpoint, capsys):
    options = (
        "--vision-window",
        "2",
        "--rounds",
        "2",
        "--restart-seconds",
        "2",
        "--sink",
        "4",
        "--text-window",
        "4",
    )
    assert stream(video, checkpoint, *FAST, "--json", "--policy", policy, *options) == 0
    steps = [event for event in lines(capsys.readouterr().out) if event["type"] == "step"]
    cached = [step["num_cached_tokens"] for step in steps]
    assert (cached[-1] > 2 * cached[1]) == (policy == "full")


def test_steps_may_be_longer_than_a_second(video, checkpoint, capsys):
    assert stream(video, checkpoint, *FAST, "--json", "--step-seconds", "2", "--fps", "1") == 0
    steps = [event for event in lines(capsys.readouterr().out) if event["type"] == "step"]
    assert [(step["start_seconds"], step["end_seconds"]) for step in steps] == [(0, 2), (2, 4), (4, 6)]


def test_pixel_limits_reach_the_model(video, checkpoint, capsys):
    counts = []
    for limit in ("3136", "12544"):
        options = ("--json", "--duration", "1", "--min-pixels", limit, "--max-pixels", limit)
        assert stream(video, checkpoint, *FAST, *options) == 0
        counts += [
            event["num_vision_tokens"] for event in lines(capsys.readouterr().out) if event["type"] == "step"
        ]
    assert counts[0] < counts[1]


def test_same_seed_same_words(video, checkpoint, capsys):
    said = []
    for seed in ("3", "3", "4"):
        assert stream(video, checkpoint, "--duration", "2", "--seed", seed, "--quiet") == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def make_text(path: Path) -> None:
    path.write_text("not a video\n" * 100)


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_sound(path: Path) -> None:
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), dtype=np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))


@pytest.mark.parametrize("make", [None, make_text, make_empty, make_sound])
def test_bad_sources_are_one_clear_line(make, checkpoint, tmp_path, capsys):
    path = tmp_path / "bad.mp4"
    if make:
        make(path)
    out = tmp_path / "x.vtt"
    out.write_text("WEBVTT\n\nold\n")
    assert stream(path, checkpoint, "--out", str(out)) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "bad.mp4" in said.err
    assert out.read_text() == "WEBVTT\n\nold\n", "an earlier output survives"


def test_a_truncated_file_is_streamed_as_far_as_it_reads(make_video, checkpoint, tmp_path, capsys):
    whole = make_video(tmp_path / "whole.mp4", seconds=8, size=(320, 240))
    front = tmp_path / "front.mp4"
    import av

    with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    content = front.read_bytes()
    front.write_bytes(content[: len(content) * 6 // 10])
    assert stream(front, checkpoint, *FAST, "--json") == 0
    events = lines(capsys.readouterr().out)
    steps = [event for event in events if event["type"] == "step"]
    assert 1 <= len(steps) < 8
    assert any("ends early" in event["message"] for event in events if event["type"] == "warning")


@pytest.mark.parametrize(
    "options",
    [
        ("--fps", "3"),
        ("--fps", "0"),
        ("--fps", "-2"),
        ("--fps", "nan"),
        ("--fps", "many"),
        ("--step-seconds", "0"),
        ("--vision-window", "1.5"),
        ("--vision-window", "0"),
        ("--rounds", "0"),
        ("--sink", "-1"),
        ("--text-window", "-1"),
        ("--policy", "best"),
        ("--temperature", "0"),
        ("--top-p", "0"),
        ("--top-k", "0"),
        ("--max-new-tokens", "0"),
        ("--start", "-1"),
        ("--duration", "0"),
        ("--min-pixels", "9000", "--max-pixels", "5000"),
        ("--out", "x.txt"),
        ("--dtype", "float16"),
        ("--device", "tpu"),
        ("--no-such-option",),
    ],
)
def test_wrong_values_are_usage(options, video, checkpoint, capsys):
    assert stream(video, checkpoint, *options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")


def test_a_start_behind_the_end_names_the_length(video, checkpoint, capsys):
    assert stream(video, checkpoint, "--start", "60") == 1
    assert "5" in capsys.readouterr().err


def test_bad_models_are_one_clear_line(video, checkpoint, tmp_path, capsys):
    broken = tmp_path / "model"
    shutil.copytree(checkpoint, broken)
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    for folder in (tmp_path / "none", broken):
        assert run(["stream", str(video), "--model", str(folder), "--device", "cpu"]) == 1
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_outputs_are_valid_when_killed(seed, make_video, checkpoint, tmp_path):
    video = make_video(tmp_path / "long.mp4", seconds=60)
    outputs = [tmp_path / name for name in ("x.vtt", "x.srt", "x.jsonl")]
    chosen = [part for path in outputs for part in ("--out", str(path))]
    command = [
        sys.executable,
        "-m",
        "svlm_cli",
        "stream",
        str(video),
        "--model",
        str(checkpoint),
        *FAST,
        "--cues=second",
        *chosen,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    for _ in range(3):
        process.stdout.readline()
    time.sleep(random.Random(seed).random())
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = [event for event in lines(outputs[2].read_text()) if event["type"] == "step"]
    assert len(steps) >= 3
    spoken = [step for step in steps if step["text"]]
    assert abs(len(webvtt.read(str(outputs[0])).captions) - len(spoken)) <= 1
    assert abs(len(parse_srt(outputs[1].read_text())) - len(spoken)) <= 1


def test_a_real_clip_streams(shared_data, checkpoint, tmp_path, capsys):
    clip = shared_data / "video" / "armwrestling.mp4"
    out = tmp_path / "x.vtt"
    assert stream(clip, checkpoint, *FAST, "--fps", "8", "--json", "--out", str(out)) == 0
    assert lines(capsys.readouterr().out)[-1]["steps"] == 10
    assert 1 <= len(webvtt.read(str(out)).captions) <= 10


@pytest.mark.parametrize("how", [("--greedy",), ("--seed", "3"), ("--greedy", "--dtype", "bfloat16")])
def test_a_model_that_overflows_is_an_error_and_no_silence(video, checkpoint, tmp_path, capsys, how):
    """Every weight is finite; what they make of it is not."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("layers.1.mlp.down_proj.weight"))
    weights[name] = weights[name] * 0 + 3e38
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    state = tmp_path / "state.svlm"
    assert stream(video, folder, *how, "--quiet", "--save-state", str(state)) == 1
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith("error: the model gave numbers that are not finite")
    assert told.out == ""
    assert not state.exists()
