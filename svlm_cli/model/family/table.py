"""What differs between model families: one table, a row each.

A family belongs in it when its keys are rotated before they reach the cache, which is what ``StreamingCache``
relies on; ``family.guard`` looks at every checkpoint that is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from svlm_cli import values
from svlm_cli.errors import ModelError
from svlm_cli.model.family.dialect import INTERNVL, LLAVA_ONEVISION, QWEN, SMOLVLM, Dialect
from svlm_cli.model.family.markup import Markup, Tokenizer, find_markup
from svlm_cli.model.patches import CLIP_MEAN, CLIP_STD, MAX_TOKENS, MIN_TOKENS, PatchSettings
from svlm_cli.model.states.rotation import Pairs
from svlm_cli.model.vision.squares import Square

STATIC_ROPE_TYPES = ("default", "linear", "yarn", "llama3")
RECURRENT_LAYER = "linear_attention"
KNOWN_LAYERS = {"full_attention", RECURRENT_LAYER}
HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TOKENS_PER_SECOND = 0.01, 1000.0  # published: 2 and 25


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between model families.

    Args:
        class_name: transformers' class.
        has_tokens_per_second: whether the time row runs in seconds (else in temporal patches).
        has_stamps: whether every temporal patch is a block of its own behind its time as text (else the clip
            is one block).
        thinks: whether its answers begin with thoughts where the prompt does not close them.
        image_mean, image_std: normalisation where a checkpoint does not state its own.
        pairs: which numbers of a key RoPE turns together.
        dialect: how its conversations are written.
        square: reads from a configuration how frames become pictures of one size; then positions are those of
            words. None where frames keep their shape, and positions are those of M-RoPE.
        text_types: ``model_type`` of the language models that fit its cache; empty where there is one alone.
    """

    class_name: str
    has_tokens_per_second: bool = False
    has_stamps: bool = False
    thinks: bool = False
    image_mean: tuple[float, ...] = CLIP_MEAN
    image_std: tuple[float, ...] = CLIP_STD
    pairs: Pairs = Pairs.HALVES
    dialect: Dialect = QWEN
    square: Callable[[Any], Square] | None = None
    text_types: tuple[str, ...] = ()


def _side(pixels: Any) -> int:
    """A size that some configurations give for both directions."""
    return int(pixels[0] if isinstance(pixels, list | tuple) else pixels)


def _grid_of(config: Any) -> tuple[int, int]:
    """Pixels and patches per side of a tower's picture."""
    side = _side(config.vision_config.image_size)
    return side, side // _side(config.vision_config.patch_size)


def _smolvlm(config: Any) -> Square:
    side, patches = _grid_of(config)
    return Square(side, _shared(patches, config.scale_factor), "lanczos", in_two=True)


def _internvl(config: Any) -> Square:
    side, patches = _grid_of(config)
    return Square(side, _shared(patches, round(1 / config.downsample_ratio)), "bicubic")


