"""Streams whose cache is in another number format than the model: words, states, sharing, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svlm_cli import Sampling, StepEvent, StreamSession, StreamSettings, load_model, open_source, stream_video
from svlm_cli.errors import StateError, UsageError
from svlm_cli.model import attention
from svlm_cli.model.states.formats import KV_FORMATS
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.state import StateKeeper, load_state
from svlm_cli.stream.step.shared import SharedFeeder
from svlm_cli.stream.step.together import DueStep, step_together
from tests.stream.engine import clips

pytestmark = pytest.mark.usefixtures("one_thread")
MATCH = "arena:soccer,seed=5,minutes=2"
SMALL = StreamSettings(sink=8, text_window=16, vision_window=4, rounds=3, sampling=Sampling(greedy=True))
OTHERS = [name for name in KV_FORMATS if name != "float32"]


@pytest.fixture(scope="module")
def model():
    return load_model()


def as_cached(model, name: str):
    return replace(model, kv_cache=KV_FORMATS[name])


def steps(model, duration: float, controls: Controls | None = None) -> list[tuple]:
    with open_source(MATCH) as source:
        events = list(stream_video(model, source, replace(SMALL, duration=duration), controls=controls))
    return [(e.start_seconds, e.text, e.num_cached_tokens) for e in events if isinstance(e, StepEvent)]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_words_of_a_match_stay(model, name, is_compiled, monkeypatch):
    """The bundled model is sure of itself: rounding its keys and values moves no word of half a minute."""
    if not is_compiled:
        monkeypatch.setattr(attention, "native", lambda: None)
    assert steps(as_cached(model, name), 30.0) == steps(model, 30.0)


@pytest.mark.parametrize("name", OTHERS)
def test_a_state_goes_on_in_its_own_format_alone(model, name, tmp_path: Path):
    small, path = as_cached(model, name), tmp_path / "stream.svlm"
    undisturbed = steps(small, 16.0)
    first = steps(small, 9.0, Controls(keeper=StateKeeper(path)))
    saved = load_state(path)
    assert saved.snapshot.tensors["cache.keys"].dtype is KV_FORMATS[name]
    with pytest.raises(StateError, match=rf"kv_cache \({name} -> float32\)"):
        steps(model, 16.0, Controls(resume=saved))
    assert first + steps(small, 16.0, Controls(resume=saved)) == undisturbed


def test_a_state_that_does_not_say_is_in_the_format_of_its_model(model, tmp_path: Path):
    path = tmp_path / "stream.svlm"
    first = steps(model, 9.0, Controls(keeper=StateKeeper(path)))
    saved = load_state(path)
    earlier = replace(saved, made_with={k: v for k, v in saved.made_with.items() if k != "kv_cache"})
    assert first + steps(model, 16.0, Controls(resume=earlier)) == steps(model, 16.0)
    with pytest.raises(StateError, match=r"kv_cache \(float32 -> int8\)"):
        steps(as_cached(model, "int8"), 16.0, Controls(resume=earlier))


@pytest.mark.parametrize("name", OTHERS)
def test_streams_that_share_a_forward_say_what_each_says_alone(model, name):
    small = as_cached(model, name)

    def words(together: bool) -> list[list[str]]:
        sessions = [StreamSession(small, SMALL) for _ in range(3)]
        shown = [clips(8, seed=seed, size=(56, 84)) for seed in range(3)]
        feeder, told = SharedFeeder(small), [[], [], []]
        for number in range(8):
            if together:
                due = [DueStep(s, s.see(c[number])) for s, c in zip(sessions, shown, strict=True)]
                done = [each.finished[1] for each in step_together(due, feeder)]
            else:
                done = [s.step(c[number]) for s, c in zip(sessions, shown, strict=True)]
            for own, step in zip(told, done, strict=True):
                own.append(step.text)
        return told

    assert words(True) == words(False)


def test_an_int8_cache_takes_a_quarter_of_the_memory(model):
    sizes = {}
    for name in KV_FORMATS:
        cache = as_cached(model, name).new_cache(500)
        model.forward(model.embed([5, 6]), torch.arange(6).view(3, 2).double().numpy(), cache)
        sizes[name] = cache.num_bytes
    text = model.network.config.text_config
    head_size = text.hidden_size // text.num_attention_heads
    assert sizes["bfloat16"] * 2 == sizes["float32"]
    assert sizes["int8"] * 4 * head_size == sizes["float32"] * (head_size + 4)


def test_what_it_is_by_itself():
    assert load_model().kv_dtype is torch.float32
    assert load_model(quantize="int8").kv_dtype is torch.bfloat16
    assert load_model(quantize="int8", kv_cache="float32").kv_dtype is torch.float32
    assert load_model(dtype="bfloat16", kv_cache="auto").kv_dtype is torch.bfloat16
    assert load_model(quantize="int8", compiled=True).kv_dtype is torch.float32


def test_a_model_in_bfloat16_is_saved_and_goes_on(tmp_path: Path):
    """Its cache in its own format, and its rows."""
    half, path = load_model(dtype="bfloat16"), tmp_path / "stream.svlm"
    first = steps(half, 9.0, Controls(keeper=StateKeeper(path)))
    assert first + steps(half, 16.0, Controls(resume=load_state(path))) == steps(half, 16.0)


@pytest.mark.parametrize("name", OTHERS)
def test_refused_where_nothing_reads_it(name):
    with pytest.raises(UsageError, match=f"--kv-cache {name} under a model in float32 is for the CPU"):
        load_model(kv_cache=name, compiled=True)
    with pytest.raises(UsageError, match="--kv-cache int4 is not known"):
        load_model(kv_cache="int4")
