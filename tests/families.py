"""Tiny random models of every family, made in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from svlm_cli.model.family.random_config import random_config
from svlm_cli.model.random_checkpoint import random_model
from svlm_cli.model.runtime import VideoLanguageModel

STAMPED = ("qwen3_vl", "qwen3_vl_moe", "cosmos3_omni")
RECURRENT = ("qwen3_5", "qwen3_5_moe")


def made_model(
    family: str, tokenizer: Any, *, seed: int = 0, spread: float = 3.0, dtype: torch.dtype = torch.float32
) -> VideoLanguageModel:
    """A tiny model with sharp attention, so that a wrong key shows, and small pictures, to be quick."""
    torch.manual_seed(seed)
    config = random_config("tiny", family, tokenizer)
    made = random_model(config, tokenizer, name=family, device="cpu", dtype=dtype)
    with torch.no_grad():
        for weight in made.network.parameters():
            if weight.ndim > 1:
                weight.mul_(spread)
    area = made.patches.factor**2
    return replace(made, patches=replace(made.patches, min_pixels=4 * area, max_pixels=12 * area))
