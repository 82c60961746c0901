"""Where the parts of a network are, whatever its family calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

LANGUAGE_PARTS = ("language_model", "text_model")
VISION_PARTS = (
    *("visual", "vision_model", "connector"),
    *("vision_tower", "multi_modal_projector", "image_newline"),
)


def language_part(network: Any) -> Any:
    """The language model of a network, without its head."""
    inner = network.model
    return next(getattr(inner, name) for name in LANGUAGE_PARTS if hasattr(inner, name))


def vision_parts(network: Any) -> list[torch.nn.Module]:
    """The modules that make features of frames: a tower, and what brings them to the size of words."""
    found = [getattr(network.model, name, None) for name in VISION_PARTS]
    return [part for part in found if isinstance(part, torch.nn.Module)]


def is_vision(name: str) -> bool:
    """Whether a parameter of that name is of the vision tower."""
    return not set(name.split(".")).isdisjoint(VISION_PARTS)


def vision_weights(network: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters that features of frames hang on, by name."""
    return ((name, weight) for name, weight in network.named_parameters() if is_vision(name))
