"""Work whose sessions share forwards: each says what it says alone, in the same forwards each time."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from svlm_cli import Sampling, StreamSettings, load_model
from svlm_cli.bench.arena.match import MatchJob, MatchResult, play
from svlm_cli.bench.arena.runs import ArenaRun
from svlm_cli.bench.common.hands import ModelHire, ModelJob
from svlm_cli.bench.common.model import ModelOptions
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.stream.step import meeting as module
from svlm_cli.stream.step.meeting import do_all
from svlm_cli.work.jobs import UNHEARD

SHOWN = StreamSettings(
    vision_window=2, rounds=2, sink=8, text_window=24, sampling=Sampling(greedy=True, max_new_tokens=6)
)
JOBS = [MatchJob(ArenaRun("streaming", SHOWN), seed, 3 + seed % 3, "key") for seed in range(7)]


@pytest.fixture(scope="module")
def bundled() -> VideoLanguageModel:
    return load_model(None, device="cpu", threads=1)


def said(events) -> dict[int, tuple[str, ...]]:
    return {event.job.seed: event.said for event in events if isinstance(event, MatchResult)}


def works(model):
    return (partial(play, model, job, UNHEARD) for job in JOBS)


def test_a_batch_says_what_each_says_alone(bundled, monkeypatch, one_thread) -> None:
    alone = said(do_all(bundled, works(bundled), 1))
    assert sum(len(word) for line in alone.values() for word in line) > 50, "they must speak"
    made: list[list[int]] = []
    feed = module.SharedFeeder.feed

    def noted(self, plans):
        made[-1].append(len(plans))
        return feed(self, plans)

    monkeypatch.setattr(module.SharedFeeder, "feed", noted)
    for _ in range(2):
        made.append([])
        assert said(do_all(bundled, works(bundled), 3)) == alone
    assert made[0] == made[1], "the same forwards, whoever comes first"
    assert max(made[0]) == 3
    assert sum(made[0]) > 1.8 * len(made[0]), "they are shared"
    assert not [thread for thread in threading.enumerate() if thread.name == "svlm-batch"]


def test_who_fails_ends_all_and_closing_does(bundled) -> None:
    def fails(_feeder):
        raise RuntimeError("no such match")
        yield

    with pytest.raises(RuntimeError, match="no such match"):
        list(do_all(bundled, [partial(play, bundled, JOBS[0]), fails], 2))
    events = do_all(bundled, works(bundled), 4)
    next(events)
    events.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "svlm-batch"]


def test_a_worker_holds_a_batch(bundled, one_thread) -> None:
    """What a hand does with a job: its matches, two at once."""
    hire = ModelHire(ModelOptions(device="cpu", threads=1), play, 2)
    came = [event for _, event in hire(UNHEARD).do(ModelJob(tuple(JOBS[:3])))]
    alone = do_all(bundled, (partial(play, bundled, job, UNHEARD) for job in JOBS[:3]), 1)
    assert said(came) == said(alone)
