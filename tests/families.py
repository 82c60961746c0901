"""Tiny random models of every family, made in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from svlm_cli import Clip
from svlm_cli.model.family.random_config import family_tokenizer, random_config
from svlm_cli.model.patches import Patches, clip_to_patches
from svlm_cli.model.random_checkpoint import random_model
from svlm_cli.model.runtime import VideoLanguageModel

STAMPED = ("qwen3_vl", "qwen3_vl_moe", "cosmos3_omni")
RECURRENT = ("qwen3_5", "qwen3_5_moe")
SQUARE = ("smolvlm", "internvl", "llava_onevision")


def made_model(
    family: str, tokenizer: Any, *, seed: int = 0, spread: float = 3.0, dtype: torch.dtype = torch.float32
) -> VideoLanguageModel:
    """A tiny model with sharp attention, so that a wrong key shows, and small pictures, to be quick."""
    torch.manual_seed(seed)
    tokenizer = family_tokenizer(tokenizer, family)
    config = random_config("tiny", family, tokenizer)
    made = random_model(config, tokenizer, name=family, device="cpu", dtype=dtype)
    with torch.no_grad():
        for weight in made.network.parameters():
            if weight.ndim > 1:
                weight.mul_(spread)
    if made.patches.square is not None:
        return made
    area = made.patches.factor**2
    return replace(made, patches=replace(made.patches, min_pixels=4 * area, max_pixels=12 * area))


def library_inputs(
    model: VideoLanguageModel, seen: Sequence[Patches], ids: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Frames under the names that the family's class in transformers has for them; positions are its own."""
    pixels = torch.cat([patches.pixel_values for patches in seen])
    if model.patches.square is None:
        return {
            "pixel_values_videos": pixels,
            "video_grid_thw": torch.tensor([patches.grid_thw for patches in seen]),
            "mm_token_type_ids": 2 * (ids == model.markup.video_pad).int(),
        }
    family = model.network.config.model_type
    if family == "llava_onevision":
        return {"pixel_values_videos": torch.stack([patches.pixel_values for patches in seen])}
    return {"pixel_values": pixels[None] if family == "smolvlm" else pixels}


@torch.inference_mode()
def library_rows_and_logits(
    model: VideoLanguageModel, shown: Sequence[Clip], ids: Sequence[int]
) -> tuple[np.ndarray, torch.Tensor]:
    """transformers' own positions (3, n) and logits (n, v) of a whole context, from its ids and pixels."""
    held = torch.tensor([list(ids)])
    seen = [clip_to_patches(clip.frames, model.patches) for clip in shown]
    given = library_inputs(model, seen, held)
    if model.patches.square is None:
        how = {"video_grid_thw": given["video_grid_thw"], "mm_token_type_ids": given["mm_token_type_ids"]}
        rows = model.network.model.get_rope_index(held, **how)[0][:, 0].numpy()
    else:
        rows = np.tile(np.arange(held.shape[1], dtype=np.float64), (3, 1))
    return rows, model.network(input_ids=held, **given).logits[0]
