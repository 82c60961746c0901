"""What the tower works out of a grid of patches alone: order, windows and angles, once per grid.

Patches lie in blocks of m x m that become one token; the tower sees tokens window after window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isqrt
from typing import Any

import torch

from svlm_cli.model.lean.config import DeepVisionConfig, VisionConfig


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Of one clip, or of several end to end.

    Args:
        order: int64, shape (tokens,): the token that stands in each place of the tower.
        back: int64, shape (tokens,): the place of each token.
        cos, sin: shape (patches, 1, D / 2), in the tower's order, float32.
        whole, windows: bounds of the frame pairs and of the windows, int64, ascending from 0.
        places: int64, shape (patches, 2): row and column of each patch, in the tower's order.
        learned: shape (patches, d): what a table adds to each patch, in the tower's order; None without one.
    """

    order: torch.Tensor
    back: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    whole: torch.Tensor
    windows: torch.Tensor
    places: torch.Tensor
    learned: torch.Tensor | None = None


def plan_of(config: VisionConfig | DeepVisionConfig, grid: tuple[int, int, int]) -> Plan:
    """The plan of a clip of patches (t, h, w); a tower without windows sees one a frame pair."""
    time, height, width = grid
    merge = config.spatial_merge_size
    side = config.tokens_per_window or max(height, width)
    order, lengths = _windows(time, height // merge, width // merge, side)
    patches = (order[:, None] * merge**2 + torch.arange(merge**2)).flatten()
    places = torch.stack(
        [
            each.reshape(height // merge, merge, width // merge, merge).transpose(1, 2).flatten()
            for each in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        ],
        dim=1,
    ).repeat(time, 1)[patches]
    spatial = config.head_dim // 2
    frequencies = 1.0 / (config.rope_theta ** (torch.arange(0, spatial, 2, dtype=torch.float) / spatial))
    angles = (places[..., None].float() * frequencies).flatten(1)[:, None]
    return Plan(
        order=order,
        back=order.argsort(),
        cos=angles.cos(),
        sin=angles.sin(),
        whole=_bounds([height * width] * time),
        windows=_bounds([length * merge**2 for length in lengths]),
        places=places,
    )


def joined(plans: Sequence[Plan]) -> Plan:
    """The plan of clips that go through the tower in one call; each sees itself alone."""
    if len(plans) == 1:
        return plans[0]
    starts = list(accumulate((len(plan.order) for plan in plans), initial=0))
    learned: Any = [plan.learned for plan in plans]
    order = torch.cat([plan.order + start for plan, start in zip(plans, starts, strict=False)])
    return Plan(
        order=order,
        back=order.argsort(),
        cos=torch.cat([plan.cos for plan in plans]),
        sin=torch.cat([plan.sin for plan in plans]),
        whole=_bounds([length for plan in plans for length in plan.whole.diff().tolist()]),
        windows=_bounds([length for plan in plans for length in plan.windows.diff().tolist()]),
        places=torch.cat([plan.places for plan in plans]),
        learned=None if learned[0] is None else torch.cat(learned),
    )


def interpolated(table: torch.Tensor, plan: Plan, grid: tuple[int, int, int]) -> torch.Tensor:
    """What a square table of learned positions holds for each patch of a clip (t, h, w): (patches, d).

    The table's corners are the picture's; between its rows and columns it goes in straight lines.

    Args:
        table: (rows of the table squared, d).
        plan: of the clip.
    """
    side = isqrt(len(table))
    taps, shares = [], []
    for number, size in enumerate(grid[1:]):
        place = plan.places[:, number].float() * (side - 1) / max(1, size - 1)
        below = place.floor()
        two = below[:, None] + torch.arange(2)
        taps.append(two.long().clamp(0, side - 1))
        shares.append((1 - (place[:, None] - two).abs()).clamp(min=0))
    index = (taps[0][:, :, None] * side + taps[1][:, None]).flatten(1)
    share = (shares[0][:, :, None] * shares[1][:, None]).flatten(1)
    return (table[index] * share[:, :, None]).sum(1)


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
