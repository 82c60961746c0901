"""A live stream killed behind its last saved state: the hole that is told is the one in the files."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from svlm_cli import EndEvent, Sampling, StartEvent, StepEvent, StreamSettings, WarningEvent, stream_video
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.stream.outputs.written import WrittenStep, last_written
from svlm_cli.stream.state import StateKeeper, load_state

from .engine import INFO, clips

SETTINGS = StreamSettings(sampling=Sampling(greedy=True, max_new_tokens=2))


class Broadcast:
    """A live source of so many seconds; its clips begin where they are asked for."""

    name, is_live, info, problems = "broadcast", True, INFO, ()

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps

    def opening_text(self, start_seconds: float) -> str:
        return ""

    def clips(self, fps, step_seconds, start_seconds, duration_seconds, guide):
        for clip in clips(self.num_steps, fps=fps):
            end = start_seconds + clip.end_seconds
            yield replace(clip, start_seconds=start_seconds + clip.start_seconds, end_seconds=end)


def run_into(path: Path, model, num_steps: int, controls: Controls, earlier: Earlier | None = None) -> list:
    events = []
    with Writers([path]) as writers:
        if earlier is not None:
            writers.resume(earlier)
        for event in stream_video(model, Broadcast(num_steps), SETTINGS, controls=controls):
            writers.write(event)
            events.append(event)
    return events


@pytest.mark.parametrize("num_later", [0, 2])
def test_the_hole_that_is_told_is_the_one_in_the_file(model, tmp_path: Path, num_later: int) -> None:
    path, state_path = tmp_path / "x.jsonl", tmp_path / "s.svlm"
    num_seconds = random.Random(24).randint(4, 7)
    # Saved behind its first step only, as if killed behind the last; the end is what a kill leaves out.
    keeper = StateKeeper(state_path, 1e9)
    run_into(path, model, num_seconds, Controls(keeper=keeper, overlap=False))
    keeper.close()
    steps = [each for each in map(json.loads, path.read_text().splitlines()) if each["type"] == "step"]
    state = load_state(state_path)
    first = replace(state, reached_seconds=2.0, saved_at=time.time() - 20.2)
    first = replace(first, snapshot=replace(state.snapshot, plain=dict(state.snapshot.plain) | {"turn": 2}))
    resume = replace(first, written=last_written([path]))
    assert resume.written == WrittenStep(num_seconds - 1, num_seconds)
    events = run_into(
        path, model, num_later, Controls(resume=resume, overlap=False), Earlier({str(path): 0}, cut=False)
    )
    start = next(each for each in events if isinstance(each, StartEvent))
    assert start.at_seconds == pytest.approx(23.0)
    (told,) = [
        each.message for each in events if isinstance(each, WarningEvent) and "going on" in each.message
    ]
    assert told.startswith(f"going on {23 - num_seconds} s after the last step")
    new = [each for each in events if isinstance(each, StepEvent)]
    if num_later:
        assert new[0].skipped_seconds == new[0].start_seconds - steps[-1]["end_seconds"]
        assert [each.index for each in new] == [num_seconds, num_seconds + 1]
    assert isinstance(events[-1], EndEvent)
    clock = [0.0]
    for event in events:
        at = event.end_seconds if isinstance(event, StepEvent) else event.at_seconds
        assert at >= clock[-1]
        clock.append(at)


def test_a_state_never_goes_on_before_what_is_written(model, tmp_path: Path) -> None:
    keeper = StateKeeper(tmp_path / "s.svlm", 1e9)
    list(stream_video(model, Broadcast(3), SETTINGS, controls=Controls(keeper=keeper, overlap=False)))
    state = replace(load_state(tmp_path / "s.svlm"), saved_at=time.time() + 5)
    assert state.position_seconds(is_live=True, step_seconds=1.0) == 3.0
    ahead = replace(state, written=WrittenStep(6, 7.0))
    assert ahead.position_seconds(is_live=True, step_seconds=1.0) == 7.0


def test_what_is_no_file_of_events_tells_no_step(tmp_path: Path) -> None:
    torn = tmp_path / "x.jsonl"
    assert last_written([torn, tmp_path / "x.vtt"]) is None
    torn.write_text('{"type": "start"}\n{"type": "step", "index": 4, "end_seconds": 5.0}\n[1]\n{"type": "st')
    assert last_written([torn]) == WrittenStep(4, 5.0)
    torn.write_text('{"type": "step", "index": "x", "end_seconds": 5.0}\n\xff')
    assert last_written([torn]) is None
