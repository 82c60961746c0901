"""A tiny model of the arena and a store with small windows, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from svlm_cli.data.samples.sample import FeatureStore, Sample, collate
from svlm_cli.model.family.markup import find_markup
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.sections import ArenaMix, NewModel, Recipe, Stage
from svlm_cli.train.arena.dataset import ArenaDataset
from svlm_cli.train.arena.seedling import new_seedling
from svlm_cli.train.learner import new_patch_settings, new_tokenizer

MODEL = NewModel(
    hidden=64, layers=2, heads=2, key_value_heads=1, mlp=96, vision_hidden=40, vision_layers=1, vision_mlp=64
)


def recipe(*stages: Stage) -> Recipe:
    """In float32, whatever the processor."""
    stages = stages or (Stage(name="s", steps=1, micro_batch=1, mix={"told": 1}),)
    return Recipe(model=MODEL, stages=stages, bfloat16=False)


def network(tokenizer):
    return new_seedling(MODEL, tokenizer, 0).eval()


def batch_of(samples: Sequence[Sample], *, packing: bool = False) -> tuple[dict[str, Any], torch.Tensor]:
    """What the model takes, and the labels."""
    batch = collate(samples, 0, packing=packing)
    assert not batch.pop("bad_samples")
    return batch, batch.pop("labels")


def dataset(
    folder: Path, kind: str, *, seed: int = 0, num_samples: int = 4, features: FeatureStore | None = None
) -> ArenaDataset:
    tokenizer = new_tokenizer()
    return ArenaDataset(
        PromptWriter(tokenizer, find_markup(tokenizer)),
        new_patch_settings(MODEL, 168 * 112),
        ArenaMix(**{kind: 1.0}),
        seed=seed,
        num_samples=num_samples,
        group=2,
        windows=folder,
        num_windows=4,
        num_plays=2,
        features=features,
    )
