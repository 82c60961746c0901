"""Frames as pictures of one size, for towers that take no other, and what such towers make of them.

Shape legend: T frames, S pixels per side, n tokens of a frame, d hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Square:
    """How frames become squares; the numbers are those of a family's image processor in transformers.

    Args:
        side: S.
        tokens_per_side: the square root of n.
        filter: Pillow's filter for resizing, ``lanczos`` or ``bicubic``.
        in_two: bring the longer side to S first, in the frame's own shape, and that picture to the square.
    """

    side: int
    tokens_per_side: int
    filter: str
    in_two: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.tokens_per_side <= self.side:
            raise ValueError(f"{self.tokens_per_side} tokens do not fit a side of {self.side} pixels")

    @property
    def num_tokens(self) -> int:
        """n."""
        return self.tokens_per_side**2


def to_squares(frames: np.ndarray, square: Square) -> torch.Tensor:
    """Resize frames, whatever their shape.

    By Pillow, as transformers does where there is no torchvision.

    Args:
        frames: uint8 RGB, shape (T, height, width, 3).
        square: their size.

    Returns:
        uint8, shape (T, 3, S, S).
    """
    from PIL import Image

    how = Image.Resampling[square.filter.upper()]
    height, width = frames.shape[1:3]
    made = np.empty((len(frames), square.side, square.side, 3), np.uint8)
    for number, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        if square.in_two:
            picture = picture.resize(_by_longer(height, width, square.side), how)
        made[number] = np.asarray(picture.resize((square.side, square.side), how))
    return torch.from_numpy(made).permute(0, 3, 1, 2).contiguous()


def _by_longer(height: int, width: int, side: int) -> tuple[int, int]:
    """(width, height) whose longer one is ``side``, the other one even, as SmolVLM's processor has it."""
    ratio = width / height
    if width >= height:
        shorter = int(side / ratio)
        return side, max(1, shorter + shorter % 2)
    shorter = int(side * ratio)
    return max(1, shorter + shorter % 2), side


def see_squares(network: Any, clips: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Run the tower of a network over square frames, each of which sees itself alone.

    Args:
        network: Hugging Face model.
        clips: pixels of each clip, normalised, shape (T, 3, S, S).

    Returns:
        What the language model reads of each clip: (T * n, d), and a row more in a family that ends every
        video with one of its own.
    """
    inner = network.model
    if hasattr(inner, "image_newline"):
        return [inner.get_video_features(clip[None]).pooler_output[0] for clip in clips]
    pixels = torch.cat(list(clips))
    seen = inner.get_image_features(pixels[None] if hasattr(inner, "connector") else pixels).pooler_output
    rows = torch.cat(list(seen))
    per_frame = len(rows) // len(pixels)
    return list(torch.split(rows, [len(clip) * per_frame for clip in clips]))
