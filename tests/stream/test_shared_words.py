"""Words of several streams in fixed shapes: each as alone, whoever comes, speaks, is silent, or goes."""

from __future__ import annotations

import gc
import random
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from svlm_cli.model.hooks.shared_words import SharedWords
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.stream.step.feeding import LoneFeeder, WordPlan
from svlm_cli.stream.step.shared import SharedFeeder
from tests.families import made_model
from tests.model.test_words import filled, fixed

from .test_shared_feeder import noted, together
from .test_shared_forward import GREEDY, KINDS, Stream


class Shapes(TorchDispatchMode):
    """Every operation with the shapes of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shapes = tree_map(lambda each: each.shape if isinstance(each, torch.Tensor) else each, args)
        self.seen.append((str(func), str(shapes)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"])
def test_every_kind_of_session_beside_the_others(family: str, model: VideoLanguageModel) -> None:
    """Policies, questions, other sizes and rates, a storage that grows."""
    model = made_model(family, model.tokenizer)
    lone = [Stream(model, kind, GREEDY) for kind in KINDS]
    expected_logits = [noted(stream.session) for stream in lone]
    expected = [stream.alone() for stream in lone]
    model = fixed(model)
    streams = [Stream(model, kind, GREEDY) for kind in KINDS]
    feeder = SharedFeeder(model)
    assert isinstance(feeder._words, SharedWords)
    said, seen, _ = together(
        model, [each.session for each in streams], [each.steps for each in streams], feeder
    )
    assert said == expected
    for ours, theirs in zip(seen, expected_logits, strict=True):
        torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@torch.inference_mode()
def test_random_comings_and_goings(seed: int, model: VideoLanguageModel) -> None:
    """Of caches of any length some are fed at a time; now and then one is new, moved, or dropped."""
    draw = random.Random(seed)
    model = fixed(model)
    lone, shared = LoneFeeder(model), SharedFeeder(model)
    pairs: dict[int, list[Any]] = {}
    for turn in range(24):
        if len(pairs) < 2 or draw.random() < 0.1:
            num_tokens = draw.randint(1, 30)
            pairs[turn] = [filled(model, num_tokens, num_tokens + draw.randint(0, 9)) for _ in range(2)]
        if len(pairs) > 2 and draw.random() < 0.1:
            del pairs[draw.choice(list(pairs))]
            gc.collect()
        due = draw.sample(sorted(pairs), draw.randint(1, len(pairs)))
        said = [(draw.randrange(200), float(pairs[number][0].num_tokens)) for number in due]
        lone_plans, plans = (
            [WordPlan(*word, pairs[number][side]) for number, word in zip(due, said, strict=True)]
            for side in (0, 1)
        )
        expected = [lone.feed(plan).clone() for plan in lone_plans]
        for ours, theirs in zip(shared.feed(plans), expected, strict=True):
            assert isinstance(ours, torch.Tensor), ours
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        assert shared._words is not None
        assert len(shared._words._streams) <= len(pairs)
    for alone, beside in pairs.values():
        for layer in range(alone.num_kv_layers):
            for theirs, ours in zip(alone.held(layer), beside.held(layer), strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_shapes_stay_and_nothing_of_a_silent_stream_is_written(model: VideoLanguageModel) -> None:
    caches = [filled(model, num_tokens, capacity) for num_tokens, capacity in ((9, 20), (4, 12), (7, 7))]
    caches[2].reserve(8)
    words = SharedWords(model, graphs=False)
    words.feed([1, 2, 3], [9.0, 4.0, 7.0], caches)
    caches[2].advance(caches[2].capacity - caches[2].num_tokens)  # no slot of it is free
    shapes = []
    for number, places in enumerate(([0, 1], [1], [0], [1, 0])):
        spoken = [caches[place] for place in places]
        before = [[each.clone() for each in cache.storage(0)] for cache in caches]
        words.feed([number] * len(spoken), [float(cache.num_tokens) for cache in spoken], spoken)
        for place in {0, 1, 2} - set(places):
            for was, now in zip(before[place], caches[place].storage(0), strict=True):
                assert torch.equal(was, now)
        assert words._run is not None
        with Shapes() as found:
            words._run()  # what a graph replays
        shapes.append(found.seen)
    assert all(seen == shapes[0] for seen in shapes)
    assert len(shapes[0]) > 20


def test_where_words_are_compiled_alone_they_are_shared_plainly(model: VideoLanguageModel) -> None:
    assert SharedFeeder(fixed(model, compiled=True))._words is None
    assert SharedFeeder(model)._words is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_replayed_words_of_several_streams_are_those_of_each_alone() -> None:
    from benchmarks.gpu_parts.channels import said_in_both_ways

    alone, together = said_in_both_ways("cuda", "auto")
    assert alone == together
