"""Keys turned by the cache against transformers' own rotations, and the guard at load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from transformers.models.glm4v import modeling_glm4v as glm
from transformers.models.llama import modeling_llama as llama

from svlm_cli import ModelError, load_model
from svlm_cli.model.family import table
from svlm_cli.model.family.guard import check_turning
from svlm_cli.model.family.table import FAMILIES, Family, check_text
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.states.rotation import Pairs, Rotation
from tests.families import STAMPED, made_model

HEAD = 16


def angles(
    inv_freq: torch.Tensor, positions: torch.Tensor, pairs: Pairs
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines as transformers' models make them: (1, m, r)."""
    table = (positions[:, None] * inv_freq)[None]
    each = table.repeat_interleave(2, -1) if pairs is Pairs.NEIGHBOURS else torch.cat([table, table], dim=-1)
    return each.cos(), each.sin()


@pytest.mark.parametrize("size", [HEAD, HEAD // 2, HEAD // 4])
@pytest.mark.parametrize("pairs", list(Pairs))
@pytest.mark.parametrize("seed", range(3))
def test_a_turned_key_is_one_that_was_fed_there(size: int, pairs: Pairs, seed: int) -> None:
    """transformers' LLaMA pairs halves, its GLM neighbours; both turn a part of the head where told."""
    torch.manual_seed(seed)
    inv_freq = 1.0 / 10_000 ** (torch.arange(0, size, 2) / size)
    raw, here = torch.randn(1, 2, 7, HEAD), torch.randint(0, 300, (7,)).float()
    shifts = torch.randint(-200, 200, (7,)).float() / 2

    def fed(positions: torch.Tensor) -> torch.Tensor:
        cos, sin = angles(inv_freq, positions, pairs)
        if pairs is Pairs.NEIGHBOURS:
            return glm.apply_rotary_pos_emb(raw, raw, cos, sin)[1]
        turned = llama.apply_rotary_pos_emb(raw[..., :size], raw[..., :size], cos, sin)[1]
        return torch.cat([turned, raw[..., size:]], dim=-1)

    rotation = Rotation(inv_freq, pairs)
    moved = rotation.turned(fed(here), *rotation.tables(shifts))
    torch.testing.assert_close(moved, fed(here + shifts), atol=1e-4, rtol=0)
    other = Rotation(inv_freq, next(each for each in Pairs if each is not pairs))
    assert (other.turned(fed(here), *other.tables(shifts)) - fed(here + shifts)).abs().max() > 0.1


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_family_turns_as_its_row_says(family: str, dtype: torch.dtype, model) -> None:
    check_turning(made_model(family, model.tokenizer, dtype=dtype))


def test_a_wrong_row_is_refused_at_load(checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    row = FAMILIES["qwen2_5_vl"]
    monkeypatch.setitem(table.FAMILIES, "qwen2_5_vl", replace(row, pairs=Pairs.NEIGHBOURS))
    for quantize, dtype in (("none", "float32"), ("none", "bfloat16"), ("int8", "float32")):
        with pytest.raises(ModelError, match="do not turn as the cache would"):
            load_model(str(checkpoint), device="cpu", dtype=dtype, quantize=quantize)


GLM = {
    "text_config": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 500,
        "pad_token_id": 0,
    },
    "vision_config": {
        "depth": 1,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 64,
    },
}


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_glm_with_a_row_of_halves_is_refused_and_with_neighbours_opens(
    part: float, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was silently wrong: with the whole head rotated no shape tells."""
    section = [2, 3, 3] if part == 1.0 else [1, 1, 2]
    rope = {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "partial_rotary_factor": part,
        "mrope_section": section,
    }
    text = GLM["text_config"] | {"rope_parameters": rope}
    torch.manual_seed(0)
    config = transformers.Glm4vConfig(text_config=text, vision_config=GLM["vision_config"])
    network = transformers.Glm4vForConditionalGeneration(config).eval()
    glm_model = VideoLanguageModel("glm", False, network, None, model.markup, model.patches, None)
    for pairs in Pairs:
        row = Family("Glm4vForConditionalGeneration", pairs=pairs)
        monkeypatch.setitem(table.FAMILIES, "glm4v", row)
        if pairs is Pairs.NEIGHBOURS:
            check_turning(glm_model)
        else:
            with pytest.raises(ModelError, match="the keys of the model glm do not turn"):
                check_turning(glm_model)


def test_random_checkpoints_of_the_families_open(part_of_vocabulary, tmp_path) -> None:
    for family in STAMPED:
        folder = build_random_checkpoint(tmp_path / family, family=family, vocabulary=str(part_of_vocabulary))
        opened = load_model(str(folder), device="cpu")
        assert opened.network.config.model_type == family


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keys_that_are_no_numbers_are_refused(model, dtype) -> None:
    """As a base of RoPE below 0 makes them."""
    made = made_model("qwen3_vl", model.tokenizer, dtype=dtype)
    made.network.model.language_model.rotary_emb.inv_freq[3] = float("nan")
    with pytest.raises(ModelError, match="numbers that are not finite"):
        check_turning(made)


@pytest.mark.parametrize(
    ("family", "text_type"),
    [
        ("qwen2_vl", None),
        ("qwen2_5_vl", None),
        *(("internvl", each) for each in ("qwen2", "qwen3", "qwen3_moe")),
        ("llava_onevision", "qwen2"),
    ],
)
def test_windows_that_slide_over_places_in_the_cache_are_refused(family: str, text_type: str | None) -> None:
    """Freed places are filled from the tail: what a mask takes for the last tokens is not."""
    sizes = {"num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 2}
    told = sizes if text_type is None else sizes | {"model_type": text_type}

    def configured(**windows: object) -> Any:
        return transformers.AutoConfig.for_model(family, text_config=told | windows)

    check_text(configured(sliding_window=8), "x")  # switched off, as published
    with pytest.raises(ModelError, match="has sliding windows"):
        check_text(configured(use_sliding_window=True, sliding_window=8, max_window_layers=2), "x")
    if text_type != "qwen3_moe":  # all of whose layers slide or none
        check_text(configured(use_sliding_window=True, sliding_window=8, max_window_layers=4), "x")
        odd = configured(layer_types=["full_attention", "chunked_attention"] * 2)
        with pytest.raises(ModelError, match="has sliding windows"):
            check_text(odd, "x")
