"""Shapes of random checkpoints: small models of the real architectures, with the real vocabulary."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import transformers

from svlm_cli.model.family.dialect import Dialect
from svlm_cli.model.family.markup import END_OF_TEXT, config_ids, special_tokens
from svlm_cli.model.family.table import FAMILIES

VOCABULARY_SIZE = 151_936
PART_OF_VOCABULARY = 131_072  # tokens at most
NUM_EXPERTS, NUM_EXPERTS_USED = 8, 2
LEAST_PARTIAL_HEAD = 32
MOST_DEEP = 3  # layers of the tower whose features go to layers of the language model


@dataclass(frozen=True, slots=True)
class Size:
    """Shape of a random checkpoint; ``vision_heads`` times 64 or so is ``vision_hidden``."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    mlp: int
    vision_hidden: int
    vision_layers: int
    vision_heads: int
    vision_mlp: int


SIZES = {
    "tiny": Size(64, 3, 4, 2, 96, 32, 2, 2, 64),
    "100m": Size(768, 10, 6, 2, 2560, 384, 8, 6, 1024),
    "180m": Size(768, 12, 6, 2, 4096, 512, 12, 8, 1376),
}


def random_config(name: str, family: str, tokenizer: Any) -> Any:
    """The configuration of a random checkpoint.

    Args:
        name: a key of ``SIZES``.
        family: a key of ``table.FAMILIES``.
        tokenizer: the tokenizer that has the ids of the markup.
    """
    size, dialect = SIZES[name], FAMILIES[family].dialect
    ends = {"bos_token_id": END_OF_TEXT, "eos_token_id": dialect.turn_end}
    text = {"vocab_size": num_rows(tokenizer)} | {
        role: tokenizer.convert_tokens_to_ids(token) for role, token in ends.items()
    }
    own: dict[str, Any] = {"vision_config": _vision(size, family), "text_config": text | _text(size, family)}
    if FAMILIES[family].square is not None:
        own = _with_squares(size, family, text, is_tiny=name == "tiny")
    return transformers.AutoConfig.for_model(
        family, **own, tie_word_embeddings=True, **config_ids(tokenizer, dialect)
    )


def family_tokenizer(tokenizer: Any, family: str) -> Any:
    """A copy of Qwen's tokenizer that knows the special tokens of a family."""
    fitted = copy.deepcopy(tokenizer)
    dialect: Dialect = FAMILIES[family].dialect
    texts = (dialect.turn_start, dialect.turn_end, dialect.block_start, dialect.block_end, dialect.pad)
    named = [token for text in (*texts, *dialect.config_ids.values()) for token in special_tokens(text)]
    new = [token for token in dict.fromkeys(named) if fitted.convert_tokens_to_ids(token) is None]
    if new:
        fitted.add_special_tokens({"additional_special_tokens": new})
    return fitted


def num_rows(tokenizer: Any) -> int:
    """Rows of the embeddings: as published for Qwen's whole vocabulary, one a token for a part of it."""
    return VOCABULARY_SIZE if len(tokenizer) > PART_OF_VOCABULARY else len(tokenizer)


def _vision(size: Size, family: str) -> dict[str, Any]:
    row = FAMILIES[family]
    vision: dict[str, Any] = {
        "depth": size.vision_layers,
        "num_heads": size.vision_heads,
        "spatial_merge_size": 2,
        "patch_size": 16 if row.has_stamps else 14,
    }
    wide = {
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_mlp,
        "out_hidden_size": size.hidden,
    }
    if family.startswith("qwen3_5"):
        return vision | wide
    if row.has_stamps:
        num_deep = min(MOST_DEEP, size.vision_layers)
        deep = [size.vision_layers * (number + 1) // (num_deep + 1) for number in range(num_deep)]
        return vision | wide | {"deepstack_visual_indexes": deep}
    if row.has_tokens_per_second:
        return vision | wide | {"tokens_per_second": 2, "fullatt_block_indexes": [size.vision_layers - 1]}
    return vision | {"embed_dim": size.vision_hidden, "hidden_size": size.hidden, "mlp_ratio": 2}


def _text(size: Size, family: str) -> dict[str, Any]:
    head_size = size.hidden // size.heads
    pair = head_size // 2
    text: dict[str, Any] = {
        "hidden_size": size.hidden,
        "intermediate_size": size.mlp,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_section": [pair - 2 * (3 * pair // 8), 3 * pair // 8, 3 * pair // 8],
        },
    }
    if FAMILIES[family].has_stamps:
        text["head_dim"] = head_size
    if family.startswith("qwen3_5"):
        text |= _linear_attention(size)
    if family.endswith("_moe"):
        text |= {
            "num_experts": NUM_EXPERTS,
            "num_experts_per_tok": NUM_EXPERTS_USED,
            "moe_intermediate_size": size.mlp // NUM_EXPERTS_USED,
            "shared_expert_intermediate_size": size.mlp // NUM_EXPERTS_USED,
        }
    return text


def _linear_attention(size: Size) -> dict[str, Any]:
    """Layers of Qwen3.5: most with a state of fixed size, the others turn a quarter of a head."""
    head_size = max(LEAST_PARTIAL_HEAD, size.hidden // size.heads)
    every, turned = min(4, size.layers - 1), head_size // 8
    side = turned // 3
    kinds = ["linear_attention", "full_attention"]
    return {
        "head_dim": head_size,
        "layer_types": [kinds[(number + 1) % every == 0] for number in range(size.layers)],
        "linear_num_key_heads": size.key_value_heads,
        "linear_num_value_heads": size.heads,
        "linear_key_head_dim": head_size,
        "linear_value_head_dim": head_size,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000_000.0,
            "partial_rotary_factor": 0.25,
            "mrope_section": [turned - 2 * side, side, side],
        },
    }


# Pixels per side of a picture, and of a patch, as published; of a tiny one.
_PICTURES = {"smolvlm": (512, 16), "internvl": (448, 14), "llava_onevision": (384, 14)}
_TINY_PICTURES = {"smolvlm": (96, 16), "internvl": (84, 14), "llava_onevision": (98, 14)}


def _with_squares(size: Size, family: str, text: dict[str, Any], *, is_tiny: bool) -> dict[str, Any]:
    """Families whose tower takes square pictures of one size, and whose positions are those of words."""
    side, patch = (_TINY_PICTURES if is_tiny else _PICTURES)[family]
    vision = {
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_mlp,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": size.vision_heads,
        "image_size": side,
        "patch_size": patch,
    }
    text |= {
        "hidden_size": size.hidden,
        "intermediate_size": size.mlp,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "head_dim": size.hidden // size.heads,
    }
    if family == "smolvlm":
        scale = {"scale_factor": 2 if is_tiny else 4}
        return {"vision_config": vision, "text_config": {"model_type": "llama"} | text, **scale}
    if family == "internvl":
        per_frame = (side // patch // 2) ** 2
        return {
            "vision_config": vision,
            "text_config": {"model_type": "qwen3"} | text,
            "image_seq_length": per_frame,
        }
    tower = {"model_type": "siglip_vision_model", "vision_use_head": False}
    return {"vision_config": tower | vision, "text_config": {"model_type": "qwen2"} | text}
