"""The settings of a stream are checked once, when they are made."""

from __future__ import annotations

import math

import pytest

from svlm_cli import Policy, Sampling, StreamSettings, UsageError


def test_defaults_are_the_papers():
    settings = StreamSettings()
    assert (settings.sink, settings.text_window, settings.vision_turns, settings.rounds) == (512, 512, 16, 16)
    sampling = settings.sampling
    assert (sampling.max_new_tokens, sampling.temperature, sampling.top_k) == (20, 0.9, 50)
    assert sampling.repetition_penalty == 1.05


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 3},
        {"fps": 1},
        {"fps": math.inf},
        {"fps": math.nan},
        {"step_seconds": 0},
        {"step_seconds": math.nan},
        {"vision_window": 0.5},
        {"vision_window": math.inf},
        {"vision_window": math.nan},
        {"rounds": 0},
        {"sink": -1},
        {"text_window": -1},
        {"policy": "window", "restart_seconds": 0.5},
        {"start": math.nan},
        {"start": -0.1},
        {"duration": 0},
        {"duration": math.inf},
        {"min_pixels": 0},
        {"min_pixels": 10_000, "max_pixels": 5_000},
    ],
)
def test_values_outside_their_limits_are_refused(wrong):
    with pytest.raises(UsageError, match="--"):
        StreamSettings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.5},
        {"top_p": math.nan},
        {"repetition_penalty": 0},
        {"repetition_penalty": math.nan},
        {"max_new_tokens": 0},
    ],
)
def test_sampling_outside_its_limits_is_refused(wrong):
    with pytest.raises(UsageError, match="--"):
        Sampling(**wrong)


def test_turns_are_counted_in_steps():
    settings = StreamSettings(step_seconds=0.5, fps=8, vision_window=4, policy="window", restart_seconds=10)
    assert (settings.frames_per_step, settings.vision_turns, settings.restart_turns) == (4, 8, 20)
    assert settings.policy is Policy.WINDOW


def test_restarts_matter_to_the_window_policy_alone():
    assert StreamSettings(step_seconds=3, fps=2, vision_window=15).restart_seconds == 100


def test_opening_text_joins_with_a_blank():
    assert StreamSettings(title="Cup", previous_text="One nil.").opening_text == "Cup One nil."
    assert StreamSettings(title="Cup").opening_text == "Cup"
    assert StreamSettings().opening_text == ""
