"""Number formats on the CPU in one run: matrix products, whole steps, and whether the words stay the same.

    python -m svlm_cli.model.random_checkpoint /tmp/180m --size 180m
    python benchmarks/formats.py products --model /tmp/180m
    python benchmarks/formats.py words --seconds 200

``products`` runs the products of a step (2 FPS of 640x360 and 20 words) as bare kernels in every format in
turn, one thread, CPU time, medians. ``words`` streams a match through the bundled model (or
``--model``), greedily, and compares the words of each format, and of ``--drop-static`` at some levels, with
those of float32: seconds said alike, edits per word, and vision tokens kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from svlm_cli import Sampling, StreamSession, StreamSettings, load_model, open_source
from svlm_cli.bench.speed.floor import Fed, Floor, watched
from svlm_cli.model.lean.deep_tower import DeepTower
from svlm_cli.model.lean.tower import Tower
from svlm_cli.model.vision.plan import vision_plan

FORMATS: dict[str, dict[str, object]] = {
    "float32": {},
    "float32, packed": {"packed": True},
    "bfloat16": {"dtype": "bfloat16"},
    "bfloat16, packed": {"dtype": "bfloat16", "packed": True},
    "int8": {"quantize": "int8"},
}
LEVELS = (0.0, 1.0, 2.0, 4.0, 8.0)
GRID, NUM_NEW, NUM_WORDS = (1, 26, 46), 320, 20


class Said(NamedTuple):
    """Words by second, vision tokens kept at the end, median CPU seconds of a step but reading."""

    texts: list[str]
    num_vision_tokens: int
    step_seconds: float


class Products(Floor):
    """The layers of a step as they are used, without attention."""

    def _product(self, linear: torch.nn.Module, num_rows: int) -> None:
        linear(self._input(num_rows, linear.in_features))  # type: ignore[arg-type]

    def _see(self, *_: object) -> None: ...

    def _attend(self, *_: object, **_named: object) -> None: ...


def products(name: str | None, repeats: int) -> list[dict[str, object]]:
    kinds = {}
    for label, how in FORMATS.items():
        model = load_model(name, device="cpu", threads=1, **how)
        visual = model.network.model.visual
        is_lean = isinstance(visual, Tower | DeepTower)
        model.vision_plans[GRID] = visual.plan(GRID) if is_lean else vision_plan(visual, GRID, model.device)
        seen = watched(model)
        seen.grids.append(GRID)
        seen.fed.extend([Fed(NUM_NEW, 1), *(Fed(1, 1) for _ in range(NUM_WORDS - 1))])
        cache = model.new_cache(8)
        size = model.network.config.text_config
        shape = (1, size.num_key_value_heads, 1, size.hidden_size // size.num_attention_heads)
        cache.allocate(torch.zeros(shape), torch.zeros(shape))
        kinds[label] = (Products(model, time.process_time), seen, cache)
    taken: dict[str, list[dict[str, float]]] = {label: [] for label in kinds}
    for _ in range(repeats + 1):
        for label, (floor, seen, cache) in kinds.items():
            taken[label].append(floor.seconds(seen, cache))
    rows: list[dict[str, object]] = []
    for label, runs in taken.items():
        row: dict[str, object] = {"format": label}
        for stage in ("vision", "prefill", "decode"):
            row[stage] = round(statistics.median(each[stage] for each in runs[1:]), 4)
            pairs = zip(runs[1:], taken["float32"][1:], strict=True)
            row[f"{stage}_ratio"] = round(statistics.median(a[stage] / b[stage] for a, b in pairs), 3)
        pairs = zip(runs[1:], taken["float32"][1:], strict=True)
        row["all_ratio"] = round(statistics.median(sum(a.values()) / sum(b.values()) for a, b in pairs), 3)
        rows.append(row)
    return rows


def say(name: str | None, seconds: int, how: dict[str, object], drop_static: float | None = None) -> Said:
    """A match, greedily."""
    model = load_model(name, device="cpu", threads=1, **how)
    with open_source("arena:soccer,seed=3,minutes=60") as source:
        settings = StreamSettings(
            previous_text=source.opening_text(0.0), sampling=Sampling(greedy=True), drop_static=drop_static
        )
        session = StreamSession(model, settings, clock=time.process_time)
        clips = source.clips(settings.fps, settings.step_seconds, 0.0, float(seconds))
        steps = [session.step(clip) for clip in clips]
    spent = [step.timings.total - step.timings.read for step in steps]
    return Said([step.text for step in steps], steps[-1].num_vision_tokens, statistics.median(spent))


def words(name: str | None, seconds: int) -> list[dict[str, object]]:
    plain = say(name, seconds, {})
    rows = []
    runs = [(label, how, None) for label, how in FORMATS.items()]
    runs += [(f"float32, --drop-static {level:g}", {}, level) for level in LEVELS]
    for label, how, level in runs:
        said = say(name, seconds, how, level)
        row: dict[str, object] = {"format": label, **agreement(plain.texts, said.texts)}
        row["vision_tokens_percent"] = round(100 * said.num_vision_tokens / plain.num_vision_tokens, 1)
        rows.append(row | {"step_ms": round(1e3 * said.step_seconds, 2)})
    return rows


def agreement(plain: list[str], said: list[str]) -> dict[str, object]:
    alike = sum(a == b for a, b in zip(plain, said, strict=True))
    edits = sum(distance(a.split(), b.split()) for a, b in zip(plain, said, strict=True))
    total = sum(len(text.split()) for text in plain)
    return {
        "seconds": len(plain),
        "alike_percent": round(100 * alike / len(plain), 2),
        "words": total,
        "edits_percent": round(100 * edits / max(1, total), 2),
    }


def distance(first: list[str], second: list[str]) -> int:
    """Words to put in, take out or change (Levenshtein)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        row, before = [i], row
        for j, b in enumerate(second, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("products", "words"))
    parser.add_argument("--model", help="checkpoint folder; default: the bundled model")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=200)
    chosen = parser.parse_args()
    work: dict[str, Callable[[], list[dict[str, object]]]] = {
        "products": lambda: products(chosen.model, chosen.repeats),
        "words": lambda: words(chosen.model, chosen.seconds),
    }
    print(json.dumps(work[chosen.what](), indent=1))


if __name__ == "__main__":
    main()
