"""A stream that is saved, killed and resumed says what an undisturbed one says."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import webvtt

from svlm_cli import (
    AnswerEvent,
    Policy,
    Positions,
    Sampling,
    StepEvent,
    StreamSettings,
    load_model,
    open_source,
    stream_video,
)
from svlm_cli.errors import ModelError, StateError
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import Deinterlace, PictureStyle, Reader
from svlm_cli.stream import state as state_module
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.questions import Questions
from svlm_cli.stream.session import StreamSession
from svlm_cli.stream.state import StateKeeper, load_state
from tests.trust.forked import Svlm

MATCH = "arena:soccer,seed=5,minutes=2"
SMALL = StreamSettings(sink=8, text_window=16, vision_window=4, rounds=3, sampling=Sampling(greedy=True))


@pytest.fixture(scope="module")
def bundled():
    return load_model()


def steps(model, settings: StreamSettings, controls: Controls | None = None) -> list[tuple]:
    with open_source(MATCH) as source:
        events = list(stream_video(model, source, settings, controls=controls))
    return [(e.start_seconds, e.text, e.num_cached_tokens) for e in events if isinstance(e, StepEvent)]


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, sampling=Sampling(seed=11, temperature=1.5)),
        replace(SMALL, rounds=1),
        replace(SMALL, policy=Policy.RECOMPUTE),
        replace(SMALL, policy=Policy.FULL),
        replace(SMALL, policy=Policy.WINDOW, restart_seconds=7.0),
        replace(SMALL, positions=Positions.GROWING),
    ],
    ids=lambda s: f"{s.policy}-{s.rounds}-{s.positions}-{'greedy' if s.sampling.greedy else 'drawn'}",
)
def test_resumed_words_equal_the_undisturbed_ones(bundled, tmp_path: Path, settings) -> None:
    undisturbed = steps(bundled, replace(settings, duration=24.0))
    path = tmp_path / "stream.svlm"
    first = steps(bundled, replace(settings, duration=13.0), Controls(keeper=StateKeeper(path)))
    rest = steps(bundled, replace(settings, duration=24.0), Controls(resume=load_state(path)))
    assert first + rest == undisturbed


def saved(model, path: Path, settings: StreamSettings = SMALL) -> None:
    steps(model, replace(settings, duration=3.0), Controls(keeper=StateKeeper(path)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"policy": Policy.FULL}, "policy (streaming -> full)"),
        ({"sink": 9}, "sink (8 -> 9)"),
        ({"fps": 4.0}, "fps (2.0 -> 4.0)"),
        ({"sampling": Sampling(greedy=True, repetition_penalty=1.2)}, "repetition_penalty (1.05 -> 1.2)"),
    ],
)
def test_other_settings_are_refused_by_name(bundled, tmp_path: Path, change, named) -> None:
    path = tmp_path / "stream.svlm"
    saved(bundled, path)
    with pytest.raises(StateError) as refused:
        steps(bundled, replace(SMALL, **change), Controls(resume=load_state(path)))
    assert named in refused.value.message


def test_another_model_or_version_is_refused(bundled, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "stream.svlm"
    saved(bundled, path)
    other = load_model()
    with torch.no_grad():
        other.network.get_input_embeddings().weight[0, 0] += 1
    with pytest.raises(StateError, match="model"):
        steps(other, SMALL, Controls(resume=load_state(path)))
    monkeypatch.setattr(state_module, "__version__", "9.9.9")
    with pytest.raises(StateError, match=r"version \(.* -> 9\.9\.9\)"):
        steps(bundled, SMALL, Controls(resume=load_state(path)))


def test_how_pictures_are_shown_is_part_of_a_state(bundled, tmp_path: Path) -> None:
    path = tmp_path / "stream.svlm"
    saved(bundled, path)
    other = replace(SMALL, pictures=PictureStyle.RAW, deinterlace=Deinterlace.OFF)
    with pytest.raises(StateError, match=r"deinterlace \(auto -> off\), pictures \(display -> raw\)"):
        steps(bundled, other, Controls(resume=load_state(path)))
    steps(bundled, replace(SMALL, reader=Reader.PYAV, duration=6.0), Controls(resume=load_state(path)))
    # States of builds that showed pictures as they are stored, and knew one prompt format, do not say so.
    state = load_state(path)
    added = ("pictures", "deinterlace", "prompt_format", "silence_threshold")
    kept = {key: value for key, value in state.made_with.items() if key not in added}
    old = replace(state, made_with=kept)
    steps(bundled, replace(SMALL, duration=6.0), Controls(resume=old))
    session = StreamSession(bundled, replace(SMALL, previous_text=""))
    with pytest.raises(StateError, match=r"pictures \(raw -> display\)"):
        old.restore(session, is_plain=False)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\0\0\0\0\0\0\0{}      "])
def test_what_is_no_state_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.svlm"
    with pytest.raises(StateError, match="no such file"):
        load_state(path)
    path.write_bytes(content)
    with pytest.raises(StateError, match="not a state"):
        load_state(path)


def test_a_damaged_state_is_told_wherever_it_is_damaged(bundled, tmp_path: Path) -> None:
    path = tmp_path / "stream.svlm"
    saved(bundled, path)
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[:-2000] + bytes(byte ^ 255 for byte in whole[-2000:-1000]) + whole[-1000:],
        whole.replace(b"reached_seconds", b"reached_secunds"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(StateError, match="damaged"):
            load_state(path)


def test_questions_that_waited_are_asked_after_resuming(bundled, tmp_path: Path) -> None:
    """Eight in one second, one a turn; stopped in between, the answers come in the same seconds."""

    def asked(settings: StreamSettings, controls: Controls) -> list[tuple]:
        with open_source(MATCH) as source:
            events = list(stream_video(bundled, source, settings, controls=controls))
        return [(e.start_seconds, e.question) for e in events if isinstance(e, AnswerEvent)]

    def controls(**more) -> Controls:
        own = Controls(**more)
        for number in range(8):
            own.questions.ask(f"question {number}", 3.0 + number / 10)
        return own

    undisturbed = asked(replace(SMALL, duration=14.0), controls())
    assert len(undisturbed) == 8
    path = tmp_path / "stream.svlm"
    first = asked(replace(SMALL, duration=6.0), controls(keeper=StateKeeper(path)))
    state = load_state(path)
    again = Controls(resume=state)
    for at_seconds, text in state.questions:
        again.questions.ask(text, at_seconds)
    assert first + asked(replace(SMALL, duration=14.0), again) == undisturbed


def test_a_duration_that_is_over_is_told(bundled, tmp_path: Path) -> None:
    path = tmp_path / "stream.svlm"
    saved(bundled, path)
    with open_source(MATCH) as source:
        controls = Controls(resume=load_state(path))
        events = list(stream_video(bundled, source, replace(SMALL, duration=2.0), controls=controls))
    assert any("nothing is left of --duration" in getattr(event, "message", "") for event in events)


def test_what_a_kill_in_mid_write_has_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".stream.0123abcd.svlm").write_bytes(b"half")
    (tmp_path / ".stream.mine.svlm").write_bytes(b"not ours")
    StateKeeper(tmp_path / "stream.svlm")
    assert [path.name for path in tmp_path.iterdir()] == [".stream.mine.svlm"]


def test_a_state_that_cannot_be_written_is_a_warning(bundled, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    path = folder / "stream.svlm"
    folder.write_text("a file in the way")
    with open_source(MATCH) as source:
        keeper = StateKeeper(path)
        events = list(
            stream_video(bundled, source, replace(SMALL, duration=3.0), controls=Controls(keeper=keeper))
        )
    warnings = [event.message for event in events if type(event).__name__ == "WarningEvent"]
    assert 1 <= len(warnings) <= 2  # after the first step, and at the end
    assert all("could not be saved" in each for each in warnings)
    assert "the last one stays" not in warnings[0]
    assert keeper.has_failed
    assert len([event for event in events if isinstance(event, StepEvent)]) == 3


def test_the_first_state_waits_for_nothing_but_the_disk(bundled, tmp_path: Path, monkeypatch) -> None:
    """Killed before it is there, a stream begins anew: what it is made with is known before its words."""

    def too_late(_model: VideoLanguageModel) -> str:
        raise AssertionError("the words are out, and no state")

    path = tmp_path / "stream.svlm"
    with open_source(MATCH) as source:
        controls = Controls(keeper=StateKeeper(path))
        for event in stream_video(bundled, source, replace(SMALL, duration=3.0), controls=controls):
            if isinstance(event, StepEvent):
                monkeypatch.setattr(VideoLanguageModel, "fingerprint", too_late)
    monkeypatch.undo()
    assert load_state(path).made_with["model"] == bundled.fingerprint()


def test_memory_of_a_state_is_that_of_the_cache(bundled, tmp_path: Path) -> None:
    """A state does not grow with the stream."""
    sizes = []
    for duration in (20.0, 60.0):
        path = tmp_path / f"{duration}.svlm"
        steps(bundled, replace(SMALL, duration=duration), Controls(keeper=StateKeeper(path)))
        sizes.append(path.stat().st_size)
    assert sizes[1] < 1.3 * sizes[0]


def svlm(folder: Path, *arguments: str) -> Svlm:
    """A stream of the match into every output of a folder."""
    outputs = [f"--out={folder / name}" for name in ("x.vtt", "x.srt", "x.ttml", "x.jsonl")]
    small = ["--greedy", "--sink=8", "--threads=1", "--quiet"]
    return Svlm(["stream", MATCH, *small, *outputs, *arguments], folder / "log")


def test_a_live_stream_that_was_late_goes_on_behind_all_it_has_told(bundled, tmp_path, monkeypatch) -> None:
    """A second of a live source that was spoken late has long been over when its state is saved."""
    saved = []
    monkeypatch.setattr(state_module, "write_state", lambda _path, header, _tensors: saved.append(header))
    keeper, session = StateKeeper(tmp_path / "s.svlm"), StreamSession(bundled, SMALL)
    for late in (0.0, 25.0):
        assert keeper.save(session, "x", 40.0, Questions(), late_seconds=late) == ""
    assert saved[0]["saved_at"] - saved[1]["saved_at"] == pytest.approx(25.0, abs=1.0)
    assert time.time() - saved[0]["saved_at"] < 5.0


def test_resume_auto_begins_and_goes_on(tmp_path: Path) -> None:
    """The same command again and again: each goes on where the one before it was stopped."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    assert svlm(whole, "--duration=30").wait() == 0
    for seconds in (10, 20, 30):
        again = ("--save-state", str(cut / "s.svlm"), "--resume", "auto", "--reconnect-seconds=inf")
        assert svlm(cut, f"--duration={seconds}", *again).wait() == 0
    assert told(cut / "x.jsonl") == told(whole / "x.jsonl")
    assert (cut / "x.vtt").read_text() == (whole / "x.vtt").read_text()


