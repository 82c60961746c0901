"""A checkpoint's sizes as far as the network of this room needs them, or nothing where it does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from svlm_cli import values
from svlm_cli.errors import SvlmError
from svlm_cli.model.attention import GROUPED

FAMILY = "qwen2_5_vl"
_MOST = 1 << 24
_PLAIN_ROPE = ("default", "mrope")
_VISION_THETA = 10000.0  # transformers' where a checkpoint names none, as published ones do


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Sizes of the language model, by transformers' names."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, ...]

    use_sliding_window = False
    layer_types = None
    _attn_implementation = GROUPED

    @property
    def head_dim(self) -> int:
        """D."""
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Sizes of the vision tower, by transformers' names."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    patch_size: int
    spatial_merge_size: int
    temporal_patch_size: int
    window_size: int
    fullatt_block_indexes: tuple[int, ...]
    tokens_per_second: int | float
    rope_theta: float
    in_channels: int

    @property
    def head_dim(self) -> int:
        """D."""
        return self.hidden_size // self.num_heads

    @property
    def patch_values(self) -> int:
        """Numbers of a patch."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True, slots=True)
class LeanConfig:
    """What the engine asks of a model's configuration."""

    text_config: TextConfig
    vision_config: VisionConfig
    is_tied: bool

    model_type = FAMILY
    _attn_implementation = "sdpa"


def lean_config(config: Mapping[str, Any]) -> LeanConfig | None:
    """The sizes in a ``config.json``; None where it holds anything but the plain case.

    Whatever is missing or odd is for transformers to fill in or to refuse.
    """
    text, vision = config.get("text_config") or config, config.get("vision_config")
    if config.get("model_type") != FAMILY or not isinstance(text, Mapping) or not isinstance(vision, Mapping):
        return None
    try:
        return LeanConfig(_text(text), _vision(vision), _is_tied(config, text))
    except (KeyError, TypeError, ValueError, SvlmError):
        return None


def _text(section: Mapping[str, Any]) -> TextConfig:
    rope = section.get("rope_parameters") or section["rope_scaling"]
    kind = rope.get("rope_type", rope.get("type"))
    known = {"rope_type", "type", "rope_theta", "mrope_section"}
    theta = rope["rope_theta"] if "rope_theta" in rope else section["rope_theta"]
    made = TextConfig(
        **_whole(section, TextConfig, 6),
        rms_norm_eps=values.number(section["rms_norm_eps"], "rms_norm_eps", 0.0, 1.0),
        rope_theta=values.number(theta, "rope_theta", 1.0, 1e12),
        mrope_section=tuple(int(each) for each in rope["mrope_section"]),
    )
    is_plain = (
        section["hidden_act"] == "silu"
        and not section.get("use_sliding_window", False)
        and set(section.get("layer_types") or ()) <= {"full_attention"}
        and kind in _PLAIN_ROPE
        and set(rope) <= known
        and section.get("head_dim", made.head_dim) == made.head_dim
        and made.hidden_size % made.num_attention_heads == 0
        and made.num_attention_heads % made.num_key_value_heads == 0
        and 2 * sum(made.mrope_section) == made.head_dim
    )
    if not is_plain:
        raise ValueError(kind)
    return made


def _vision(section: Mapping[str, Any]) -> VisionConfig:
    rope = section.get("rope_parameters") or {"rope_type": "axial"}
    made = VisionConfig(
        **_whole(section, VisionConfig, 9),
        fullatt_block_indexes=tuple(int(each) for each in section["fullatt_block_indexes"]),
        tokens_per_second=section["tokens_per_second"],
        rope_theta=values.number(rope.get("rope_theta", _VISION_THETA), "rope_theta", 1.0, 1e12),
        in_channels=int(section.get("in_channels", 3)),
    )
    is_plain = (
        section["hidden_act"] == "silu"
        and rope.get("rope_type") == "axial"
        and set(rope) <= {"rope_type", "rope_theta"}
        and "head_dim" not in section
        and made.in_channels == 3
        and made.hidden_size % made.num_heads == 0
        and made.head_dim % 4 == 0
    )
    if not is_plain:
        raise ValueError(rope)
    return made


def _whole(section: Mapping[str, Any], kind: type, number: int) -> dict[str, Any]:
    """The first fields of a class, which are whole numbers."""
    names = list(kind.__dataclass_fields__)[:number]  # type: ignore[attr-defined]
    return {name: values.whole(section[name], name, 1, _MOST) for name in names}


def _is_tied(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    return bool(config.get("tie_word_embeddings", False) or text.get("tie_word_embeddings", False))
