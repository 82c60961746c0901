"""The vision tower with what was worked out of the grid before, against transformers' own call."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svlm_cli.model.hooks.attention import register_windows
from svlm_cli.model.patches import Patches


@pytest.mark.parametrize("family", ["model", "qwen2_vl_model"])
def test_features_are_those_of_transformers(family, request):
    """Grids of whole windows, of cut ones, and of one window; each twice, as a plan is kept."""
    model = request.getfixturevalue(family)
    for grid in ((1, 16, 16), (4, 10, 14), (2, 26, 18), (2, 4, 4), (4, 10, 14)):
        pixels = torch.randn(grid[0] * grid[1] * grid[2], 1176, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            theirs = model.network.get_video_features(pixels, torch.tensor([grid])).pooler_output[0]
        ours = model.encode_video(Patches(pixels, grid))
        assert ours.grid == (grid[0], grid[1] // 2, grid[2] // 2)
        torch.testing.assert_close(ours.features, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("family", ["model", "qwen2_vl_model"])
def test_windows_of_one_length_at_once_give_the_same_features(family, request):
    """What a device without flash-attention runs: whole, cut and single windows, several frame pairs."""
    model = request.getfixturevalue(family)
    grids = ((1, 16, 16), (4, 10, 14), (3, 26, 18), (2, 4, 4), (2, 26, 46))
    clips = [
        Patches(torch.randn(t * h * w, 1176, generator=torch.Generator().manual_seed(t + h)), (t, h, w))
        for t, h, w in grids
    ]
    plain = [model.encode_video(clip).features for clip in clips]
    before = model.network.config.vision_config._attn_implementation
    at_once = replace(model, vision_plans={})
    try:
        model.network.set_attn_implementation({"vision_config": register_windows()})
        found = [at_once.encode_video(clip).features for clip in clips]
        assert all(plan["cu_seqlens"].device.type == "cpu" for plan in at_once.vision_plans.values())
    finally:
        model.network.set_attn_implementation({"vision_config": before})
    for ours, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
