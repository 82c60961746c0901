"""The loss on held-out chunks."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from svlm_cli.recipe import load_recipe
from svlm_cli.train.learner import open_learner
from svlm_cli.train.stage_data import held_out, open_chunks
from svlm_cli.train.trainer import train
from tests.train.clips import chunk_at, clip_recipe, overlapping, write_chunks
from tests.train.small import batch_of


def test_held_out_chunks_are_evaluated_and_never_trained_on(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    dice = random.Random(1)
    write_chunks(folder, [chunk_at("clip.mp4", k, 3, dice) for k in (0, 5)], "valid_s2w4")
    recipe = clip_recipe(tmp_path, checkpoint, folder, ["workers=1"], steps=2, eval_steps=1)
    said: list[str] = []
    result = train(recipe, tmp_path / "run", tell=said.append)[0]
    assert sum("held-out" in line for line in said) >= 2

    stage = recipe.stages[0]
    trained = open_learner(recipe, stage, Path(result.model))
    source = held_out(stage.chunks[0])
    assert source is not None
    assert source.name == "valid_s2w4"
    dataset = open_chunks(trained, source)
    means = []
    for number in range(2):
        batch, labels = batch_of([dataset[number]])
        del batch["logits_to_keep"]
        with torch.no_grad():
            logits = trained.network.eval()(**batch).logits[0, :-1]
        means.append(float(torch.nn.functional.cross_entropy(logits, labels[0, 1:])))
    assert result.eval_loss == pytest.approx(sum(means) / 2, rel=1e-4)


def test_stages_follow_each_other(tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]) -> None:
    """A second stage at a rate of nearly nothing leaves the first one's weights as they are."""
    from safetensors.torch import load_file

    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    first = clip_recipe(tmp_path, checkpoint, folder, steps=1).model_dump(mode="json")
    second = {**first["stages"][0], "name": "annealing", "learning_rate": 1e-12}
    path = tmp_path / "two.yaml"
    path.write_text(str({**first, "stages": [first["stages"][0], second]}).replace("None", "null"))
    results = train(load_recipe(path), tmp_path / "run")
    before, after = (load_file(Path(result.model) / "model.safetensors") for result in results)
    base = load_file(checkpoint / "model.safetensors")
    assert all(torch.allclose(before[name], after[name], atol=1e-8) for name in before)
    assert any(not torch.equal(before[name], base[name]) for name in before)
    assert all(torch.equal(before[name], base[name]) for name in before if "visual" in name)
