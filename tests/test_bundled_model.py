"""The model that ships: what it says about matches it has never seen, against the simulator's own record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svlm_cli import StreamSettings, load_model, open_source, stream_video
from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import truth
from svlm_cli.bench.arena.matches import bench_arena
from svlm_cli.bench.arena.runs import ArenaPlan, ArenaRun
from svlm_cli.bench.arena.score import match_events
from svlm_cli.bench.common.hands import Staff
from svlm_cli.bench.common.model import ModelOptions
from svlm_cli.model.load import BUNDLED
from svlm_cli.settings import Sampling
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.questions import Questions
from svlm_cli.types import StepEvent, WarningEvent

MATCH = "arena:soccer,seed=4242,minutes=3,size=168x112"
LARGEST_BYTES = 12_000_000


@pytest.fixture(scope="module")
def bundled():
    return load_model(device="cpu", threads=1)


def said_about(
    model, fps: float, match: str = MATCH, controls: Controls | None = None, **settings
) -> tuple[list[str], list[str]]:
    greedy = StreamSettings(fps=fps, sampling=Sampling(greedy=True), **settings)
    with open_source(match) as source:
        events = list(stream_video(model, source, greedy, controls=controls))
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
    assert 2 * hits / (num_true + num_said) >= 0.95
    assert complete / hits >= 0.95
    assert not warnings


@pytest.mark.parametrize("size", ["640x360", "336x336", "300x500"])
def test_a_picture_of_another_shape_is_the_same_match(bundled, size: str) -> None:
    match = MATCH.replace("168x112", size)
    lines, _ = said_about(bundled, 2.0, match, duration=60)
    true = [record.line for record in truth(parse_address(MATCH))][:60]
    assert sum(line == said for line, said in zip(true, lines, strict=True)) >= 55


def test_words_it_does_not_know_are_told_once(bundled) -> None:
    questions = Questions()
    for at_seconds in (1.0, 3.0):
        questions.ask("who wins the cup?", at_seconds)
    options = {"query": "Describe the weather", "title": "Cup final", "duration": 5}
    lines, warnings = said_about(bundled, 2.0, controls=Controls(questions=questions), **options)
    assert len(lines) == 5
    assert len([text for text in warnings if "weather" in text]) == 1
    assert len([text for text in warnings if "wins" in text]) == 1


def test_a_title_does_not_take_the_opening_away(bundled) -> None:
    plain, _ = said_about(bundled, 2.0, duration=30)
    titled, _ = said_about(bundled, 2.0, duration=30, title="Cup final")
    assert {line.split()[-1] for line in titled if " by " in line} <= {
        line.split()[-1] for line in plain if " by " in line
    }
    assert any(" by " in line for line in titled)


def test_it_is_small_and_complete() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= LARGEST_BYTES
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "preprocessor_config.json",
        "README.md",
    } <= {path.name for path in BUNDLED.iterdir()}


def test_a_benchmark_tells_of_the_words_of_its_query_once(tmp_path) -> None:
    settings = StreamSettings(query="Commentate on the zebra; zebra", sampling=Sampling(greedy=True))
    plan = ArenaPlan(
        (ArenaRun("one", settings), ArenaRun("two", replace(settings, fps=4.0))), num_matches=1, minutes=0.05
    )
    events = list(bench_arena(plan, Staff(ModelOptions()), tmp_path))
    (warning,) = [event.message for event in events if isinstance(event, WarningEvent)]
    assert "lacks: the, zebra;" in warning
