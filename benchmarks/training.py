"""What each way of saving time is worth in training, in one run on one machine.

    python benchmarks/training.py [--size 100m] [--steps 4]

A random checkpoint is trained on chunks of 2 to 8 s of a made video, each way against the plain one: wall
time of a step and CPU time of the training process (medians behind the first), and the share of time in which
the model waited for samples. The head on trained rows alone is compared with the head on every row.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from svlm_cli.data.chunks.chunk import Chunk, write_layout
from svlm_cli.data.samples.sample import collate
from svlm_cli.data.words.transcript import TimedWord
from svlm_cli.model.family.random_config import SIZES
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from svlm_cli.recipe import load_recipe
from svlm_cli.sections import Recipe
from svlm_cli.train.learner import open_learner
from svlm_cli.train.loss import token_loss
from svlm_cli.train.stage_data import open_chunks
from svlm_cli.train.trainer import train

SECONDS = 40
WORDS = ["what", "a", "save", "by", "the", "keeper", "and", "now", "they", "run"]
WAYS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "plain": ({}, []),
    "samples read by a worker": ({}, ["workers=1"]),
    "vision features cached": ({"cache_vision": True}, []),
    "packed": ({"packing": True}, []),
    "packed, cached": ({"packing": True, "cache_vision": True}, []),
    "gradient checkpointing": ({}, ["gradient_checkpointing=true"]),
}


def make_video(path: Path, seconds: int = SECONDS, size: tuple[int, int] = (640, 360)) -> None:
    dice = np.random.default_rng(0)
    picture = dice.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(seconds * 24):
            moved = np.roll(picture, (index, 3 * index), axis=(0, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode(None))


def make_chunks(
    folder: Path,
    seconds: int = SECONDS,
    lengths: tuple[int, ...] = (2, 4, 8),
    name: str = "train_s12w24",
) -> None:
    """Chunks of random words along the clip, each of one of these lengths (whole seconds)."""
    dice = random.Random(0)
    chunks = []
    for start in range(0, seconds - max(lengths), 2):
        length = dice.choice(lengths)
        ends = sorted(dice.uniform(start, start + length) for _ in range(3 * length))
        words = tuple(TimedWord(dice.choice(WORDS), end - 0.1, end) for end in ends)
        chunks.append(Chunk("clip.mp4", start, start + length, "a match", words))
    write_layout(folder, name, chunks)


class Clock:
    """Told a line at every step, it takes down wall and CPU time."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def __call__(self, line: str) -> None:
        """Take the time of a line that tells a loss."""
        if "loss" in line:
            self.times.append((time.monotonic(), time.process_time()))

    def median(self, part: int) -> float:
        """Seconds of a step: wall time (0) or CPU time of the training process (1)."""
        return statistics.median(b[part] - a[part] for a, b in itertools.pairwise(self.times))


def recipe_for(folder: Path, settings: list[str], **stage: Any) -> Recipe:
    source = {"path": str(folder), "name": "train_s12w24"}
    first = {"name": "sft", "micro_batch": 2, "save_steps": 1000, "chunks": [source], **stage}
    # An adapter, so that AdamW over 150,000 embeddings does not hide what is compared.
    model = {"base": str(folder / "model"), "max_pixels": 128 * 28 * 28, "lora": {"rank": 8}}
    path = folder / "recipe.yaml"
    whole = {
        "model": model,
        "bfloat16": False,
        "log_steps": 1,
        "workers": 0,
        "report_to": [],
        "stages": [first],
    }
    path.write_text(json.dumps(whole))
    return load_recipe(path, settings)


def measured(folder: Path, name: str, steps: int) -> dict[str, Any]:
    """One way of training, over the same samples as every other."""
    stage, settings = WAYS[name]
    recipe = recipe_for(folder, settings, steps=steps, **stage)
    output, clock = folder / name.replace(" ", "-").replace(",", ""), Clock()
    began = time.monotonic()
    train(recipe, output, tell=clock)
    history = json.loads((output / "sft" / f"checkpoint-{steps}" / "trainer_state.json").read_text())
    waits = [entry["data_wait_share"] for entry in history["log_history"] if "data_wait_share" in entry]
    shutil.rmtree(output)
    return {
        "way": name,
        "wall_seconds": clock.median(0),
        "cpu_seconds": clock.median(1),
        "waiting": statistics.median(waits[1:]),
        "whole_run_seconds": time.monotonic() - began,
    }


def head_rows(folder: Path) -> dict[str, Any]:
    """A forward and a backward pass with the head on trained rows, and on every row."""
    recipe = recipe_for(folder, [], steps=1)
    learner = open_learner(recipe, recipe.stages[0], None)
    dataset = open_chunks(learner, recipe.stages[0].chunks[0])
    batch = collate([dataset[number] for number in range(2)], 0)
    batch.pop("bad_samples")
    labels = batch.pop("labels")
    rows = batch.pop("logits_to_keep")
    seconds = {}
    for name in ("trained rows", "every row", "trained rows", "every row"):
        kept = rows if name == "trained rows" else torch.ones_like(rows)
        began = time.process_time()
        outputs = learner.network(**batch, logits_to_keep=kept)
        outputs.logits = outputs.logits if name == "trained rows" else outputs.logits[rows.flatten()]
        token_loss(outputs, labels).backward()
        seconds[name] = time.process_time() - began
    return {"num_rows": rows.numel(), "num_trained": int(rows.sum()), "cpu_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="100m")
    parser.add_argument("--steps", type=int, default=4)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_random_checkpoint(folder / "model", size=chosen.size)
        make_video(folder / "clip.mp4")
        make_chunks(folder)
        print("| way | wall, s a step | to plain | CPU, s a step | to plain | waiting for samples | run, s |")
        print("|---|---|---|---|---|---|---|")
        plain: dict[str, Any] = {}
        for way in WAYS:
            row = measured(folder, way, chosen.steps)
            plain = plain or row
            wall, cpu = (row[key] / plain[key] for key in ("wall_seconds", "cpu_seconds"))
            print(
                f"| {way} | {row['wall_seconds']:.2f} | {wall:.2f} | {row['cpu_seconds']:.2f} | {cpu:.2f} "
                f"| {100 * row['waiting']:.0f} % | {row['whole_run_seconds']:.0f} |",
                flush=True,
            )
        head = head_rows(folder)
    seconds = head["cpu_seconds"]
    ratio = seconds["trained rows"] / seconds["every row"]
    print(
        f"head on {head['num_trained']} of {head['num_rows']} rows: {ratio:.2f} of the CPU time on every row"
    )


if __name__ == "__main__":
    main()
