"""A prefill whose last layer sees its last row alone gives the same logits and the same cache."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from svlm_cli.model.family.parts import language_part
from svlm_cli.model.kernels.last_row import ASKED
from svlm_cli.model.states.formats import KV_FORMATS
from svlm_cli.model.vision.frames import DeepFeatures
from tests.families import RECURRENT, SQUARE, STAMPED, made_model

pytestmark = pytest.mark.usefixtures("one_thread")
FAMILIES = ("qwen2_5_vl", "qwen2_vl", *STAMPED[:2], *RECURRENT, *SQUARE)


def fed(model, cache, seed: int, count: int, deep: DeepFeatures | None = None) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 100, count).tolist()
    positions = generator.random((3, count)).cumsum(axis=1) + seed
    return model.forward(model.embed(ids), positions, cache, deep)


def rows_seen(model) -> list[int]:
    """What the second half of the last layer is given, call by call."""
    seen: list[int] = []
    mlp = language_part(model.network).layers[-1].mlp
    mlp.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_cache_are_the_same(family, model):
    made = {name: made_model(family, model.tokenizer, spread=2.0) for name in ("whole", "last")}
    language_part(made["whole"].network).layers[-1]._forward_pre_hooks.clear()
    seen = {name: rows_seen(each) for name, each in made.items()}
    caches = {name: each.new_cache(40) for name, each in made.items()}
    for step, count in enumerate((9, 1, 30, 2)):
        logits = {name: fed(each, caches[name], step, count) for name, each in made.items()}
        torch.testing.assert_close(logits["last"], logits["whole"], atol=2e-5, rtol=2e-5)
    for layer in range(caches["whole"].num_kv_layers):
        for ours, theirs in zip(*(each.held(layer) for each in caches.values()), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    rows = [9, 1, 30, 2]
    assert seen == {"whole": rows, "last": rows if family in RECURRENT else [1] * 4}


@pytest.mark.parametrize("num_deep", [1, 99])
def test_features_added_behind_the_last_layer_keep_it_whole(num_deep, model):
    made = made_model("qwen3_vl", model.tokenizer)
    layers = made.network.model.language_model.layers
    seen = rows_seen(made)
    size = made.network.config.text_config.hidden_size
    deep = DeepFeatures(torch.arange(8) < 3, torch.zeros(min(num_deep, len(layers)), 3, size))
    fed(made, made.new_cache(8), 1, 8, deep)
    assert seen == [1 if num_deep == 1 and len(layers) > 1 else 8]


@pytest.mark.parametrize("name", KV_FORMATS)
def test_in_every_format_of_the_cache(name, model):
    made = replace(made_model("qwen2_5_vl", model.tokenizer, spread=1.0), kv_cache=KV_FORMATS[name])
    other = made_model("qwen2_5_vl", model.tokenizer, spread=1.0)
    other.network.model.language_model.layers[-1]._forward_pre_hooks.clear()
    other = replace(other, kv_cache=KV_FORMATS[name])
    whole = fed(other, other.new_cache(40), 3, 20)
    assert (fed(made, made.new_cache(40), 3, 20) - whole).abs().max() < 2e-2 * whole.abs().max()


def test_others_than_the_engine_see_all_rows(model):
    made = made_model("qwen2_5_vl", model.tokenizer)
    states = torch.randn(1, 7, made.network.config.text_config.hidden_size)
    with torch.inference_mode():
        out = made.network.model.language_model(inputs_embeds=states)
        last = made.network.model.language_model(inputs_embeds=states, use_cache=True, **{ASKED: True})
    assert out.last_hidden_state.shape[1] == 7
    torch.testing.assert_close(
        last.last_hidden_state[:, -1], out.last_hidden_state[:, -1], atol=1e-5, rtol=1e-5
    )
