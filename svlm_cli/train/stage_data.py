"""What a stage is trained and evaluated on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import ConcatDataset, Dataset

from svlm_cli.data.chunks.line_file import pair_paths
from svlm_cli.data.samples.chunk_dataset import ChunkDataset
from svlm_cli.data.samples.sample import FeatureStore, MixedDataset, Sample
from svlm_cli.model.window import WindowLimits
from svlm_cli.sections import ChunkSource, Recipe, Stage
from svlm_cli.train.arena.dataset import ArenaDataset
from svlm_cli.train.learner import Learner


def open_chunks(
    learner: Learner, source: ChunkSource, features: FeatureStore | None = None, **options: Any
) -> ChunkDataset:
    """A data set of chunks for a model.

    Raises:
        SourceError: it cannot be read.
    """
    return ChunkDataset(
        learner.writer,
        learner.patches,
        learner.tokens_per_second,
        folder=source.path,
        name=source.name,
        fps=source.fps,
        # Turns are never evicted in training, so their number does not count.
        limits=WindowLimits(source.sink, source.text_window, 1, 1),
        features=features,
        prompt_format=learner.prompt_format,
        **options,
    )


def held_out(source: ChunkSource) -> ChunkSource | None:
    """The pair that a source is evaluated by, None where there is none."""
    if not source.name.startswith("train"):
        return None
    name = source.name.replace("train", "valid", 1)
    there = pair_paths(source.path, name)[0].is_file()
    return source.model_copy(update={"name": name}) if there else None


def num_steps(stage: Stage, num_chunks: int, world: int) -> int:
    """Optimizer steps of a stage.

    Args:
        stage: names steps or epochs.
        num_chunks: the number of chunks in all of its sources.
        world: number of processes.
    """
    if stage.steps is not None:
        return stage.steps
    per_step = stage.micro_batch * stage.accumulate * world
    return max(1, math.ceil((stage.epochs or 1) * num_chunks / per_step))


def training_data(
    recipe: Recipe,
    stage: Stage,
    learner: Learner,
    features: FeatureStore | None,
    *,
    steps: int,
    windows: Path,
    world: int,
) -> Dataset[Sample]:
    """Everything a stage draws from, in its shares.

    Sample ``i`` depends on the recipe and on ``i`` alone, not on how samples are shared out among processes.

    Args:
        recipe, stage: the run and its part.
        learner: the learner whose samples they are.
        features: the features of the frozen tower; None to train on frames.
        steps: optimizer steps of the stage.
        windows: folder of the arena's drawn windows.
        world: number of processes.

    Raises:
        SourceError: a data set cannot be read.
    """
    seed = recipe.seed * 1000 + recipe.stages.index(stage)
    num_samples = steps * stage.micro_batch * stage.accumulate * world
    group = 1
    parts: list[tuple[Dataset[Sample], float]] = []
    if stage.mix.total:
        group = 2 * stage.micro_batch  # micro-batches of two processes take about as long as each other
        arena = ArenaDataset(
            learner.writer,
            learner.patches,
            stage.mix,
            seed=seed,
            num_samples=num_samples,
            group=group,
            windows=windows,
            num_windows=recipe.data.num_windows,
            num_plays=recipe.data.num_plays,
            features=features,
        )
        parts.append((arena, stage.mix.total))
    for number, source in enumerate(stage.chunks):
        chunks = open_chunks(
            learner,
            source,
            features,
            viewing=recipe.viewing,
            seed=seed + number,
            num_samples=num_samples,
            num_tries=recipe.max_bad_samples + 1,
        )
        parts.append((chunks, source.weight))
    return MixedDataset(parts, num_samples=num_samples, group=group)


def evaluation_data(
    recipe: Recipe, stage: Stage, learner: Learner, features: FeatureStore | None
) -> Dataset[Sample] | None:
    """The held-out chunks of a stage's sources, None where there are none."""
    how: dict[str, Any] = {"viewing": recipe.viewing, "num_tries": recipe.max_bad_samples + 1}
    found = [open_chunks(learner, source, features, **how) for source in valid_sources(stage)]
    return ConcatDataset(found) if found else None


def valid_sources(stage: Stage) -> Sequence[ChunkSource]:
    """The held-out pairs of a stage's sources."""
    return [source for source in map(held_out, stage.chunks) if source is not None]
