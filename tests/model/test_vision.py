"""The vision tower with what was worked out of the grid before, against transformers' own call."""

from __future__ import annotations

import pytest
import torch

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
