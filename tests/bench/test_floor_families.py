"""The floor of families with deep features and experts: as many products as the engine's own modules do."""

from __future__ import annotations

import pytest
import torch

from svlm_cli import Sampling, StreamSession, StreamSettings
from svlm_cli.bench.speed.floor import Floor, watched
from tests.families import RECURRENT, SQUARE, STAMPED, made_model
from tests.stream.engine import clips


def by_experts(model, num_rows: int) -> int:
    """Products of the routers and of the experts that rows ask."""
    text = model.network.config.text_config
    if not hasattr(text, "num_experts_per_tok"):
        return 0
    size, width = text.hidden_size, text.moe_intermediate_size
    asked = text.num_experts_per_tok * (2 * width * size + width * size)
    return text.num_hidden_layers * num_rows * (text.num_experts * size + asked)


@pytest.mark.parametrize("family", STAMPED + RECURRENT + SQUARE)
def test_the_floor_counts_every_product_of_a_step_once(model, family: str) -> None:
    seen = watched(made_model(family, model.tokenizer))
    sampling = Sampling(4, greedy=True, repetition_penalty=9.0)
    session = StreamSession(seen, StreamSettings(vision_window=2, rounds=2, sampling=sampling))
    counted: list[int] = []

    def count(layer, _inputs, output) -> None:
        counted.append(output.numel() * layer.weight[0].numel())

    for layer in seen.network.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Conv3d):
            layer.register_forward_hook(count)
    for clip in clips(4, size=(96, 128)):
        seen.forget()
        counted.clear()
        session.step(clip)
    needed = sum(counted) + sum(by_experts(seen, fed.num_new) for fed in seen.fed)
    floor = Floor(seen)
    run = sum(sum(each.products.values()) for each in floor.work(seen, session.cache).values())
    seconds = floor.seconds(seen, session.cache)
    assert run == needed
    assert min(seconds.values()) > 0
    assert len(seen.grids) == 1
