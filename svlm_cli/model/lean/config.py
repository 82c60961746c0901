"""A checkpoint's sizes as far as the network of this room needs them, or nothing where it does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from svlm_cli import values
from svlm_cli.errors import SvlmError
from svlm_cli.model.attention import GROUPED

SECOND, THIRD = "qwen2_5_vl", "qwen3_vl"
_MOST = 1 << 24
_PLAIN_ROPE = ("default", "mrope")
_VISION_THETA = 10000.0  # transformers' where a checkpoint names none, as published ones do


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Sizes of the language model, by transformers' names.

    Args:
        is_third: Qwen3: heads of queries and keys are normed, no product has a bias, and rows of positions
            take turns among the frequencies. Else Qwen2.5: biases, and each row's frequencies side by side.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, ...]
    is_third: bool

    use_sliding_window = False
    layer_types = None
    _attn_implementation = GROUPED


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
    def tokens_per_window(self) -> int | None:
        """Along a side."""
        return self.window_size // (self.spatial_merge_size * self.patch_size)


@dataclass(frozen=True, slots=True)
class DeepVisionConfig:
    """Sizes of the vision tower of Qwen3-VL, by transformers' names."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    patch_size: int
    spatial_merge_size: int
    temporal_patch_size: int
    num_position_embeddings: int
    deepstack_visual_indexes: tuple[int, ...]
    rope_theta: float
    in_channels: int

    tokens_per_window = None

    @property
    def head_dim(self) -> int:
        """D."""
        return self.hidden_size // self.num_heads


@dataclass(frozen=True, slots=True)
class LeanConfig:
    """What the engine asks of a model's configuration."""

    model_type: str
    text_config: TextConfig
    vision_config: VisionConfig | DeepVisionConfig
    is_tied: bool

    _attn_implementation = "sdpa"


def lean_config(config: Mapping[str, Any]) -> LeanConfig | None:
    """The sizes in a ``config.json``; None where it holds anything but the plain case.

    Whatever is missing or odd is for transformers to fill in or to refuse.
    """
    family, vision = config.get("model_type"), config.get("vision_config")
    text = config.get("text_config") or config
    if not isinstance(text, Mapping) or not isinstance(vision, Mapping):
        return None
    try:
        if family == SECOND:
            return LeanConfig(SECOND, _text(text), _vision(vision), _is_tied(config, text))
        if family == THIRD and text is not config:
            return LeanConfig(THIRD, _third_text(text), _deep_vision(vision), _is_tied_alike(config, text))
        return None
    except (KeyError, TypeError, ValueError, SvlmError):
        return None


def _text(section: Mapping[str, Any]) -> TextConfig:
    size, heads = section["hidden_size"], section["num_attention_heads"]
    made = _any_text(section, size // heads, is_third=False)
    _need(
        section.get("head_dim", made.head_dim) == made.head_dim
        and made.hidden_size % made.num_attention_heads == 0
    )
    return made


def _third_text(section: Mapping[str, Any]) -> TextConfig:
    made = _any_text(section, values.whole(section["head_dim"], "head_dim", 1, _MOST), is_third=True)
    _need(not section.get("attention_bias", False))
    return made


def _any_text(section: Mapping[str, Any], head_size: int, *, is_third: bool) -> TextConfig:
    rope = section.get("rope_parameters") or section["rope_scaling"]
    kind = rope.get("rope_type", rope.get("type"))
    known = {"rope_type", "type", "rope_theta", "mrope_section"}
    theta = rope["rope_theta"] if "rope_theta" in rope else section["rope_theta"]
    made = TextConfig(
        **_whole(section, TextConfig, 6),
        head_dim=head_size,
        rms_norm_eps=values.number(section["rms_norm_eps"], "rms_norm_eps", 0.0, 1.0),
        rope_theta=values.number(theta, "rope_theta", 1.0, 1e12),
        mrope_section=tuple(int(each) for each in rope["mrope_section"]),
        is_third=is_third,
    )
    _need(
        section["hidden_act"] == "silu"
        and not section.get("use_sliding_window", False)
        and set(section.get("layer_types") or ()) <= {"full_attention"}
        and kind in _PLAIN_ROPE
        and set(rope) <= (known | {"mrope_interleaved"} if is_third else known)
        and made.num_attention_heads % made.num_key_value_heads == 0
        and len(made.mrope_section) == 3
        and 2 * sum(made.mrope_section) == made.head_dim
    )
    return made


def _vision(section: Mapping[str, Any]) -> VisionConfig:
    made = VisionConfig(
        **_whole(section, VisionConfig, 9),
        fullatt_block_indexes=tuple(int(each) for each in section["fullatt_block_indexes"]),
        tokens_per_second=section["tokens_per_second"],
        rope_theta=_vision_theta(section),
        in_channels=int(section.get("in_channels", 3)),
    )
    _need(section["hidden_act"] == "silu")
    _check_vision(made, section)
    return made


def _deep_vision(section: Mapping[str, Any]) -> DeepVisionConfig:
    deep = tuple(int(each) for each in section["deepstack_visual_indexes"])
    made = DeepVisionConfig(
        **_whole(section, DeepVisionConfig, 9),
        deepstack_visual_indexes=deep,
        rope_theta=_vision_theta(section),
        in_channels=int(section.get("in_channels", 3)),
    )
    _need(
        section["hidden_act"] == "gelu_pytorch_tanh"
        and list(deep) == sorted(set(deep) & set(range(made.depth)))
        and isqrt(made.num_position_embeddings) ** 2 == made.num_position_embeddings
    )
    _check_vision(made, section)
    return made


def _vision_theta(section: Mapping[str, Any]) -> float:
    rope = section.get("rope_parameters") or {"rope_type": "axial"}
    _need(rope.get("rope_type") == "axial" and set(rope) <= {"rope_type", "rope_theta"})
    return values.number(rope.get("rope_theta", _VISION_THETA), "rope_theta", 1.0, 1e12)


def _check_vision(made: VisionConfig | DeepVisionConfig, section: Mapping[str, Any]) -> None:
    _need(
        "head_dim" not in section
        and made.in_channels == 3
        and made.hidden_size % made.num_heads == 0
        and made.head_dim % 4 == 0
    )


def _need(is_plain: bool) -> None:
    """Raise ValueError where something is not as this room has it."""
    if not is_plain:
        raise ValueError("not the plain case")


def _whole(section: Mapping[str, Any], kind: type, number: int) -> dict[str, Any]:
    """The first fields of a class, which are whole numbers."""
    names = list(kind.__dataclass_fields__)[:number]  # type: ignore[attr-defined]
    return {name: values.whole(section[name], name, 1, _MOST) for name in names}


def _is_tied(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    return bool(config.get("tie_word_embeddings", False) or text.get("tie_word_embeddings", False))


def _is_tied_alike(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    """Here the outer one counts; where the inner one differs, transformers may settle it."""
    is_tied = bool(config.get("tie_word_embeddings", False))
    _need(bool(text.get("tie_word_embeddings", is_tied)) == is_tied)
    return is_tied