def _llava_onevision(config: Any) -> Square:
    side, patches = _grid_of(config)
    return Square(side, -(-patches // 2), "bicubic")


def _shared(patches: int, per_token: int) -> int:
    if patches % per_token:
        raise ValueError(f"{patches} patches per side cannot be shared out in tokens of {per_token}")
    return patches // per_token


def _qwen3(class_name: str, *, thinks: bool = False) -> Family:
    return Family(class_name, has_stamps=True, thinks=thinks, image_mean=HALF, image_std=HALF)


FAMILIES = {
    "qwen2_5_vl": Family("Qwen2_5_VLForConditionalGeneration", has_tokens_per_second=True),
    "qwen2_vl": Family("Qwen2VLForConditionalGeneration"),
    "qwen3_vl": _qwen3("Qwen3VLForConditionalGeneration"),
    "qwen3_vl_moe": _qwen3("Qwen3VLMoeForConditionalGeneration"),
    "cosmos3_omni": _qwen3("Cosmos3OmniForConditionalGeneration"),
    "qwen3_5": _qwen3("Qwen3_5ForConditionalGeneration", thinks=True),
    "qwen3_5_moe": _qwen3("Qwen3_5MoeForConditionalGeneration", thinks=True),
    "smolvlm": Family(
        "SmolVLMForConditionalGeneration",
        has_stamps=True,
        image_mean=HALF,
        image_std=HALF,
        dialect=SMOLVLM,
        square=_smolvlm,
        text_types=("llama",),
    ),
    "internvl": Family(
        "InternVLForConditionalGeneration",
        has_stamps=True,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        dialect=INTERNVL,
        square=_internvl,
        text_types=("qwen2", "qwen3", "qwen3_moe", "llama"),
    ),
    "llava_onevision": Family(
        "LlavaOnevisionForConditionalGeneration",
        dialect=LLAVA_ONEVISION,
        square=_llava_onevision,
        text_types=("qwen2", "qwen3"),
    ),
}


def family_of(config: Any) -> Family:
    """The row of a model's configuration."""
    return FAMILIES[config.model_type]


def check_text(config: Any, name: str) -> None:
    """Refuse a language model whose keys could not be moved.

    Raises:
        ModelError: its angles change with length; its layers see a window by places in the cache, which have
            no order here; or, in families that come with several, nobody has looked at it.
    """
    text = config.text_config
    known, kind = family_of(config).text_types, getattr(text, "model_type", "")
    if known and kind not in known:
        raise ModelError(
            f"the language model of {name} is of type {kind!r}",
            f"svlm streams {config.model_type} with {', '.join(known)}",
        )
    rope = (getattr(text, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in STATIC_ROPE_TYPES:
        raise ModelError(f"the model {name} uses {rope} RoPE, whose angles change with length")
    if _slides(text):
        raise ModelError(
            f"the model {name} has sliding windows, which count places in the cache",
            "these have no order once something was evicted",
        )


def _slides(text: Any) -> bool:
    """Whether a layer sees a window alone; where its class reads no kinds or none are named, all would."""
    kinds = set(getattr(text, "layer_types", None) or ())
    if not kinds <= KNOWN_LAYERS:
        return True
    if kinds and hasattr(type(text), "layer_types"):
        return False
    return bool(getattr(text, "use_sliding_window", False)) and getattr(text, "sliding_window", 0) is not None


def tokens_per_second(config: Any) -> float | None:
    """Of the time row of a model's positions; None where the family counts temporal patches.

    Raises:
        MalformedError: the configuration's is no rate.
    """
    if not family_of(config).has_tokens_per_second:
        return None
    rate = config.vision_config.tokens_per_second
    values.number(rate, "vision_config.tokens_per_second", *_TOKENS_PER_SECOND)
    return rate  # type: ignore[no-any-return] # as it stands: an int seals otherwise than a float


def frames_per_stamp(config: Any) -> int:
    """For ``Markup``: frames of a temporal patch where each is a block behind its time, else 0."""
    family = family_of(config)
    if not family.has_stamps:
        return 0
    return 1 if family.square is not None else int(config.vision_config.temporal_patch_size)


def has_rows(config: Any) -> bool:
    """Whether the language model takes three rows of positions (M-RoPE), not one."""
    return family_of(config).square is None


def markup_of(tokenizer: Tokenizer, config: Any) -> Markup:
    """The markup of a model.

    Raises:
        KeyError: as ``find_markup``.
    """
    family = family_of(config)
    return find_markup(tokenizer, frames_per_stamp(config), thinks=family.thinks, dialect=family.dialect)


def recurrent_layers(config: Any) -> tuple[int, ...]:
    """Numbers of the layers that have a state of fixed size in place of keys and values."""
    kinds = getattr(config.text_config, "layer_types", None) or ()
    return tuple(number for number, kind in enumerate(kinds) if kind == RECURRENT_LAYER)


def patch_settings(config: Any, **known: Any) -> PatchSettings:
    """How a model's frames are cut: sizes from its vision tower, limits of so many tokens each.

    Args:
        config: the model's configuration.
        known: fields of ``PatchSettings`` that are known better.

    Raises:
        ValueError: they contradict each other.
    """
    family, vision = family_of(config), config.vision_config
    own: dict[str, Any]
    if family.square is not None:
        square = family.square(config)
        own = {"image_mean": family.image_mean, "image_std": family.image_std}
        return PatchSettings(square.side // square.tokens_per_side, 1, 1, **(own | known), square=square)
    pixels = (vision.patch_size * vision.spatial_merge_size) ** 2
    own = {
        "image_mean": family.image_mean,
        "image_std": family.image_std,
        "min_pixels": MIN_TOKENS * pixels,
        "max_pixels": MAX_TOKENS * pixels,
    }
    sizes = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
    return PatchSettings(*sizes, **(own | known))
