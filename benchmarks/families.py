"""What a step costs in each family: random models of one size, in turns, at the same tokens.

    python benchmarks/families.py [--families qwen2_5_vl qwen3_vl ...] [--size 180m] [--steps 12]

All models are in one process and one thread, float32 on the CPU, opened from their files as ``svlm stream``
opens them; each step is of the same second of noise,
cut to the same grid of tokens where the family lets one choose, and of as many words. Every round steps each
model once, in turned order, by processor time. The first family is what the others are compared with: the
median over the rounds of the ratio of a step, whole and without the tower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from svlm_cli import Clip, Sampling, StreamSession, StreamSettings, load_model
from svlm_cli.model.family.random_config import SIZES
from svlm_cli.model.family.table import FAMILIES
from svlm_cli.model.library import silent_library
from svlm_cli.model.random_checkpoint import build_random_checkpoint

ROWS, COLUMNS = 5, 8  # tokens of a frame
WORDS = 12
SETTINGS = StreamSettings(
    vision_window=16,
    rounds=16,
    sink=256,
    text_window=256,
    sampling=Sampling(max_new_tokens=WORDS, silence_threshold=0.999999),
)


class Contestant:
    """A stream of one family.

    Args:
        family: a key of the table.
        size: a key of ``SIZES``.
        vocabulary: as ``build_random_checkpoint`` has it.
    """

    def __init__(self, family: str, size: str, vocabulary: str | None) -> None:
        with tempfile.TemporaryDirectory() as room:
            build_random_checkpoint(Path(room, family), size=size, family=family, vocabulary=vocabulary)
            model = load_model(str(Path(room, family)), device="cpu", threads=1, packed=True)
        side = model.patches.factor
        self.size = ROWS * side, COLUMNS * side
        if model.patches.square is None:
            area = self.size[0] * self.size[1]
            patches = replace(model.patches, min_pixels=area, max_pixels=area)
            model = replace(model, patches=patches)
        self.family = family
        self.session = StreamSession(model, SETTINGS, clock=time.process_time)
        self.dice = np.random.default_rng(0)

    def step(self, number: int) -> dict[str, float]:
        """Show the next second; processor time by stage, and the tokens held."""
        pixels = self.dice.integers(0, 256, (2, *self.size, 3), dtype=np.uint8)
        event = self.session.step(Clip(number, float(number), number + 1.0, pixels))
        timings = event.timings
        return {
            "step": timings.total,
            "without the tower": timings.total - timings.vision,
            "tokens held": event.num_cached_tokens,
            "tokens of frames": event.num_vision_tokens,
            "words": event.num_new_tokens,
        }


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=sorted(FAMILIES), default=["qwen2_5_vl", "qwen3_vl"])
    parser.add_argument("--size", choices=sorted(SIZES), default="180m")
    parser.add_argument("--steps", type=int, default=12, help="that are measured, once the windows are full")
    parser.add_argument("--vocabulary", help="Hugging Face id or folder, or a .tiktoken file")
    chosen = parser.parse_args()
    with silent_library():
        contestants = [Contestant(family, chosen.size, chosen.vocabulary) for family in chosen.families]
    warm = SETTINGS.vision_turns + 2
    measured: list[list[dict[str, float]]] = []
    for number in range(warm + chosen.steps):
        order = contestants if number % 2 else contestants[::-1]
        round_ = {each.family: each.step(number) for each in order}
        if number >= warm:
            measured.append([round_[family] for family in chosen.families])
    for place, family in enumerate(chosen.families):
        mine = [round_[place] for round_ in measured]
        told: dict[str, Any] = {"family": family}
        for name in mine[0]:
            told[name] = round(statistics.median(step[name] for step in mine), 3)
        for name in ("step", "without the tower"):
            ratios = [round_[place][name] / round_[0][name] for round_ in measured]
            told[f"{name}, ratio"] = round(statistics.median(ratios), 3)
        print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
