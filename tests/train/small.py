"""A tiny model of the arena and a store with small windows, for tests."""

from __future__ import annotations

from pathlib import Path

from svlm_cli.data.arena_dataset import ArenaDataset, Mix
from svlm_cli.data.sample import FeatureSource
from svlm_cli.model.prompt import PromptWriter, find_markup
from svlm_cli.recipe import NewModel, Recipe, Stage
from svlm_cli.train.seedling import new_seedling, size_of
from svlm_cli.train.trainer import new_tokenizer, patch_settings

MODEL = NewModel(
    hidden=64, layers=2, heads=2, key_value_heads=1, mlp=96, vision_hidden=40, vision_layers=1, vision_mlp=64
)


def recipe(*stages: Stage) -> Recipe:
    return Recipe(model=MODEL, stages=stages or (Stage(name="s", steps=1, micro_batch=1, mix={"told": 1}),))


def network(tokenizer):
    return new_seedling(size_of(MODEL), tokenizer, 168 * 112, 0).eval()


def dataset(
    folder: Path, kind: str, *, seed: int = 0, num_samples: int = 4, features: FeatureSource | None = None
) -> ArenaDataset:
    tokenizer = new_tokenizer()
    return ArenaDataset(
        PromptWriter(tokenizer, find_markup(tokenizer)),
        patch_settings(recipe()),
        Mix(**{kind: 1.0}),
        seed=seed,
        num_samples=num_samples,
        group=2,
        windows=folder,
        num_windows=4,
        num_plays=2,
        features=features,
    )
