"""The models that a recipe may name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from svlm_cli.sections.base import PositiveInt, Section, Share, Size
from svlm_cli.settings import MOST_PIXELS

LANGUAGE_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
NEW_MODEL, CHECKPOINT = "<new>", "<checkpoint>"


class NewModel(Section):
    """A Qwen2.5-VL to train from nothing.

    Args:
        hidden, layers, heads, key_value_heads, mlp: the shape of the language model.
        vision_hidden, vision_layers, vision_mlp: the shape of the vision tower.
        merge: patches per side of a token: the tower reads patches of 14 pixels, the language model tokens of
            ``14 * merge``.
        vision: folder of a model of this shape whose vision tower is taken over.
        start: folder of a model of this shape to go on from, instead of random weights.
    """

    hidden: Size = 192
    layers: Size = 4
    heads: Size = 6
    key_value_heads: Size = 3
    mlp: Size = 512
    vision_hidden: Size = 80
    vision_layers: Size = 4
    vision_mlp: Size = 192
    merge: Size = 4
    vision: Path | None = None
    start: Path | None = None

    @model_validator(mode="after")
    def _begins_once(self) -> Self:
        if self.vision is not None and self.start is not None:
            raise ValueError("start has a vision tower of its own: name vision or start")
        return self


class Lora(Section):
    """Low-rank matrices beside frozen weights, by PEFT (arXiv 2106.09685).

    Args:
        rank, alpha, dropout: as PEFT has them; the update is scaled by ``alpha / rank``.
        targets: linear layers of the language model.
    """

    rank: PositiveInt = 64
    alpha: PositiveInt = 128
    dropout: Share = 0.0
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = LANGUAGE_LINEARS


class Checkpoint(Section):
    """A checkpoint of one of the families to go on from.

    Args:
        base: Hugging Face id or folder.
        lora: train an adapter and leave the weights as they are; None trains the weights.
        weights: what they are held in. An optimizer over bfloat16 weights loses small updates: take float32
            for what is trained, bfloat16 under LoRA.
        min_pixels, max_pixels: fewest and most pixels of a frame, None for those of the base.
        prompt_format: how samples are written: ``svlm``, ``livecc`` (as LiveCC was trained), or ``auto``: the
            one that the base was trained on.
    """

    base: str
    lora: Lora | None = None
    weights: Literal["float32", "bfloat16"] = "float32"
    min_pixels: Annotated[int, Field(ge=1, le=MOST_PIXELS)] | None = None
    max_pixels: Annotated[int, Field(ge=1, le=MOST_PIXELS)] | None = None
    prompt_format: Literal["auto", "svlm", "livecc"] = "auto"


def _kind_of_model(value: Any) -> str:
    named = "base" in value if isinstance(value, dict) else isinstance(value, Checkpoint)
    return CHECKPOINT if named else NEW_MODEL


Model = Annotated[
    Annotated[NewModel, Tag(NEW_MODEL)] | Annotated[Checkpoint, Tag(CHECKPOINT)],
    Discriminator(_kind_of_model),
]
