"""How large everything is: the real shapes, or a rehearsal on a CPU; and the pictures that are streamed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from svlm_cli import Clip, Sampling, StreamSettings
from svlm_cli.media.source import VideoInfo
from svlm_cli.model.family.random_config import SIZES, random_config
from svlm_cli.model.hooks.fixed_words import WordForward
from svlm_cli.model.random_checkpoint import random_model
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.train.published import model_config

PUBLISHED = {"7b": "Qwen/Qwen2.5-VL-7B-Instruct", "3b": "Qwen/Qwen2.5-VL-3B-Instruct"}
PICTURE = "noise"


@dataclass(frozen=True, slots=True)
class Scale:
    """Shapes of a run.

    Args:
        big, middle, small: names of models.
        width, height: of the pictures.
        settings: windows of the stream.
        words: of a second.
        train_steps, train_tokens: of training in bfloat16, and tokens of a picture there.
        compared_steps: of training in float32, those also run on the reference.
        big_steps: of training ``middle``.
        clip_seconds: of the training video.
    """

    big: str
    middle: str
    small: str
    width: int
    height: int
    settings: StreamSettings
    words: int
    train_steps: int
    train_tokens: int
    compared_steps: int
    big_steps: int
    clip_seconds: int


SCALES = {
    "real": Scale("7b", "3b", "180m", 640, 360, StreamSettings(), 20, 100, 128, 200, 10, 40),
    "tiny": Scale(
        "tiny",
        "tiny",
        "tiny",
        112,
        112,
        StreamSettings(vision_window=4, rounds=4, sink=32, text_window=32, min_pixels=56 * 56),
        5,
        3,
        16,
        5,
        2,
        14,
    ),
}


@dataclass(frozen=True, slots=True)
class Run:
    """What the parts are given.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        scale: of everything.
        seconds: of stream that each run shows at most.
        folder: for files that go when all is over; in memory where the system has such a place.
        tokenizer: Qwen's.
    """

    device: str
    scale: Scale
    seconds: int
    folder: Path
    tokenizer: Any

    @property
    def is_cuda(self) -> bool:
        """Whether a GPU is checked, and not a CPU in its place."""
        return self.device.startswith("cuda")

    @property
    def dtype(self) -> torch.dtype:
        """What ``svlm stream`` takes there by itself."""
        return torch.bfloat16 if self.is_cuda else torch.float32

    def settings(self, **other: Any) -> StreamSettings:
        """Of a stream; greedy, as ``svlm bench fps``."""
        return replace(self.scale.settings, sampling=Sampling(self.scale.words, greedy=True), **other)

    def config(self, name: str) -> Any:
        """Of a model by its name here."""
        if name in SIZES:
            return random_config(name, "qwen2_5_vl", self.tokenizer)
        return model_config(PUBLISHED[name])

    def model(self, name: str) -> VideoLanguageModel:
        """Random weights of a shape, made on the device; words fed plainly."""
        torch.manual_seed(0)
        return random_model(
            self.config(name),
            self.tokenizer,
            name=f"random-{name}",
            device=self.device,
            dtype=self.dtype,
            graphs="off",
        )

    def opener(self, _name: str) -> Noise:
        """Opens the pictures, as ``open_source`` opens a file."""
        return Noise(self.scale.width, self.scale.height)


def round_alike() -> None:
    """From here on float32 is float32 on a GPU too, and no TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def fixed(model: VideoLanguageModel) -> VideoLanguageModel:
    """The same model, words in fixed shapes: replayed as a graph on CUDA, run as they are on a CPU."""
    forward = WordForward(model.network, compiled=False, graphs=model.device.type == "cuda")
    return replace(model, word_forward=forward)


class Noise:
    """A picture of noise that moves: a source without a file."""

    is_live = False
    name = PICTURE

    def __init__(self, width: int, height: int) -> None:
        self.info = VideoInfo(width, height, 60.0, None, False, "rawvideo", None)
        self.problems: list[str] = []
        self._width = width
        self._picture = np.random.default_rng(0).integers(0, 256, (height, 2 * width, 3), dtype=np.uint8)

    def clips(self, fps: float, step_seconds: float, *_others: Any, **_named: Any) -> Iterator[Clip]:
        """Without an end."""
        number, num_frames = 0, round(fps * step_seconds)
        while True:
            began = time.perf_counter()
            starts = [(number * num_frames + k) * 5 % self._width for k in range(num_frames)]
            frames = np.stack([self._picture[:, start : start + self._width] for start in starts])
            spent = time.perf_counter() - began
            yield Clip(number, number * step_seconds, (number + 1) * step_seconds, frames, spent)
            number += 1

    def opening_text(self, _start_seconds: float) -> str:
        """Nothing."""
        return ""

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
