"""Words fed in fixed shapes against the plain forward, and that the shapes are fixed indeed."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from svlm_cli import Sampling, StreamSession, StreamSettings, load_model, open_source
from svlm_cli.errors import ModelError, UsageError
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.hooks.fixed_words import FixedWords, WordForward, word_forward
from svlm_cli.model.load import BUNDLED
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.window import TokenRange
from svlm_cli.settings import Policy

GREEDY = StreamSettings(vision_window=4, rounds=4, sink=24, text_window=24, sampling=Sampling(greedy=True))


def fixed(model: VideoLanguageModel, **how: bool) -> VideoLanguageModel:
    """The same model, words fed in fixed shapes."""
    forward = WordForward(model.network, **({"compiled": False, "graphs": False} | how))
    own = {item.name: getattr(model, item.name) for item in fields(VideoLanguageModel)}
    return VideoLanguageModel(**(own | {"word_forward": forward}))


def filled(model: VideoLanguageModel, num_tokens: int, capacity: int) -> StreamingCache:
    generator = np.random.default_rng(num_tokens)
    ids = generator.integers(0, 200, num_tokens).tolist()
    cache = model.new_cache(capacity)
    model.forward(model.embed(ids), np.tile(np.arange(num_tokens, dtype=np.float64), (3, 1)), cache)
    return cache


def say(model: VideoLanguageModel, settings: StreamSettings, num_steps: int) -> list[str]:
    with open_source("arena:soccer,seed=3,minutes=10") as source:
        session = StreamSession(model, replace(settings, previous_text=source.opening_text(0.0)))
        return [session.step(clip).text for clip in source.clips(2.0, 1.0, 0.0, float(num_steps))]


@pytest.fixture(params=["model", "qwen2_vl_model"])
def any_model(request: pytest.FixtureRequest) -> VideoLanguageModel:
    return request.getfixturevalue(request.param)


@torch.inference_mode()
def test_logits_of_the_plain_way_before_and_after_an_eviction_and_growth(any_model) -> None:
    caches = [filled(any_model, 30, capacity=36) for _ in range(2)]
    ways = [any_model.words(caches[0]), fixed(any_model).words(caches[1])]
    assert isinstance(ways[1], FixedWords)

    def check(first_position: int, num_words: int) -> None:
        for number in range(num_words):
            plain, ours = (way.feed(11 + number, float(first_position + number)).clone() for way in ways)
            torch.testing.assert_close(ours, plain, atol=2e-4, rtol=1e-4)

    check(30, 4)
    for cache in caches:
        cache.evict([TokenRange(0, 5), TokenRange(20, 34)])
        shifts = np.concatenate([np.zeros(5), np.full(14, -15.0)])
        cache.shift(shifts)
    check(19, 30)  # past the capacity: the storage grows on the way
    assert caches[0].num_tokens == caches[1].num_tokens == 49
    for layer in range(caches[0].num_kv_layers):
        for plain, ours in zip(caches[0].held(layer), caches[1].held(layer), strict=True):
            torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_what_lies_behind_the_held_tokens_does_not_count(model) -> None:
    outs = []
    for noise in (0.0, 1e4):
        cache = filled(model, 12, capacity=40)
        for layer in range(cache.num_kv_layers):
            for states in cache.storage(layer):
                states[:, :, 12:] = noise
        outs.append(fixed(model).words(cache).feed(5, 12.0).clone())
    torch.testing.assert_close(outs[0], outs[1], atol=0, rtol=0)


def test_the_words_of_a_stream_are_the_same() -> None:
    plain = load_model(str(BUNDLED), device="cpu")
    said = say(fixed(plain), GREEDY, 40)
    assert said == say(plain, GREEDY, 40)
    assert len(set(said)) >= 5, "a stream that says one thing shows nothing"


@pytest.mark.parametrize("quantize", ["none", "int8", "int4"])
def test_one_graph_serves_every_word_of_every_stream(quantize: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamo sees no break and nothing that changes: it compiles once for two streams with evictions."""
    graphs: list[Any] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiler = torch.compile
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiler(function, backend=backend, **how))
    plain = load_model(str(BUNDLED), device="cpu", quantize=quantize, kv_cache="float32")
    compiled = load_model(str(BUNDLED), device="cpu", quantize=quantize, compiled=True)
    assert say(compiled, GREEDY, 12) == say(plain, GREEDY, 12)
    assert say(compiled, GREEDY, 5) == say(plain, GREEDY, 5)
    assert len(graphs) == 1


def test_a_process_may_meet_many_sizes_of_cache(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few torch itself would allow, before it fails: eight, and here two."""
    compiler, sizes = torch.compile, []

    def backend(graph: Any, _inputs: Any) -> Any:
        sizes.append(graph)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiler(function, backend=backend, **how))
    compiled = fixed(model, compiled=True)
    with torch._dynamo.config.patch(recompile_limit=2), torch.inference_mode():
        for number in range(4):
            compiled.words(model.new_cache(30 + number)).prepare()
    assert len(sizes) == 4


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_words_are_the_same_over_200_steps() -> None:
    torch._dynamo.reset()
    compiled = load_model(str(BUNDLED), device="cpu", compiled=True)
    assert say(compiled, GREEDY, 200) == say(load_model(str(BUNDLED), device="cpu"), GREEDY, 200)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_replayed_words_are_the_same(dtype: str) -> None:
    plain = load_model(str(BUNDLED), device="cuda", dtype=dtype, graphs="off")
    replayed = load_model(str(BUNDLED), device="cuda", dtype=dtype)
    assert replayed.word_forward is not None
    assert replayed.word_forward.graphs
    assert say(replayed, GREEDY, 60) == say(plain, GREEDY, 60)


def test_what_cannot_be_compiled_says_so(model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_function: Any, **_how: Any) -> Any:
        def run(*_args: Any) -> Any:
            raise torch._dynamo.exc.BackendCompilerFailed(None, RuntimeError("no compiler\nmore"), [])

        return run

    monkeypatch.setattr(torch, "compile", fails)
    words = fixed(model, compiled=True).words(filled(model, 3, capacity=9))
    with pytest.raises(ModelError, match="cannot be compiled here"), torch.inference_mode():
        words.prepare()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"graphs": "on"}, "--graphs on needs --device cuda"),
        ({"graphs": "maybe"}, "--graphs maybe is not known"),
    ],
)
def test_refused(checkpoint, how, message) -> None:
    with pytest.raises(UsageError, match=message):
        load_model(str(checkpoint), device="cpu", **how)


def test_another_attention_is_refused(model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.network.config.text_config, "_attn_implementation", "sdpa")
    assert word_forward(model.network, compiled=False, graphs="auto") is None
    with pytest.raises(UsageError, match="svlm's own attention"):
        word_forward(model.network, compiled=True, graphs="auto")


def test_a_cache_that_grows_for_ever_is_not_compiled_for(model) -> None:
    compiled = fixed(model, compiled=True)
    with pytest.raises(UsageError, match="bounded cache"):
        StreamSession(compiled, StreamSettings(policy=Policy.FULL))
