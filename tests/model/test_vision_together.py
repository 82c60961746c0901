"""Several clips in one call of the vision tower are seen as each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from svlm_cli.model.patches import Patches, to_patches
from tests.families import made_model


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"])
def test_clips_of_several_sizes(family: str, model) -> None:
    made = made_model(family, model.tokenizer)
    side = made.patches.factor
    generator = np.random.default_rng(3)
    clips = []
    for frames, rows, columns in ((2, 2, 3), (4, 3, 2), (2, 5, 6), (2, 2, 3)):
        pixels = generator.integers(0, 256, (frames, 3, rows * side, columns * side), dtype=np.uint8)
        clips.append(Patches(*to_patches(torch.from_numpy(pixels), made.patches)))
    together = made.encode_videos(clips)
    for clip, seen in zip(clips, together, strict=True):
        alone = made.encode_video(clip)
        assert seen.grid == alone.grid
        torch.testing.assert_close(seen.features, alone.features, atol=1e-5, rtol=1e-5)
        assert (seen.deep is None) == (alone.deep is None) == (family != "qwen3_vl")
        if seen.deep is not None:
            torch.testing.assert_close(seen.deep, alone.deep, atol=1e-5, rtol=1e-5)
