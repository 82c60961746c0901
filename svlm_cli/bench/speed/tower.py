"""The matrix products of towers that take square frames, as the floor runs them bare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from svlm_cli.model.family.parts import vision_parts
from svlm_cli.model.runtime import VideoLanguageModel


def linears(module: torch.nn.Module) -> list[torch.nn.Module]:
    """Every layer with a matrix product, quantised ones too."""
    return [
        each for each in module.modules() if hasattr(each, "in_features") and hasattr(each, "out_features")
    ]


@dataclass(frozen=True, slots=True, eq=False)
class SquareTower:
    """A tower each of whose frames is a sequence.

    Args:
        num_patches: the number of patches of a frame.
        num_seen: the same with a token for the whole frame, where the tower has one.
        num_merged: rows of a frame that are brought to the size of words.
    """

    patch: torch.Tensor
    blocks: list[list[torch.nn.Module]]
    mergers: list[torch.nn.Module]
    num_heads: int
    head_size: int
    num_patches: int
    num_seen: int
    num_merged: int


def square_tower(model: VideoLanguageModel) -> SquareTower:
    """The tower of a model that takes square frames."""
    tower, merger = vision_parts(model.network)
    square = model.patches.square
    assert square is not None
    convolution = next(each for each in tower.modules() if isinstance(each, torch.nn.Conv2d))
    blocks = next(each for each in tower.modules() if isinstance(each, torch.nn.ModuleList))
    size = int(convolution.kernel_size[0])
    num_patches = (square.side // size) ** 2
    config: Any = tower.config
    pools_last = hasattr(model.network.model, "image_newline")
    return SquareTower(
        patch=convolution.weight.flatten(1),
        blocks=[linears(block) for block in blocks],
        mergers=linears(merger),
        num_heads=config.num_attention_heads,
        head_size=config.hidden_size // config.num_attention_heads,
        num_patches=num_patches,
        num_seen=num_patches + hasattr(tower.embeddings, "cls_token"),
        num_merged=num_patches if pools_last else square.num_tokens,
    )
