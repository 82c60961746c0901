"""--drop-static: which tokens are left out, and that those that stay are where they were."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from svlm_cli import Clip, Policy, Sampling, StreamSession, StreamSettings, UsageError
from svlm_cli.stream.channels.run import StreamRun
from svlm_cli.stream.stillness import Stillness

from .engine import recording

WINDOW = {"vision_window": 3, "rounds": 3}


def picture(level: int = 100, num_frames: int = 2) -> torch.Tensor:
    return torch.full((num_frames, 3, 56, 84), level, dtype=torch.uint8)


def test_only_what_changed_is_shown():
    still = Stillness(StreamSettings(drop_static=4, **WINDOW), side=28, depth=2)
    assert still.places(picture()) == (0, 1, 2, 3, 4, 5)
    changed = picture()
    changed[1, :, 28:, 28:56] += 9  # of one frame of two: a mean of 4.5
    assert still.places(changed) == (4,)
    assert still.places(changed) == (0,), "nothing is new: one token stays"
    assert still.places(changed) == (0, 1, 2, 3, 5), "their turn has left the cache: shown again"


def test_slow_changes_add_up():
    still = Stillness(StreamSettings(drop_static=4, **WINDOW, policy=Policy.FULL), side=28, depth=2)
    counts = [len(still.places(picture(100 + 2 * turn))) for turn in range(7)]
    assert counts == [6, 1, 1, 6, 1, 1, 6]


def test_patches_of_a_clip_are_compared_with_each_other():
    still = Stillness(StreamSettings(fps=4, drop_static=0, **WINDOW), side=28, depth=2)
    pixels = picture(num_frames=4)
    pixels[2:, :, :28, :28] = 0
    assert still.places(pixels) == (0, 1, 2, 3, 4, 5, 6)


def test_a_restart_shows_everything():
    options = StreamSettings(drop_static=9, policy=Policy.WINDOW, restart_seconds=2)
    still = Stillness(options, side=28, depth=2)
    assert [len(still.places(picture())) for _ in range(4)] == [6, 1, 6, 1]


@pytest.mark.parametrize("policy", [Policy.STREAMING, Policy.RECOMPUTE])
def test_the_rest_stands_where_it_stood(model, policy):
    """Half the picture stands still: positions of what is fed are those of the whole grid's tokens."""
    records: list[list] = [[], []]
    generator = np.random.default_rng(0)
    shown = []
    for index in range(5):
        frames = np.full((2, 280, 280, 3), 100, dtype=np.uint8)
        frames[:, :, :140] = generator.integers(0, 256, (2, 280, 140, 3))
        shown.append(Clip(index, float(index), index + 1.0, frames))
    models = [recording(model), recording(model)]
    for number, threshold in enumerate((None, 3.0)):
        options = StreamSettings(
            drop_static=threshold, policy=policy, sampling=Sampling(3, greedy=True), **WINDOW
        )
        session = StreamSession(models[number], options, records[number].append)
        for clip in shown:
            session.step(clip)
    whole, part = (record[1] for record in records)
    assert len(part.context_ids) == len(whole.context_ids) - 50, "50 of 100 tokens of the second clip"
    rows = [list(zip(*record.position_ids, strict=True)) for record in (whole, part)]
    assert set(rows[1]) < set(rows[0])
    assert rows[1][-1] == rows[0][-1]
    assert rows[1] == sorted(rows[1], key=rows[0].index)


def test_zero_keeps_every_picture_that_moves(model):
    """With noise everywhere nothing is left out, and the words are those without the option."""
    said = []
    for threshold in (None, 0.0):
        records: list = []
        options = StreamSettings(drop_static=threshold, sampling=Sampling(4, greedy=True), **WINDOW)
        session = StreamSession(model, options, records.append)
        generator = np.random.default_rng(1)
        for index in range(4):
            frames = generator.integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
            session.step(Clip(index, float(index), index + 1.0, frames))
        said.append([record.generated_ids for record in records])
    assert said[0] == said[1]


@pytest.mark.parametrize(("threshold", "left_out"), [(None, True), (1.0, False)])
def test_what_was_shown_once_is_spoken_about_however_late(threshold, left_out):
    """A clip left out behind the tower would take with it all that stays as it is from then on."""
    settings = StreamSettings(drop_static=threshold)
    run = SimpleNamespace(
        _drops=True,
        _left_out=False,
        _settings=settings,
        _clock=SimpleNamespace(next_start=lambda start: start + 5),
    )
    assert StreamRun._is_stale(run, SimpleNamespace(start_seconds=3.0)) is left_out


def test_less_than_nothing_is_refused():
    with pytest.raises(UsageError, match="--drop-static"):
        StreamSettings(drop_static=-1)
