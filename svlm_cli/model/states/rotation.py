"""How RoPE turns keys, so that a cached one can be turned further without its hidden state.

Shape legend: H = key/value heads, m = tokens, D = head size, r = rotated numbers of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch


class Pairs(StrEnum):
    """Which two of the rotated numbers are turned together."""

    HALVES = "halves"
    """Number k with number k + r / 2, as in LLaMA and Qwen."""
    NEIGHBOURS = "neighbours"
    """Number 2k with number 2k + 1, as in GPT-J and GLM."""


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """Of one family's keys: the first r numbers of a head are turned, the rest are left alone.

    Args:
        inv_freq: radians per position, shape (r / 2,); any device.
        pairs: which numbers belong together.
    """

    inv_freq: torch.Tensor
    pairs: Pairs = Pairs.HALVES

    def tables(self, shifts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of the angles of shifts (m,): float32, shape (m, r / 2), on the CPU."""
        angles = shifts.to(torch.float64)[:, None] * self.inv_freq.detach().to("cpu", torch.float64)
        return angles.cos().float(), angles.sin().float()

    def turned(self, keys: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Keys (..., m, D) turned by the angles behind ``tables`` on their device; one rounding."""
        size = 2 * cos.shape[-1]
        rotated = keys[..., :size].float()
        if self.pairs is Pairs.HALVES:
            first, second = rotated.chunk(2, dim=-1)
        else:
            first, second = rotated[..., 0::2], rotated[..., 1::2]
        both = first * cos - second * sin, second * cos + first * sin
        if self.pairs is Pairs.HALVES:
            out = torch.cat(both, dim=-1).to(keys.dtype)
        else:
            out = torch.stack(both, dim=-1).flatten(-2).to(keys.dtype)
        return out if size == keys.shape[-1] else torch.cat([out, keys[..., size:]], dim=-1)
