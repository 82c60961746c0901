"""Frames as an OpenAI-compatible vision model takes them, and what they cost there."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

JPEG_QUALITY = 85
LONGEST_SIDE, SHORTEST_SIDE, TILE = 2048, 768, 512


def user_message(text: str, frames: np.ndarray, height: int) -> dict[str, Any]:
    """A message of the user: pictures in their order, then the text.

    Args:
        text: what is asked.
        frames: uint8 RGB, shape (num_frames, height, width, 3).
        height: pixels each is made smaller to; smaller ones stay.
    """
    parts: list[Mapping[str, Any]] = [
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{_jpeg(frame, height)}"}}
        for frame in frames
    ]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def shown_size(width: int, height: int, most_height: int) -> tuple[int, int]:
    """Width and height as sent."""
    if height <= most_height:
        return width, height
    return max(1, round(width * most_height / height)), most_height


def picture_tokens(sizes: Sequence[tuple[int, int]], base: int = 85, per_tile: int = 170) -> int:
    """Tokens of pictures by OpenAI's rule for tiles: an estimate for all others.

    A picture is made to fit 2048 x 2048, then its shorter side to at most 768, and costs ``base`` plus
    ``per_tile`` for every tile of 512 x 512 (platform.openai.com/docs/guides/images-vision).
    """
    total = 0
    for width, height in sizes:
        scale = min(1.0, LONGEST_SIDE / max(width, height))
        scale = min(scale, SHORTEST_SIDE / min(width, height))
        tiles = math.ceil(width * scale / TILE) * math.ceil(height * scale / TILE)
        total += base + per_tile * tiles
    return total


def _jpeg(frame: np.ndarray, height: int) -> str:
    picture = Image.fromarray(frame)
    size = shown_size(picture.width, picture.height, height)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
