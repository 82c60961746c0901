"""A batch as ``collate`` makes it, handed to a network of whatever family by its own names."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from svlm_cli.model.family.table import has_rows
from svlm_cli.model.vision.squares import see_squares


def take_samples(network: Any) -> None:
    """Let ``network`` take batches of ``collate``, through a forward pre-hook.

    In place of pixels ``video_features`` (rows, d) may stand: row k belongs where the k-th pad of
    ``input_ids`` is; so does that of ``deep_features``. A network whose positions are those of words gets one
    row of them, and square frames.

    Args:
        network: a Hugging Face model of one of the families.
    """
    is_flat = not has_rows(network.config)

    def hand_over(_module: Any, arguments: Any, inputs: dict[str, Any]) -> Any:
        given = dict(inputs)
        features, deep = given.pop("video_features", None), given.pop("deep_features", None)
        if is_flat:
            _flatten(given)
            pixels, grids = given.pop("pixel_values_videos", None), given.pop("video_grid_thw", None)
            if pixels is not None:
                given |= _frames(network, pixels.to(network.dtype), grids[:, 0].tolist())
        if features is not None:
            given["mm_encoder_outputs"] = _seen(network, features, deep)
        return arguments, given

    network.register_forward_pre_hook(hand_over, with_kwargs=True)


def _flatten(given: dict[str, Any]) -> None:
    """One row of positions of three or, packed, of four: the first, which counts words."""
    rows = given.get("position_ids")
    if isinstance(rows, torch.Tensor) and rows.ndim == 3:
        given["position_ids"] = rows[0].long()


def _frames(network: Any, pixels: torch.Tensor, lengths: list[int]) -> dict[str, Any]:
    """Square frames by the names of the network's own class.

    Through its own forward wherever that can be, so that whoever has shared out its weights brings them.

    Args:
        network: as ``take_samples`` has it.
        pixels: (frames, 3, side, side).
        lengths: frames of each clip.
    """
    if not hasattr(network.model, "image_newline"):
        return {"pixel_values": pixels[None] if hasattr(network.model, "connector") else pixels}
    if len(set(lengths)) == 1:
        return {"pixel_values_videos": pixels.view(len(lengths), lengths[0], *pixels.shape[1:])}
    return {
        "mm_encoder_outputs": _seen(
            network, torch.cat(see_squares(network, torch.split(pixels, lengths))), None
        )
    }


def _seen(network: Any, features: torch.Tensor, deep: torch.Tensor | None) -> dict[str, Any]:
    """Features as the network's own tower would have given them."""
    is_video = has_rows(network.config) or hasattr(network.model, "image_newline")
    pooled: Any = [features] if not hasattr(network.model, "vision_tower") else features[None]
    seen = BaseModelOutputWithDeepstackFeatures(
        pooler_output=pooled, deepstack_features=None if deep is None else [[layer] for layer in deep]
    )
    return {"video" if is_video else "image": seen}
