"""Several streams through one model: each says what it says alone, and who fails, fails alone."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from svlm_cli import (
    Controls,
    EndEvent,
    Pace,
    Sampling,
    StartEvent,
    StateKeeper,
    StepEvent,
    StreamSettings,
    WarningEvent,
    load_model,
    load_state,
    open_source,
    stream_video,
)
from svlm_cli.errors import SourceLostError
from svlm_cli.stream.channels.channel import Channel
from svlm_cli.stream.channels.load import Load
from svlm_cli.stream.channels.rounds import stream_channels
from svlm_cli.types import Clip

from .engine import INFO

SHOWN = StreamSettings(
    duration=4.0,
    vision_window=2,
    rounds=2,
    sink=8,
    text_window=24,
    sampling=Sampling(max_new_tokens=6, seed=4),
)


@pytest.fixture(scope="module")
def bundled():
    return load_model(None, device="cpu")


class Pictures:
    """A source of still pictures that may end badly.

    Args:
        error: raised behind the last.
        seconds: shown before; then it ends.
        slow: seconds that each clip takes.
        shade: of the first picture.
    """

    is_live = False
    info = INFO

    def __init__(
        self, error: Exception | None = None, seconds: int = 4, slow: float = 0.0, shade: int = 0
    ) -> None:
        self.name, self.problems = "pictures", []
        self._error, self._seconds, self._slow, self._shade = error, seconds, slow, shade

    def opening_text(self, _start: float) -> str:
        return "Reds against Blues."

    def clips(self, fps, step_seconds, start, duration, guide=None):
        for index in range(self._seconds):
            time.sleep(self._slow)
            frames = np.full((round(fps), 56, 84, 3), (self._shade + 40 * index) % 256, dtype=np.uint8)
            yield Clip(index, float(index), float(index + 1), frames)
        if self._error is not None:
            raise self._error


def plain(events) -> list:
    """All but times and memory."""
    return [
        replace(event, timings=None, lag_seconds=0.0) if isinstance(event, StepEvent) else event
        for event in events
        if not isinstance(event, EndEvent)
    ]


def of(events, kind) -> list:
    return [each for each in plain(events) if isinstance(each, kind)]


def streamed(model, channels, stop=None) -> tuple[dict[str, list], dict[str, Exception | None]]:
    events: dict[str, list] = {channel.name: [] for channel in channels}
    errors: dict[str, Exception | None] = {}
    for told in stream_channels(model, channels, stop):
        events[told.channel].append(told.event)
        if isinstance(told.event, EndEvent):
            assert told.channel not in errors
            errors[told.channel] = told.error
    return events, errors


def test_each_channel_says_what_it_says_alone(bundled, tmp_path, one_thread) -> None:
    """Other rates and starts, a question, one that ends early, one that is saved and resumed."""
    names = [f"arena:soccer,seed={seed}" for seed in range(5)]
    settings = [replace(SHOWN, fps=8.0 if seed % 2 else 2.0, start=9.0 * seed) for seed in range(5)]
    settings[2] = replace(settings[2], duration=2.0)

    def controls(number: int, folder: str) -> Controls:
        made = Controls()
        if number == 1:
            made.questions.ask("Who has the ball?", 10.5)
        if number == 3:
            (tmp_path / folder).mkdir(exist_ok=True)
            made = replace(made, keeper=StateKeeper(tmp_path / folder / "state"))
        return made

    lone = {}
    for number, name in enumerate(names):
        with open_source(name) as source:
            lone[name] = list(stream_video(bundled, source, settings[number], None, controls(number, "lone")))
    with ExitStack() as stack:
        channels = [
            Channel(
                name,
                stack.enter_context(open_source(name)),
                settings[number],
                None,
                controls(number, "shared"),
            )
            for number, name in enumerate(names)
        ]
        events, errors = streamed(bundled, channels)
    assert set(errors.values()) == {None}
    for name in names:
        assert plain(events[name]) == plain(lone[name])
        assert isinstance(events[name][-1], EndEvent)
    ours, theirs = (load_state(tmp_path / folder / "state") for folder in ("shared", "lone"))
    assert ours.snapshot.plain == theirs.snapshot.plain
    for key, value in theirs.snapshot.tensors.items():
        torch.testing.assert_close(ours.snapshot.tensors[key], value, atol=1e-4, rtol=1e-4)
    further = replace(settings[3], duration=6.0)
    with open_source(names[3]) as source:
        expected = list(stream_video(bundled, source, further, None, Controls(resume=theirs)))
    with open_source(names[3]) as source, open_source(names[0]) as other:
        pair = [
            Channel("on", source, further, None, Controls(resume=ours)),
            Channel("new", other, settings[0]),
        ]
        events, _ = streamed(bundled, pair)
    assert plain(events["on"]) == plain(expected)
    assert plain(events["new"]) == plain(lone[names[0]])


def test_who_fails_ends_alone(bundled, monkeypatch, one_thread) -> None:
    """Sources that die, are lost or show what nobody can, a question that raises: the others say all."""
    settings = replace(SHOWN, duration=None)
    alone = plain(stream_video(bundled, Pictures(), settings))
    asked = Controls()
    asked.questions.ask("BOOM", 1.5)
    torn, clip = Pictures(), Clip(0, 0.0, 1.0, np.zeros((2, 56, 84, 3), np.uint8))
    object.__setattr__(clip, "frames", np.zeros((2, 56, 84, 4), np.uint8))
    torn.clips = lambda *_: (each for each in [clip])
    channels = [
        Channel("well", Pictures(), settings),
        Channel("dies", Pictures(RuntimeError("gone"), 2), settings),
        Channel("lost", Pictures(SourceLostError("lost"), 1), settings),
        Channel("torn", torn, settings),
        Channel("asked", Pictures(), settings, None, asked),
        Channel("slow", Pictures(slow=0.1), settings),
    ]
    from svlm_cli.stream.step.turns import TurnWriter

    parts = TurnWriter.parts

    def hostile(self, turn, clip, context, question):
        if question == "BOOM":
            raise ValueError("no such token")
        return parts(self, turn, clip, context, question)

    monkeypatch.setattr(TurnWriter, "parts", hostile)
    events, errors = streamed(bundled, channels)
    assert plain(events["well"]) == plain(events["slow"]) == alone
    steps = {name: of(told, StepEvent) for name, told in events.items()}
    of_lone = of(alone, StepEvent)
    assert steps["dies"] == of_lone[:2]
    assert steps["lost"] == of_lone[:1]
    assert steps["asked"] == of_lone
    assert not steps["torn"]
    assert isinstance(errors["dies"], RuntimeError)
    assert isinstance(errors["lost"], SourceLostError)
    assert isinstance(errors["torn"], RuntimeError)
    assert errors["well"] is errors["asked"] is errors["slow"] is None
    told = {name: [each.message for each in of(found, WarningEvent)] for name, found in events.items()}
    assert told["dies"][-1] == "RuntimeError: gone"
    assert told["lost"][-1] == "lost"
    assert any("BOOM" in message and "no such token" in message for message in told["asked"])


def test_numbers_that_are_not_finite_are_of_one_channel(bundled, one_thread) -> None:
    settings = replace(SHOWN, duration=None)
    alone = plain(stream_video(bundled, Pictures(), settings))
    ill = Channel("ill", Pictures(shade=7), settings)
    channels = [ill, Channel("well", Pictures(), settings)]
    stream = stream_channels(bundled, channels)
    from svlm_cli.stream.channels import seeing as module

    look, seen = module.look_together, []

    def damaged(clips):
        found = look(clips)
        for (_, clip), each in zip(clips, found, strict=True):
            if clip.index == 1 and float(clip.pixels.float().mean()) == 47:
                seen.append(len(found))
                with torch.inference_mode():
                    each.video.features.fill_(float("nan"))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "look_together", damaged)
        events = list(stream)
    assert len(seen) == 1
    told = {name: [each.event for each in events if each.channel == name] for name in ("ill", "well")}
    assert plain(told["well"]) == alone
    assert len(of(told["ill"], StepEvent)) == 1
    (error,) = [each.error for each in events if each.error is not None]
    assert "not finite" in str(error)


def test_too_many_channels_are_told_and_drop_alike(bundled, monkeypatch) -> None:
    """Steps made slow: all fall behind, whatever their rate each leaves out about as much, told once."""
    from svlm_cli.stream.channels import rounds
    from svlm_cli.stream.channels import seeing as module

    monkeypatch.setattr(rounds, "ROUNDS_TO_JUDGE", 4)
    look = module.look_together
    monkeypatch.setattr(module, "look_together", lambda clips: time.sleep(0.12 * len(clips)) or look(clips))
    settings = replace(SHOWN, duration=None, pace=Pace.REALTIME, fps=8.0, step_seconds=0.25)
    with ExitStack() as stack:
        made = [
            Channel(
                str(n),
                stack.enter_context(open_source(f"arena:soccer,seed={n},minutes=1")),
                replace(settings, fps=16.0 if n % 2 else 8.0),
            )
            for n in range(4)
        ]
        steps: dict[str, list[StepEvent]] = {each.name: [] for each in made}
        warned = []
        stop_at = time.monotonic() + 60.0
        stream = stream_channels(bundled, made)
        for told in stream:
            if isinstance(told.event, StepEvent):
                steps[told.channel].append(told.event)
            elif isinstance(told.event, WarningEvent):
                warned.append(told.event.message)
            is_judged = any("channels are more" in message for message in warned)
            skips = all(sum(step.skipped_seconds for step in each) > 0 for each in steps.values())
            if (is_judged and skips) or time.monotonic() > stop_at:
                break
        stream.close()
    counts = [len(each) for each in steps.values()]
    assert min(counts) >= max(counts) / 2, "nobody starves"
    assert sum(each.skipped_seconds for each in steps["0"]) > 0
    (judged,) = [message for message in warned if "channels are more" in message]
    assert "4 channels are more" in judged
    assert 1 <= int(judged.split("about ")[1].split(";")[0]) <= 3


@pytest.mark.parametrize("has_file", [False, True])
def test_too_many_live_channels_are_told_beside_a_file_at_full_speed(has_file) -> None:
    """Rounds of two seconds with thirty live channels: fifteen of them fit, whatever else is in each."""

    @dataclass
    class Run:
        is_realtime: bool = True
        step_seconds: float = 1.0
        lag_seconds: float = 3.0

    live, file = [Run() for _ in range(30)], Run(is_realtime=False, lag_seconds=0.0)
    load, now, told = Load(), 0.0, []
    for _ in range(40):
        told.append(load.add([*live, file] if has_file else live, len(live), now := now + 2.0))
        if has_file:
            told.append(load.add([file], len(live), now))
    (said,) = filter(None, told)
    assert said.startswith("30 channels are more than this machine keeps in real time, about 15;")


def test_all_channels_are_told_of_before_the_first_step(bundled) -> None:
    settings = replace(SHOWN, duration=None)
    stream = stream_channels(bundled, [Channel(name, Pictures(), settings) for name in "ab"])
    first = [next(stream) for _ in range(4)]
    assert [each.channel for each in first] == ["a", "a", "b", "b"]
    assert [type(each.event) for each in first] == [StartEvent, WarningEvent] * 2, "the pictures are foreign"
    stream.close()
