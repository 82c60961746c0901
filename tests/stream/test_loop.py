"""The paced loop: events in order, warnings in their last form, nothing left open."""

from __future__ import annotations

import pytest

from svlm_cli import EndEvent, Sampling, StartEvent, StepEvent, StreamSettings, WarningEvent, stream_video
from svlm_cli.stream.controls import Controls

from .engine import INFO, clips

SETTINGS = StreamSettings(sampling=Sampling(greedy=True, max_new_tokens=2))


class TroubledSource:
    """Three clips; one problem whose count grows, another that shows at the end."""

    name = "troubled"
    problems: list[str]
    info = INFO

    def __init__(self, opening: str = "") -> None:
        self.problems = []
        self.opening = opening
        self.is_closed = False

    def opening_text(self, start_seconds: float) -> str:
        return self.opening

    def clips(self, fps, step_seconds, start_seconds, duration_seconds, guide):
        try:
            for clip in clips(3, fps=fps):
                self.problems = [f"{clip.index + 1} frames were skipped"]
                yield clip
            self.problems = ["3 frames were skipped", "the file ends early"]
        finally:
            self.is_closed = True


def test_problems_are_told_when_new_and_in_their_last_form(model):
    # Without reading ahead: when a sentence is told depends on how far the reader has come.
    events = list(stream_video(model, TroubledSource(), SETTINGS, controls=Controls(overlap=False)))
    assert isinstance(events[0], StartEvent)
    assert isinstance(events[-1], EndEvent)
    assert [event.message for event in events if isinstance(event, WarningEvent)] == [
        "1 frames were skipped",
        "3 frames were skipped",
        "the file ends early",
    ]


class FlickeringSource(TroubledSource):
    """Three clips; before each the same thing has happened again."""

    def clips(self, fps, step_seconds, start_seconds, duration_seconds, guide):
        for clip in clips(3, fps=fps):
            self.problems.append("the source is back after 0.3 s, 1 tries")
            yield clip


def test_what_happens_again_is_told_again_with_its_time(model):
    events = list(stream_video(model, FlickeringSource(), SETTINGS, controls=Controls(overlap=False)))
    told = [event for event in events if isinstance(event, WarningEvent)]
    assert [event.message for event in told] == ["the source is back after 0.3 s, 1 tries"] * 3
    assert [event.at_seconds for event in told] == [0.0, 1.0, 2.0]


def test_closing_the_stream_closes_the_reader(model):
    source = TroubledSource()
    events = stream_video(model, source, SETTINGS)
    while not isinstance(next(events), StepEvent):
        pass
    events.close()
    assert source.is_closed


@pytest.mark.parametrize(
    ("settings", "opening"),
    [
        (SETTINGS, "red Lions against blue Sharks"),
        (StreamSettings(title="Cup", sampling=SETTINGS.sampling), "red Lions against blue Sharks"),
        (StreamSettings(previous_text="Cup", sampling=SETTINGS.sampling), "Cup"),
    ],
)
def test_a_source_may_introduce_itself_unless_the_user_does(model, settings, opening):
    start = next(stream_video(model, TroubledSource("red Lions against blue Sharks"), settings))
    assert start.settings["previous_text"] == opening


def test_every_setting_is_in_the_start_event(model):
    start = next(stream_video(model, TroubledSource(), SETTINGS))
    assert {"fps", "sink", "greedy", "seed", "attention", "threads", "pace"} <= set(start.settings)
    assert (start.model, start.device, start.dtype) == (model.name, "cpu", "float32")
