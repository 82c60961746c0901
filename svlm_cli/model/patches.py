"""From frames to what the vision towers take: resize, normalise, and for those of the Qwen-VL families cut.

Shapes: T frames, H x W pixels as read, h x w pixels as resized; a patch is p x p pixels of
``temporal_patch_size`` frames; m x m patches merge into one token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from svlm_cli import values
from svlm_cli.errors import SourceError
from svlm_cli.model.device import to_device
from svlm_cli.model.positions import time_stride
from svlm_cli.model.vision.squares import Square, to_squares
from svlm_cli.settings import MOST_PIXELS

MAX_ASPECT_RATIO = 200
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MIN_TOKENS, MAX_TOKENS = 100, 768  # of a frame, in StreamingVLM's recipe
_NUM_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """How frames become patches; the defaults are those of Qwen2.5-VL and StreamingVLM.

    Args:
        patch_size: side of a patch in pixels (p).
        merge_size: patches per side of a token (m).
        temporal_patch_size: frames per patch.
        image_mean: per channel (red, green, blue), of values in 0..1; the default is OpenAI CLIP's.
        image_std: likewise.
        min_pixels: fewest pixels of a resized frame.
        max_pixels: most pixels of a resized frame.
        aspect_ratio: width and height of the only shape of picture the model knows: the middle of the frame
            that has it is shown. None: any shape.
        square: how frames become pictures of one size, in families that take no other: then a token is a
            patch, and a frame a temporal one. None: each frame keeps its shape.
    """

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    image_mean: tuple[float, ...] = CLIP_MEAN
    image_std: tuple[float, ...] = CLIP_STD
    min_pixels: int = MIN_TOKENS * 28 * 28
    max_pixels: int = MAX_TOKENS * 28 * 28
    aspect_ratio: tuple[int, int] | None = None
    square: Square | None = None

    def __repr__(self) -> str:
        """As before there were squares, where there is none: keys of stored results hold this."""
        told = [each.name for each in fields(self) if each.name != "square" or self.square is not None]
        return f"PatchSettings({', '.join(f'{name}={getattr(self, name)!r}' for name in told)})"

    def __post_init__(self) -> None:
        if min(self.patch_size, self.merge_size, self.temporal_patch_size) < 1:
            raise ValueError("patch_size, merge_size and temporal_patch_size must be 1 or more")
        if len(self.image_mean) != _NUM_CHANNELS or len(self.image_std) != _NUM_CHANNELS:
            raise ValueError("image_mean and image_std must have one value per channel")
        if not all(map(math.isfinite, (*self.image_mean, *self.image_std))) or 0 in self.image_std:
            raise ValueError("image_mean and image_std must be numbers, and image_std not 0")
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise ValueError(f"pixel limits must be ordered, not {self.min_pixels} to {self.max_pixels}")
        if self.aspect_ratio is None:
            return
        if len(self.aspect_ratio) != 2 or min(self.aspect_ratio) < 1:
            raise ValueError(f"aspect_ratio must be two whole numbers above 0, not {self.aspect_ratio}")
        if max(self.aspect_ratio) > MAX_ASPECT_RATIO * min(self.aspect_ratio):
            raise ValueError(f"aspect_ratio must not be above {MAX_ASPECT_RATIO}:1, not {self.aspect_ratio}")

    @property
    def factor(self) -> int:
        """Both sides of a resized frame are multiples of this: the side of a token in pixels."""
        return self.patch_size * self.merge_size

    def stride(self, fps: float, tokens_per_second: float | None) -> float | None:
        """Positions between two temporal patches (``positions.time_stride``); None where tokens of frames
        follow each other like words."""
        if self.square is not None:
            return None
        return time_stride(fps, self.temporal_patch_size, tokens_per_second)

    def frame_tokens(self, height: int, width: int) -> int:
        """Tokens of a temporal patch of frames of so many pixels.

        Raises:
            SourceError: they are too long and thin (``fit_size``).
        """
        if self.square is not None:
            return self.square.num_tokens
        fitted = fit_size(height, width, self.factor, self.min_pixels, self.max_pixels)
        return (fitted[0] // self.factor) * (fitted[1] // self.factor)


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """What the vision tower takes.

    Args:
        pixel_values: float32, shape (t * h * w, 3 * temporal_patch_size * p * p), normalised; the
            patches of one token stand together, tokens in reading order, temporal patches in time. Of square
            frames (t, 3, side, side).
        grid_thw: the patch grid (t, h, w).
    """

    pixel_values: torch.Tensor
    grid_thw: tuple[int, int, int]


def pixel_limits(stored: Mapping[str, Any]) -> dict[str, int]:
    """``min_pixels`` and ``max_pixels`` as a checkpoint or an adapter records them, as far as it does.

    Raises:
        MalformedError: one is no whole number from 1 to ``MOST_PIXELS``.
    """
    names = ("min_pixels", "max_pixels")
    return {name: values.whole(stored[name], name, 1, MOST_PIXELS) for name in names if name in stored}


def fit_size(
    height: int,
    width: int,
    factor: int = 28,
    min_pixels: int = 100 * 28 * 28,
    max_pixels: int = 768 * 28 * 28,
) -> tuple[int, int]:
    """The size to which a frame is resized (the rule of Qwen2-VL's image processor in transformers).

    The nearest multiples of ``factor``; scaled by a common ratio where their product leaves the pixel
    limits, rounding inwards.

    Args:
        height: the height of the frame as read, in pixels.
        width: likewise.
        factor: both results are multiples of it.
        min_pixels: fewest pixels of the result.
        max_pixels: most pixels of the result.

    Returns:
        (height, width).

    Raises:
        SourceError: one side is more than 200 times the other.
    """
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise SourceError(
            f"frames of {width}x{height} pixels are too long and thin: "
            f"one side may be at most {MAX_ASPECT_RATIO} times the other",
            "crop the video first",
        )
    fitted_height, fitted_width = round(height / factor) * factor, round(width / factor) * factor
    if fitted_height * fitted_width > max_pixels:
        ratio = math.sqrt(height * width / max_pixels)
        fitted_height = max(factor, math.floor(height / ratio / factor) * factor)
        fitted_width = max(factor, math.floor(width / ratio / factor) * factor)
    elif fitted_height * fitted_width < min_pixels:
        ratio = math.sqrt(min_pixels / (height * width))
        fitted_height = math.ceil(height * ratio / factor) * factor
        fitted_width = math.ceil(width * ratio / factor) * factor
    return fitted_height, fitted_width


def resize_frames(frames: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Resize on uint8, bicubic and antialiased.

    torch's own uint8 kernel, as torchvision uses it for uint8 images: it differs from resizing in
    float32 and rounding by at most one grey level on all but a few values in a million, and costs
    about a twentieth. It is fastest on channels-last memory, which is what frames are read as.

    Args:
        frames: uint8 RGB, shape (T, H, W, 3).
        size: (h, w).

    Returns:
        uint8, shape (T, 3, h, w), channels-last in memory; shares ``frames``' memory where
        nothing had to be resized.
    """
    frames = np.ascontiguousarray(frames)
    if not frames.flags.writeable:  # torch has no read-only tensors
        frames = frames.copy()
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    if pixels.shape[2:] == size:
        return pixels
    return torch.nn.functional.interpolate(pixels, size=size, mode="bicubic", antialias=True)


def fit_frames(frames: np.ndarray, settings: PatchSettings) -> torch.Tensor:
    """Bring frames to the model's size: cropped where it knows one shape only, resized.

    Args:
        frames: uint8 RGB, shape (T, H, W, 3).
        settings: sizes and limits.

    Returns:
        uint8, shape (T, 3, h, w).

    Raises:
        SourceError: the frames are too long and thin (``fit_size``).
    """
    if settings.square is not None:
        return to_squares(frames, settings.square)
    height, width = frames.shape[1:3]
    if settings.aspect_ratio is not None:
        wide, high = settings.aspect_ratio
        shown_width = min(width, max(1, round(height * wide / high)))
        shown_height = min(height, max(1, round(width * high / wide)))
        top, left = (height - shown_height) // 2, (width - shown_width) // 2
        frames = frames[:, top : top + shown_height, left : left + shown_width]
        height, width = shown_height, shown_width
    size = fit_size(height, width, settings.factor, settings.min_pixels, settings.max_pixels)
    return resize_frames(frames, size)


def to_patches(frames: torch.Tensor, settings: PatchSettings) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Normalise and cut frames into patches, in the order of transformers' Qwen2-VL processors.

    Args:
        frames: uint8, shape (T, 3, h, w); h and w multiples of ``settings.factor``. Where T does not
            fill the last temporal patch, the last frame is repeated. Cut on the device where they are.
        settings: sizes and normalisation.

    Returns:
        (pixel_values, grid_thw) as in ``Patches``.
    """
    mean, std = (_per_channel(each, frames.device) for each in (settings.image_mean, settings.image_std))
    if settings.square is not None:
        num_tokens = settings.square.tokens_per_side
        return (frames.float() - mean[..., None]) / std[..., None], (len(frames), num_tokens, num_tokens)
    depth, side, merge = settings.temporal_patch_size, settings.patch_size, settings.merge_size
    missing = -frames.shape[0] % depth
    if missing:
        frames = torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)])
    time, (height, width) = frames.shape[0] // depth, frames.shape[2:]
    rows, columns = height // side, width // side
    cut = frames.reshape(
        time, depth, _NUM_CHANNELS, rows // merge, merge, side, columns // merge, merge, side
    )
    # Moved while still bytes: a quarter of the memory traffic of moving floats.
    moved = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).contiguous()
    values = moved.view(time * rows * columns, _NUM_CHANNELS, depth * side * side).to(torch.float32)
    values.sub_(mean).div_(std)
    return values.flatten(1), (time, rows, columns)


def clip_to_patches(frames: np.ndarray, settings: PatchSettings) -> Patches:
    """Fit, normalise and cut the frames of one clip.

    Args:
        frames: uint8 RGB, shape (T, H, W, 3).
        settings: sizes, limits and normalisation.

    Raises:
        SourceError: the frames are too long and thin (``fit_size``).
    """
    return Patches(*to_patches(fit_frames(frames, settings), settings))


def _per_channel(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Values for 0..1 as a column for 0..255: rescaling and normalising in one."""
    return to_device(torch.tensor(values, dtype=torch.float32).mul_(255).unsqueeze(1), device)
