"""Stages that overlap: the same words as one after the other, bounded, and closed with nothing left."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from svlm_cli import AnswerEvent, EndEvent, Sampling, SourceError, StepEvent, StreamSettings, stream_video
from svlm_cli.settings import OnLag, Pace
from svlm_cli.stream.controls import Controls

from .engine import INFO, clips

SETTINGS = StreamSettings(
    vision_window=2, rounds=2, sampling=Sampling(max_new_tokens=4, seed=3), previous_text="a b c"
)


class Counting:
    """A source that counts how many clips have been taken from it and can fail or be slow."""

    name, is_live, problems = "counting", False, ()
    info = INFO

    def __init__(self, num_clips: int, fails_at: int | None = None, pause: float = 0.0) -> None:
        self.num_taken = 0
        self.is_closed = False
        self._clips = clips(num_clips)
        self._fails_at = fails_at
        self._pause = pause

    def opening_text(self, start_seconds: float) -> str:
        return ""

    def clips(self, fps, step_seconds, start_seconds, duration_seconds, guide):
        try:
            for clip in self._clips:
                time.sleep(self._pause)
                if clip.index == self._fails_at:
                    raise SourceError("the disk is gone")
                self.num_taken += 1
                yield clip
        finally:
            self.is_closed = True


OTHERS: set[threading.Thread] = set()  # of tests before, which may wait for a source that does not answer


@pytest.fixture(autouse=True)
def _others() -> None:
    OTHERS.clear()
    OTHERS.update(threading.enumerate())


def own_threads() -> set[str]:
    new = set(threading.enumerate()) - OTHERS
    return {thread.name for thread in new if thread.name.startswith("svlm-")}


def words(model, controls: Controls, settings: StreamSettings = SETTINGS) -> list[tuple]:
    events = stream_video(model, Counting(8), settings, controls=controls)
    return [(type(event), event.text) for event in events if isinstance(event, StepEvent | AnswerEvent)]


@pytest.mark.parametrize("pace", list(Pace))
def test_overlapping_changes_no_word(model, pace: Pace) -> None:
    settings = replace(SETTINGS, pace=pace, on_lag=OnLag.WAIT)
    plain, ahead = Controls(overlap=False), Controls(overlap=True)
    for controls in (plain, ahead):
        controls.questions.ask("Who?", 3.0)
    expected = words(model, plain)
    assert [kind for kind, _ in expected].count(AnswerEvent) == 1
    assert words(model, ahead, settings) == expected
    assert own_threads() == set()


def test_reading_ahead_is_bounded(model) -> None:
    source = Counting(30)
    events = stream_video(model, source, SETTINGS)
    for event in events:
        if isinstance(event, StepEvent):
            time.sleep(0.02)
            assert source.num_taken <= event.index + 3  # two on their way beyond this one
            if event.index == 10:
                break
    events.close()
    assert source.is_closed
    assert own_threads() == set()


@pytest.mark.parametrize("overlap", [False, True])
def test_what_was_read_before_a_failure_is_spoken(model, overlap: bool) -> None:
    events = stream_video(model, Counting(8, fails_at=4), SETTINGS, controls=Controls(overlap=overlap))
    steps = []
    with pytest.raises(SourceError, match="the disk is gone"):
        steps.extend(event for event in events if isinstance(event, StepEvent))
    assert len(steps) == 4
    assert own_threads() == set()


def test_a_stop_ends_after_the_present_step_even_while_waiting(model) -> None:
    source = Counting(50, pause=0.2)
    controls = Controls()
    events = []
    for event in stream_video(model, source, SETTINGS, controls=controls):
        events.append(event)
        if isinstance(event, StepEvent) and event.index == 2:
            controls.stop.set()
    steps = [event for event in events if isinstance(event, StepEvent)]
    assert len(steps) == 3
    assert isinstance(events[-1], EndEvent)
    assert events[-1].steps == 3
    assert source.is_closed


def test_pixels_are_dropped_once_encoded(model) -> None:
    """Nothing that holds a clip's frames is left after its step: not in the pipeline, not in the session."""
    import gc
    import weakref

    alive: list[weakref.ref] = []

    class Watched(Counting):
        def clips(self, *arguments):
            for clip in super().clips(*arguments):
                fresh = replace(clip, frames=clip.frames.copy())
                alive.append(weakref.ref(fresh.frames))
                yield fresh
                del fresh

    source = Watched(12)
    for event in stream_video(model, source, SETTINGS):
        if isinstance(event, StepEvent) and event.index >= 6:
            source._clips[: event.index] = [None] * event.index
            gc.collect()
            assert all(frames() is None for frames in alive[: event.index + 1])
