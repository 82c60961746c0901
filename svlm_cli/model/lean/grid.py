"""What the tower works out of a grid of patches alone: order, windows and angles, once per grid.

Patches lie in blocks of m x m that become one token; the tower sees tokens window after window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from svlm_cli.model.lean.config import VisionConfig


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Of one clip, or of several end to end.

    Args:
        order: int64, shape (tokens,): the token that stands in each place of the tower.
        back: int64, shape (tokens,): the place of each token.
        cos, sin: shape (patches, 1, D / 2), in the tower's order, float32.
        whole, windows: bounds of the frame pairs and of the windows, int64, ascending from 0.
    """

    order: torch.Tensor
    back: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    whole: torch.Tensor
    windows: torch.Tensor


def plan_of(config: VisionConfig, grid: tuple[int, int, int]) -> Plan:
    """The plan of a clip of patches (t, h, w)."""
    time, height, width = grid
    merge = config.spatial_merge_size
    order, lengths = _windows(
        time, height // merge, width // merge, config.window_size // (merge * config.patch_size)
    )
    patches = (order[:, None] * merge**2 + torch.arange(merge**2)).flatten()
    places = torch.stack(
        [
            each.reshape(height // merge, merge, width // merge, merge).transpose(1, 2).flatten()
            for each in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        ],
        dim=1,
    ).repeat(time, 1)
    spatial = config.head_dim // 2
    frequencies = 1.0 / (config.rope_theta ** (torch.arange(0, spatial, 2, dtype=torch.float) / spatial))
    angles = (places[patches][..., None].float() * frequencies).flatten(1)[:, None]
    return Plan(
        order=order,
        back=order.argsort(),
        cos=angles.cos(),
        sin=angles.sin(),
        whole=_bounds([height * width] * time),
        windows=_bounds([length * merge**2 for length in lengths]),
    )


def joined(plans: Sequence[Plan]) -> Plan:
    """The plan of clips that go through the tower in one call; each sees itself alone."""
    if len(plans) == 1:
        return plans[0]
    starts = list(accumulate((len(plan.order) for plan in plans), initial=0))
    order = torch.cat([plan.order + start for plan, start in zip(plans, starts, strict=False)])
    return Plan(
        order=order,
        back=order.argsort(),
        cos=torch.cat([plan.cos for plan in plans]),
        sin=torch.cat([plan.sin for plan in plans]),
        whole=_bounds([length for plan in plans for length in plan.whole.diff().tolist()]),
        windows=_bounds([length for plan in plans for length in plan.windows.diff().tolist()]),
    )


def _windows(time: int, height: int, width: int, side: int) -> tuple[torch.Tensor, list[int]]:
    """Tokens window after window of ``side`` x ``side``, cut at the far edges, and the windows' sizes."""
    tokens = torch.arange(time * height * width).view(time, height, width)
    windows = [
        tokens[moment, top : top + side, left : left + side].flatten()
        for moment in range(time)
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    return torch.cat(windows), [len(window) for window in windows]


def _bounds(lengths: Sequence[int]) -> torch.Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int64)
