"""The vision tower of a new model in training on a CPU: the same numbers in few large products."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from svlm_cli.model.hooks.attention import register_windows


class PatchProduct(torch.nn.Conv3d):
    """A convolution that meets each number once, as the product of matrices that it is."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Patches (n, channels, *kernel) to (n, d)."""
        return functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


def quick_tower(network: Any) -> None:
    """Change how the tower computes, in place; its weights and their names stay.

    Args:
        network: Hugging Face's Qwen2.5-VL.
    """
    network.set_attn_implementation({"vision_config": register_windows()})
    network.model.visual.patch_embed.proj.__class__ = PatchProduct
