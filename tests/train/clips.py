"""Small data sets of chunks of made videos, and recipes that train a tiny checkpoint on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from svlm_cli.data.chunks.chunk import Chunk, write_layout
from svlm_cli.data.words.transcript import TimedWord
from svlm_cli.recipe import load_recipe
from svlm_cli.sections import Recipe

WORDS = ["what", "a", "save", "by", "the", "keeper", "and", "now", "goal", "oh", "he's", "down", "2-1"]
PIXELS = 56 * 56


def random_words(dice: random.Random, start: float, end: float, rate: float = 2.0) -> tuple[TimedWord, ...]:
    """Words at random times, in the order of their ends."""
    ends = sorted(dice.uniform(start, end) for _ in range(round(rate * (end - start))))
    return tuple(TimedWord(dice.choice(WORDS), max(start, stop - 0.2), stop) for stop in ends)


def chunk_at(video: str, start: int, seconds: int, dice: random.Random) -> Chunk:
    previous = " ".join(dice.choice(WORDS) for _ in range(dice.randrange(12)))
    return Chunk(video, start, start + seconds, previous, random_words(dice, start, start + seconds))


def write_chunks(folder: Path, chunks: Sequence[Chunk], name: str = "train_s2w4") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_layout(folder, name, chunks)
    return folder


def overlapping(
    folder: Path, make_video: Callable[..., Path], *, num_chunks: int = 4, seconds: int = 4, seed: int = 0
) -> Path:
    """Chunks of ``seconds`` and of one more in turn, every 2 s of one video."""
    dice = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    make_video(folder / "clip.mp4", seconds=2.0 * num_chunks + seconds + 1.0)
    chunks = [chunk_at("clip.mp4", 2 * k, seconds + k % 2, dice) for k in range(num_chunks)]
    return write_chunks(folder, chunks)


def recipe_text(checkpoint: Path, dataset: Path, **stage: Any) -> str:
    """A recipe of one stage as JSON, which is YAML."""
    chunks = [{"path": str(dataset), "name": "train_s2w4"}]
    first = {"name": "sft", "steps": 2, "micro_batch": 2, "learning_rate": 1e-3, "chunks": chunks} | stage
    model = {"base": str(checkpoint), "min_pixels": PIXELS, "max_pixels": PIXELS}
    whole = {
        "model": model,
        "bfloat16": False,
        "log_steps": 1,
        "workers": 0,
        "report_to": [],
        "stages": [first],
    }
    return json.dumps(whole)


def clip_recipe(
    folder: Path, checkpoint: Path, dataset: Path, settings: Sequence[str] = (), **stage: Any
) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(recipe_text(checkpoint, dataset, **stage))
    return load_recipe(path, settings)


def losses(stage_folder: Path) -> list[float]:
    """The loss curve that the newest checkpoint has kept."""
    newest = max(stage_folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]