def told(path: Path) -> list[tuple]:
    events = map(json.loads, path.read_text().splitlines())
    return [(event["start_seconds"], event["text"]) for event in events if event["type"] == "step"]


def test_killed_at_any_moment_and_resumed_it_tells_the_same_story(tmp_path: Path) -> None:
    """kill -9 in mid-stream: the outputs are valid, and resuming completes them to the undisturbed ones."""
    whole = tmp_path / "whole"
    cut = tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    assert svlm(whole).wait() == 0
    process = svlm(cut, "--save-state", str(cut / "s.svlm"), "--save-every", "0.3")
    deadline = time.monotonic() + 60
    while not (cut / "s.svlm").exists() or (cut / "x.jsonl").read_text().count('"step"') < 20:
        assert process.process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = (cut / "x.jsonl").read_text()
    assert before.endswith("\n")
    num_before = before.count('"type": "step"')
    assert 20 <= num_before < 120
    webvtt.read(str(cut / "x.vtt"))
    assert svlm(cut, "--resume", str(cut / "s.svlm")).wait() == 0
    assert (cut / "x.vtt").read_text() == (whole / "x.vtt").read_text()
    assert (cut / "x.srt").read_text() == (whole / "x.srt").read_text()
    assert (cut / "x.ttml").read_text() == (whole / "x.ttml").read_text()
    assert told(cut / "x.jsonl") == told(whole / "x.jsonl")


