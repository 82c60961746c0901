"""Frames to patches: against frozen output of torchvision and transformers, and by brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.errors import SourceError
from svlm_cli.model.patches import (
    PatchSettings,
    clip_to_patches,
    fit_size,
    resize_frames,
    to_patches,
)

DEFAULTS = PatchSettings()


def grey_levels(pixel_values: np.ndarray) -> np.ndarray:
    """Undo the normalisation: values 0..255."""
    mean, std = (np.array(each)[:, None] for each in (DEFAULTS.image_mean, DEFAULTS.image_std))
    return np.rint((pixel_values.reshape(-1, 3, 392).astype(np.float64) * std + mean) * 255)


@pytest.mark.parametrize("name", ["up_90x160", "near_256x340", "down_720x1280", "fps8_180x320"])
def test_patches_equal_the_golden_ones(shared_data: Path, name: str) -> None:
    golden = np.load(shared_data / "golden" / "qwen2_5_vl_patches.npz")
    frames = golden[f"{name}/frames"].transpose(0, 2, 3, 1)
    patches = clip_to_patches(frames, DEFAULTS)
    assert fit_size(*frames.shape[1:3]) == tuple(golden[f"{name}/resized_hw"])
    assert patches.grid_thw == tuple(golden[f"{name}/grid"])
    assert patches.pixel_values.dtype == torch.float32
    values = patches.pixel_values.numpy()
    assert values.shape == (np.prod(patches.grid_thw), 3 * 2 * 14 * 14)
    if f"{name}/patch_index" in golden:
        values = values[golden[f"{name}/patch_index"]]
    off = np.abs(grey_levels(values) - grey_levels(golden[f"{name}/patches"]))
    assert (off <= 1).mean() > 0.999
    assert (off == 0).mean() > 0.75
    assert off.max() <= 3


def test_normalisation_and_order_equal_the_golden_ones(shared_data: Path) -> None:
    """With the golden resize undone (it is exact in float32), nothing but float16 rounding is left."""
    golden = np.load(shared_data / "golden" / "qwen2_5_vl_patches.npz")
    frames = torch.from_numpy(golden["near_256x340/frames"]).float()
    size = tuple(golden["near_256x340/resized_hw"].tolist())
    exact = torch.nn.functional.interpolate(frames, size=size, mode="bicubic", antialias=True)
    values, grid = to_patches(exact.round().clamp(0, 255).to(torch.uint8), DEFAULTS)
    assert grid == (1, 18, 24)
    assert np.abs(values.numpy() - golden["near_256x340/patches"].astype(np.float32)).max() < 2e-3


small = st.builds(
    PatchSettings,
    patch_size=st.integers(1, 4),
    merge_size=st.integers(1, 3),
    temporal_patch_size=st.integers(1, 3),
    image_mean=st.just((0.1, 0.2, 0.3)),
    image_std=st.just((0.5, 0.25, 0.125)),
)


def shown_frames(time: int, depth: int, num_frames: int) -> list[int]:
    """Frames of one temporal patch; the last frame fills the last patch."""
    return [min(time * depth + t, num_frames - 1) for t in range(depth)]


@settings(deadline=None, max_examples=40)
@given(small, st.integers(1, 4), st.integers(1, 2), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_every_value_stands_where_it_should(
    how: PatchSettings, num_frames: int, tokens_high: int, tokens_wide: int, seed: int
) -> None:
    height, width = tokens_high * how.factor, tokens_wide * how.factor
    frames = np.random.default_rng(seed).integers(0, 256, (num_frames, 3, height, width), dtype=np.uint8)
    values, grid = to_patches(torch.from_numpy(frames), how)
    depth, side, merge = how.temporal_patch_size, how.patch_size, how.merge_size
    steps = -(-num_frames // depth)
    assert grid == (steps, height // side, width // side)
    expected = []
    for time in range(steps):
        for token_row in range(tokens_high):
            for token_column in range(tokens_wide):
                for row in range(merge):
                    for column in range(merge):
                        top = (token_row * merge + row) * side
                        left = (token_column * merge + column) * side
                        expected.append(
                            [
                                (int(frames[shown, c, top + y, left + x]) / 255 - how.image_mean[c])
                                / how.image_std[c]
                                for c in range(3)
                                for shown in shown_frames(time, depth, num_frames)
                                for y in range(side)
                                for x in range(side)
                            ]
                        )
    np.testing.assert_allclose(values.numpy(), np.array(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("read", "fitted"),
    [
        ((360, 640), (364, 644)),
        ((256, 340), (252, 336)),
        ((720, 1280), (560, 1008)),
        ((1080, 1920), (560, 1008)),
        ((90, 160), (224, 392)),
        ((1920, 1080), (1008, 560)),
        ((28, 28), (280, 280)),
        ((10, 2000), (28, 3976)),
        ((4000, 20), (4004, 28)),
        ((42, 14 * 28 * 100), None),
    ],
)
def test_sizes(read: tuple[int, int], fitted: tuple[int, int] | None) -> None:
    """Worked by hand from streaming.md: nearest multiples of 28, then the pixel limits."""
    if fitted is None:
        with pytest.raises(SourceError, match="200 times"):
            fit_size(*read)
    else:
        assert fit_size(*read) == fitted


@given(st.integers(16, 4000), st.integers(16, 4000), st.sampled_from([28, 32]))
def test_sizes_keep_limits_and_shape(height: int, width: int, factor: int) -> None:
    smallest, largest = 100 * factor**2, 768 * factor**2
    if max(height, width) > 200 * min(height, width):
        return
    fitted = fit_size(height, width, factor, smallest, largest)
    assert fitted[0] % factor == fitted[1] % factor == 0
    assert smallest <= fitted[0] * fitted[1]
    if min(fitted) > factor:
        assert fitted[0] * fitted[1] <= largest
    if min(fitted) >= 8 * factor:
        assert fitted[0] / fitted[1] == pytest.approx(height / width, rel=0.2)


def test_resizing_antialiases() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 280, 280, 3), dtype=np.uint8)
    resized = resize_frames(noise, (70, 70))
    assert resized.shape == (1, 3, 70, 70)
    assert resized.dtype == torch.uint8
    assert resized.float().mean() == pytest.approx(127.5, abs=2)
    assert resized.float().std() < 35  # 74 in the noise; the mean of 4 x 4 pixels has 18


@pytest.mark.filterwarnings("error")
def test_read_only_and_strided_frames_are_taken() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    expected = resize_frames(frames.copy(), (56, 84))
    assert torch.equal(resize_frames(frames[:, :, ::-1][:, :, ::-1], (56, 84)), expected)
    frames.flags.writeable = False
    assert torch.equal(resize_frames(frames, (56, 84)), expected)
    assert torch.equal(resize_frames(frames, (60, 80)), torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()))


def test_settings_set_the_size() -> None:
    frames = np.zeros((2, 360, 640, 3), dtype=np.uint8)
    few = PatchSettings(min_pixels=28 * 28, max_pixels=50 * 28 * 28)
    assert clip_to_patches(frames, few).grid_thw == (1, 10, 18)


@pytest.mark.parametrize(
    ("height", "width", "middle"),
    [
        (360, 640, (slice(None), slice(50, 590))),
        (336, 336, (slice(56, 280), slice(None))),
        (112, 168, (slice(None), slice(None))),
    ],
)
def test_a_model_of_one_shape_is_shown_the_middle(height: int, width: int, middle: tuple) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    size = {"min_pixels": 168 * 112, "max_pixels": 168 * 112}
    shown = clip_to_patches(frames, PatchSettings(**size, aspect_ratio=(3, 2)))
    expected = clip_to_patches(frames[:, *middle], PatchSettings(**size))
    assert shown.grid_thw == (1, 8, 12)
    assert torch.equal(shown.pixel_values, expected.pixel_values)


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_size": 0},
        {"image_mean": (0.5,)},
        {"min_pixels": 10, "max_pixels": 9},
        {"min_pixels": 0},
        {"aspect_ratio": (3, 0)},
    ],
)
def test_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        PatchSettings(**wrong)
