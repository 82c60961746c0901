"""Windows are refused where they slide in transformers' own forward, and only there."""

from __future__ import annotations

import random
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from svlm_cli.errors import ModelError
from svlm_cli.model.family.table import check_text

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8}


def last_logits(kind: str, **windows: Any) -> tuple[Any, torch.Tensor]:
    """A language model's configuration, and what it makes of a text that is longer than its window."""
    sizes = SIZES | (EXPERTS if kind == "qwen3_moe" else {})
    config = transformers.AutoConfig.for_model(kind, **sizes, **windows)
    network = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
        return config, network(torch.arange(30)[None]).logits[0, -1]


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "qwen3_moe"])
@pytest.mark.parametrize("seed", range(8))
def test_windows_are_refused_where_they_slide(kind: str, seed: int) -> None:
    """Qwen3-MoE reads no kinds of layers: its windows slide whatever these say."""
    dice = random.Random(f"{kind} {seed}")
    kinds = [dice.choice(["full_attention", "sliding_attention"]) for _ in range(3)]
    windows = {
        "use_sliding_window": seed > 0,
        "sliding_window": dice.randint(3, 20) if seed != 1 else None,
        "max_window_layers": dice.randint(0, 4),
        "layer_types": ["full_attention"] * 3 if seed == 2 else kinds if seed in (3, 4) else None,
    }
    config, own = last_logits(kind, **windows)
    _, plain = last_logits(kind, use_sliding_window=False)
    said = (
        nullcontext() if torch.allclose(own, plain, atol=1e-6) else pytest.raises(ModelError, match="sliding")
    )
    with said:
        check_text(SimpleNamespace(model_type="internvl", text_config=config), "m")
