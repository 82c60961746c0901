"""The model that ships: what it says about matches it has never seen, against the simulator's own record."""

from __future__ import annotations

import pytest

from svlm_cli import StreamSettings, load_model, open_source, stream_video
from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import truth
from svlm_cli.bench.score import match_events
from svlm_cli.model.load import BUNDLED
from svlm_cli.settings import Sampling
from svlm_cli.types import StepEvent, WarningEvent

MATCH = "arena:soccer,seed=4242,minutes=3,size=168x112"
LARGEST_BYTES = 12_000_000


@pytest.fixture(scope="module")
def bundled():
    return load_model(device="cpu", threads=1)


def said_about(model, fps: float, **settings) -> tuple[list[str], list[str]]:
    greedy = StreamSettings(fps=fps, sampling=Sampling(greedy=True), **settings)
    with open_source(MATCH) as source:
        events = list(stream_video(model, source, greedy))
    lines = [event.text for event in events if isinstance(event, StepEvent)]
    return lines, [event.message for event in events if isinstance(event, WarningEvent)]


@pytest.mark.parametrize("fps", [2.0, 8.0])
def test_it_says_what_happens(bundled, fps: float) -> None:
    lines, warnings = said_about(bundled, fps)
    true = [record.line for record in truth(parse_address(MATCH))]
    outcomes = match_events(true, lines)
    hits = sum(outcome.is_hit for outcome in outcomes)
    complete = sum(outcome.is_complete for outcome in outcomes)
    num_true = sum(outcome.truth is not None for outcome in outcomes)
    num_said = sum(outcome.said is not None for outcome in outcomes)
    assert 2 * hits / (num_true + num_said) >= 0.8
    assert complete / hits >= 0.8
    assert not warnings


def test_words_it_does_not_know_are_told_once(bundled) -> None:
    lines, warnings = said_about(bundled, 2.0, query="Describe the weather", title="Cup final", duration=5)
    assert len(lines) == 5
    assert len([text for text in warnings if "weather" in text]) == 1


def test_it_is_small_and_complete() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= LARGEST_BYTES
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "preprocessor_config.json",
        "README.md",
    } <= {path.name for path in BUNDLED.iterdir()}
