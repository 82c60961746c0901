"""One match: what the engine is handed, and what makes a result a model's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svlm_cli.arena.truth import opening_text
from svlm_cli.bench.arena.answers import questions_of
from svlm_cli.bench.arena.match import MatchJob, MatchResult, play
from svlm_cli.bench.arena.runs import ArenaRun
from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.common.frames import Frames
from svlm_cli.bench.common.model import ModelOptions, model_facts
from svlm_cli.bench.common.settings import memory_text
from svlm_cli.settings import Policy, Sampling, StreamSettings
from svlm_cli.stream.controls import Controls
from svlm_cli.types import Clip, EndEvent, StartEvent, StepEvent, StreamEvent, WarningEvent

SETTINGS = StreamSettings(sampling=Sampling(greedy=True), previous_text="not this")


class Recorder:
    """In place of ``stream_video``: keeps what it was handed, says the number of each second."""

    def __call__(self, model, source, settings: StreamSettings, controls: Controls) -> Iterator[StreamEvent]:
        self.name, self.settings = source.name, settings
        self.clips: list[Clip] = list(source.clips(settings.fps, settings.step_seconds))
        self.opening = opening_text(source.address) if hasattr(source, "address") else ""
        yield StartEvent("0", source.name, "fake", "cpu", "float32")
        for clip in self.clips:
            yield WarningEvent("a frame was skipped")
            yield StepEvent(clip.index, clip.start_seconds, clip.end_seconds, str(clip.index), 2, 1, 1, 1)
        yield EndEvent(len(self.clips), 4.0, 2.0, 1.5, 0.1, 0.2, 0.3, 1, 0)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr("svlm_cli.stream.loop.stream_video", recorder)
    return recorder


@pytest.mark.parametrize("num_seconds", [1, 7, 50, 100])
def test_a_match_is_told_its_opening_text_and_lasts_its_seconds(
    model: object, recorder: Recorder, num_seconds: int
) -> None:
    job = MatchJob(ArenaRun("x", SETTINGS), 8, num_seconds, "key")
    *progress, result = play(model, job)
    assert result == MatchResult(
        job, tuple(str(second) for second in range(num_seconds)), 2.0, 1.5, 0.1, 0.2, 0.3
    )
    assert progress == [WorkProgress(1)] * num_seconds
    assert recorder.settings.previous_text == recorder.opening
    assert "referee" in recorder.opening
    assert recorder.settings.sink == 512
    assert recorder.name.startswith("arena:soccer?seed=8&")


def test_a_sink_of_the_opening_text_has_its_tokens(model, recorder: Recorder) -> None:
    list(play(model, MatchJob(ArenaRun("x", SETTINGS, sink_is_opening=True), 8, 1, "key")))
    assert recorder.settings.sink == len(model.tokenizer.encode(recorder.opening, add_special_tokens=False))


@pytest.mark.parametrize("num_seconds", [2, 6, 60])
def test_a_first_turn_of_several_seconds_is_said_at_its_end(qwen2_vl_model, num_seconds: int) -> None:
    """LiveCC's, whose words are heard when all of it has been seen."""
    livecc = replace(qwen2_vl_model, name="chenjoya/LiveCC-7B-Base")
    facts = model_facts(livecc)
    assert memory_text(facts.shown(SETTINGS)) == "full: everything", "as its rows tell"
    assert facts.shown(replace(SETTINGS, policy=Policy.WINDOW)).policy is Policy.WINDOW
    assert model_facts(qwen2_vl_model).shown(SETTINGS) == SETTINGS
    run = ArenaRun("x", replace(SETTINGS, sampling=Sampling(2, greedy=True), max_pixels=9408), is_asked=True)
    *progress, result = play(livecc, MatchJob(run, 8, num_seconds, "key"))
    assert isinstance(result, MatchResult)
    assert len(result.said) == num_seconds
    first = min(3, num_seconds)
    assert [bool(line) for line in result.said[:first]] == [False] * (first - 1) + [True]
    assert progress == [WorkProgress(first)] + [WorkProgress(1)] * (num_seconds - first)
    asked = [each.second for each in questions_of(8, num_seconds)]
    assert [each.second for each in result.answers] == asked
    assert bool(asked) == (num_seconds == 60)


def test_pictures_are_taken_away(model: object, recorder: Recorder) -> None:
    list(play(model, MatchJob(ArenaRun("x", SETTINGS, Frames.BLANK), 8, 2, "key")))
    assert not any(clip.frames.any() for clip in recorder.clips)


def test_the_fingerprint_follows_the_weights(model, checkpoint: Path) -> None:
    facts = model_facts(model)
    other = ModelOptions(str(checkpoint), device="cpu").load()
    assert model_facts(other) == facts
    with torch.no_grad():
        other.network.get_input_embeddings().weight[0, 0] += 1
    assert model_facts(other).fingerprint != facts.fingerprint
    assert (facts.name, facts.device, facts.dtype) == (str(checkpoint), "cpu", "float32")
