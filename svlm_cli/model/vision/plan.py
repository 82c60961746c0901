"""What the vision towers of the Qwen-VL families work out of a grid alone: once per grid, not per step.

Positions, windows and sequence bounds go into the tower by transformers' own names for precomputed values
(``transformers.vision_utils``), so that no step builds them again or makes the host wait for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from transformers.utils.generic import is_flash_attention_requested
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from svlm_cli.model.vision.windows import WINDOWS

BOUNDS = ("cu_seqlens", "cu_window_seqlens")


def vision_plan(visual: Any, grid_thw: tuple[int, int, int], device: torch.device) -> dict[str, Any]:
    """Keyword arguments of the tower's forward for one clip.

    Args:
        visual: the tower, on ``device``.
        grid_thw: patches (t, h, w).

    Returns:
        ``grid_thw`` (1, 3) and ``position_ids`` (patches, 2) on the device; ``cu_seqlens`` int32 (t + 1,), on
        the host where the attention cuts sequences apart there; where the tower has windows,
        ``window_index`` (tokens,) and ``cu_window_seqlens``; where it interpolates its learned positions,
        ``interp_indices`` and ``interp_weights`` (patches, 4); with flash-attention the longest sequences.
    """
    grid = torch.tensor([grid_thw])
    is_packed = is_flash_attention_requested(visual.config)
    is_on_host = not is_packed or visual.config._attn_implementation == WINDOWS
    bounds_at = torch.device("cpu") if is_on_host else device
    merge = visual.spatial_merge_size
    bounds = get_vision_cu_seqlens(grid)
    plan: dict[str, Any] = {
        "grid_thw": grid.to(device),
        "position_ids": get_vision_position_ids(grid, merge).to(device),
        "cu_seqlens": bounds.to(bounds_at),
    }
    if is_packed:
        plan["max_seqlen"] = _longest(bounds)
    if hasattr(visual, "window_size"):
        index, windows = get_vision_window_index(
            grid, spatial_merge_size=merge, window_size=visual.window_size, patch_size=visual.patch_size
        )
        plan |= {"window_index": index.to(device), "cu_window_seqlens": windows.to(bounds_at)}
        if is_packed:
            plan["max_window_seqlen"] = _longest(windows)
    if hasattr(visual, "num_grid_per_side"):
        indices, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
            spatial_merge_size=merge,
        )
        plan |= {"interp_indices": indices.to(device), "interp_weights": weights.to(device)}
    return plan


def joined_plans(plans: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The plan of several clips that go through the tower in one call, end to end; each sees itself alone."""
    joined: dict[str, Any] = {}
    for name in plans[0]:
        parts = [plan[name] for plan in plans]
        if name.startswith("max_"):
            joined[name] = max(parts)
        elif name in BOUNDS:
            ends = list(accumulate(int(part[-1]) for part in parts))
            moved = (part[1:] + end for part, end in zip(parts[1:], ends, strict=False))
            joined[name] = torch.cat([parts[0], *moved])
        elif name == "window_index":
            starts = accumulate((len(part) for part in parts), initial=0)
            joined[name] = torch.cat([part + start for part, start in zip(parts, starts, strict=False)])
        else:
            joined[name] = torch.cat(parts)
    return joined


def _longest(bounds: torch.Tensor) -> int:
    return int(bounds.diff().max())
