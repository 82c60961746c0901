"""A model that cannot keep up with the clock: the lag stays bounded and every word belongs to its second."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, fields

import numpy as np
import pytest

from svlm_cli import Clip, Sampling, StepEvent, StreamSettings, load_model, open_source, stream_video
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.settings import OnLag, Pace
from svlm_cli.stream import pacing
from svlm_cli.stream.controls import Controls
from svlm_cli.types import ClockKind
from svlm_cli.utc import utc_seconds

MATCH = "arena:soccer,seed=3,minutes=inf"
STEP, COST, MAY_WAIT = 0.25, 0.4, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class SlowModel(VideoLanguageModel):
    """Takes longer over a step than the step lasts."""

    def forward(self, embeddings, positions, cache, deep=None):
        time.sleep(COST)
        return VideoLanguageModel.forward(self, embeddings, positions, cache, deep)


@pytest.fixture(scope="module")
def slow() -> SlowModel:
    bundled = load_model(threads=1)
    return SlowModel(**{item.name: getattr(bundled, item.name) for item in fields(VideoLanguageModel)})


@pytest.mark.parametrize("on_lag", list(OnLag))
def test_lag_is_bounded_and_times_are_right(slow, monkeypatch, on_lag: OnLag) -> None:
    monkeypatch.setattr(pacing, "WAIT_AT_MOST_SECONDS", MAY_WAIT)
    settings = StreamSettings(
        fps=8,
        step_seconds=STEP,
        vision_window=2 * STEP,
        rounds=2,
        pace=Pace.REALTIME,
        on_lag=on_lag,
        duration=10.0,
        sampling=Sampling(greedy=True, max_new_tokens=1),
    )
    records, spoken, watched = [], [], {}

    def watch(clip: Clip) -> None:
        watched[clip.start_seconds] = clip.frames

    with open_source(MATCH) as source:
        for event in stream_video(slow, source, settings, records.append, Controls(watch=watch)):
            if isinstance(event, StepEvent):
                spoken.append((event, time.monotonic()))
    bound = pacing.DROP_AFTER_SECONDS if on_lag is OnLag.DROP else MAY_WAIT
    steps = [step for step, _ in spoken]
    # It falls behind, by no more than it may and what is on its way already.
    assert max(step.lag_seconds for step in steps) > bound - 1
    assert max(step.lag_seconds for step in steps) <= bound + 4 * (COST + 0.6)
    assert sum(step.skipped_seconds for step in steps) > 1
    # What is skipped is told where it is missing.
    reached = 0.0
    for step in steps:
        assert step.start_seconds == pytest.approx(reached + step.skipped_seconds)
        reached = step.end_seconds
    # Every step shows the pictures of its time, and its prompt says so.
    with open_source(MATCH) as truth:
        clips = list(truth.clips(8, STEP, 0.0, 13.0))
    for step, record in zip(steps, records, strict=True):
        expected = clips[round(step.start_seconds / STEP)]
        np.testing.assert_array_equal(watched[step.start_seconds], expected.frames)
        text = slow.tokenizer.decode(record.context_ids)
        last = re.findall(r"Time ?= ?([\d. ]+)-", text)[-1].replace(" ", "")
        assert float(last) == pytest.approx(step.start_seconds, abs=0.051)
    # And the lag that is told is how late the words were by the wall clock.
    began = spoken[0][1] - spoken[0][0].end_seconds - spoken[0][0].lag_seconds
    for step, when in spoken:
        assert when - began - step.end_seconds == pytest.approx(step.lag_seconds, abs=0.8)
        # Its UTC is when the second was over, by this machine's clock, as far back as the lag says.
        assert step.clock is ClockKind.WALL
        assert utc_seconds(step.utc) - utc_seconds(step.end_utc) == pytest.approx(step.lag_seconds, abs=0.8)
        assert utc_seconds(step.end_utc) - utc_seconds(step.start_utc) == pytest.approx(STEP, abs=0.002)
