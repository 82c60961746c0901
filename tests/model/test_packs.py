"""Clips cut for the tower: nothing is lost, and every piece is seen as in the whole clip."""

from __future__ import annotations

import random

import pytest
import torch

from svlm_cli.model.patches import Patches
from svlm_cli.model.vision import packs
from svlm_cli.model.vision.packs import MOST_PATCHES, packs_of
from tests.families import made_model

CPU = torch.device("cpu")


def clip(seed: int, grid: tuple[int, int, int], width: int = 2) -> Patches:
    generator = torch.Generator().manual_seed(seed)
    return Patches(torch.randn(grid[0] * grid[1] * grid[2], width, generator=generator), grid)


@pytest.mark.parametrize("seed", range(20))
def test_all_patches_go_through_in_order_in_calls_of_a_size(seed):
    dice = random.Random(seed)
    clips = [
        clip(number, (dice.randrange(1, 9), 2 * dice.randrange(1, 30), 2 * dice.randrange(1, 30)))
        for number in range(dice.randrange(1, 5))
    ]
    found = packs_of(clips, CPU)
    pieces = [piece for pack in found for piece in pack]
    assert torch.equal(
        torch.cat([p.pixel_values for p in pieces]), torch.cat([c.pixel_values for c in clips])
    )
    for piece in pieces:
        assert len(piece.pixel_values) == piece.grid_thw[0] * piece.grid_thw[1] * piece.grid_thw[2]
    for pack in found:
        num_patches = sum(len(piece.pixel_values) for piece in pack)
        assert num_patches <= MOST_PATCHES or [piece.grid_thw[0] for piece in pack] == [1]
    assert packs_of(clips, torch.device("cuda")) == [clips]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"])
def test_a_cut_clip_is_seen_as_a_whole_one(family, model, monkeypatch):
    made = made_model(family, model.tokenizer)
    visual = made.network.config.vision_config
    size = visual.in_channels * visual.temporal_patch_size * visual.patch_size**2
    clips = [clip(1, (5, 10, 14), size), clip(2, (2, 4, 6), size)]
    whole = made.encode_videos(clips)
    monkeypatch.setattr(packs, "MOST_PATCHES", 300)
    assert len(packs_of(clips, CPU)) == 3
    for ours, theirs in zip(made.encode_videos(clips), whole, strict=True):
        assert ours.grid == theirs.grid
        torch.testing.assert_close(ours.features, theirs.features, atol=2e-5, rtol=2e-5)
        if theirs.deep is not None:
            torch.testing.assert_close(ours.deep, theirs.deep, atol=2e-5, rtol=2e-5)