def test_the_last_good_state_stays_where_numbers_cease_to_be_finite(tmp_path: Path) -> None:
    """Saved after every step; the healed model goes on from it as if nothing had been."""
    model, path = load_model(), tmp_path / "s.svlm"
    settings = replace(SMALL, duration=9.0)
    whole = steps(model, settings)
    weight = model.network.model.language_model.layers[0].mlp.down_proj.weight.data
    kept = weight[0, 1].clone()  # none that the model's fingerprint is made of
    said, controls = [], saving_always(path)

    def damaged_behind_the_fifth() -> None:
        with (
            open_source(MATCH) as source,
            closing(stream_video(model, source, settings, controls=controls)) as events,
        ):
            for event in events:
                if isinstance(event, StepEvent):
                    said.append((event.start_seconds, event.text, event.num_cached_tokens))
                    weight[0, 1] = kept if len(said) < 5 else float("nan")

    with pytest.raises(ModelError, match=r"not finite at \d\.0 s"):
        damaged_behind_the_fifth()
    weight[0, 1] = kept
    assert controls.keeper is not None
    controls.keeper.close()  # the last save goes on beside
    state = load_state(path)
    number = round(state.reached_seconds)
    assert said == whole[: len(said)]
    assert 1 <= number <= len(said)
    assert all(each.isfinite().all() for each in state.snapshot.tensors.values())
    assert steps(model, settings, Controls(resume=state)) == whole[number:]


def saving_always(path: Path) -> Controls:
    return Controls(keeper=StateKeeper(path, 1e-9), overlap=False)
