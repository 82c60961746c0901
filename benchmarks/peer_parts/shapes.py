"""What every engine is given: stages, number formats, the same tokens, pictures and weights.

Imported in svlm's environment and in the peers': numpy and safetensors alone.

Shape legend: p = frame pairs, n = patches of a pair, d = hidden size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = ("float32", "bfloat16", "int8")
NUM_WORDS = 20  # of a step
CHECKED_TOKENS = 48
GRID = 26, 46  # patches of a picture of 644x364: 640x360 as it is shown
IMAGE_MEAN, IMAGE_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MOST_CACHED = 20_000 + 1_220 + 2 * NUM_WORDS


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that is timed.

    Args:
        work: ``word`` (``NUM_WORDS`` of them, the time of one counts), ``prefill`` or ``tower``.
        size: new tokens, or frame pairs.
        cached: tokens held before.
        every: measured in every so many rounds.
        count: how often it is in a step, and in which one, by frames a second.
    """

    work: str
    size: int
    cached: int = 0
    every: int = 1
    count: tuple[int, int] = (0, 0)

    @property
    def title(self) -> str:
        """In the table."""
        if self.work == "tower":
            return f"tower, {self.size} pair{'s' * (self.size > 1)}"
        at = f"{self.cached:,} cached"
        return f"word, {at}" if self.work == "word" else f"prefill of {self.size:,}, {at}"


STAGES = {
    "word-5700": Stage("word", 1, 5_700, count=(2, NUM_WORDS)),
    "word-20000": Stage("word", 1, 20_000, count=(8, NUM_WORDS)),
    "prefill-320": Stage("prefill", 320, 5_700, count=(2, 1)),
    "prefill-1220": Stage("prefill", 1_220, 20_000, every=3, count=(8, 1)),
    "tower-1": Stage("tower", 1, count=(2, 1)),
    "tower-4": Stage("tower", 4, every=2, count=(8, 1)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A float32 checkpoint of Qwen2.5-VL.

    Args:
        text, vision: what config.json says of the two halves.
        tensors: by name as stored.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    tensors: dict[str, np.ndarray]

    @property
    def head_size(self) -> int:
        """Of the language model."""
        return int(self.text["hidden_size"] // self.text["num_attention_heads"])

    def pick(self, prefix: str) -> dict[str, np.ndarray]:
        """Tensors whose names begin so, by the rest of their names."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def read_checkpoint(folder: Path) -> Checkpoint:
    """Of one file, as ``svlm_cli.model.random_checkpoint`` writes it."""
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    return Checkpoint(config["text_config"], config["vision_config"], load_file(folder / "model.safetensors"))


def tokens(count: int) -> list[int]:
    """Ids of words, the same ones for every engine."""
    return [int(each) for each in np.random.default_rng(count).integers(0, 1_000, count)]


def states(cached: int, heads: int, size: int, number: int) -> np.ndarray:
    """Random keys or values of a layer, shape (1, heads, cached, size), float32."""
    return np.random.default_rng(number).standard_normal((1, heads, cached, size), dtype=np.float32)


def pictures(pairs: int) -> np.ndarray:
    """Shape (p, height, width, 3), uint8; both frames of a pair show the same one."""
    height, width = (14 * side for side in GRID)
    return np.random.default_rng(pairs).integers(0, 256, (pairs, height, width, 3), dtype=np.uint8)


def patches(pairs: int) -> np.ndarray:
    """The pictures as Qwen2.5-VL's tower takes them, shape (p * n, 3 * 2 * 14 * 14), float32."""
    mean, std = (np.array(each, dtype=np.float32) for each in (IMAGE_MEAN, IMAGE_STD))
    values = (pictures(pairs).astype(np.float32) / 255 - mean) / std
    rows, columns = (side // 2 for side in GRID)
    blocks = values.reshape(pairs, rows, 2, 14, columns, 2, 14, 3).transpose(0, 1, 4, 2, 5, 7, 3, 6)
    frames = np.repeat(blocks[:, :, :, :, :, :, None], 2, axis=6)
    return np.ascontiguousarray(frames).reshape(pairs * GRID[0] * GRID[1], -1)
