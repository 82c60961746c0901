"""A run that is killed and resumed is the run that was not."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from svlm_cli.errors import UsageError
from svlm_cli.recipe import load_recipe
from svlm_cli.train.checkpoints import SEAL_FILE
from svlm_cli.train.trainer import train
from tests.train.clips import clip_recipe, losses, overlapping, recipe_text
from tests.trust.training import command, in_a_child

STEPS = 6
LORA = ["model.lora={rank: 4, alpha: 8, dropout: 0.2}"]


def same_weights(one: Path, other: Path, name: str = "model.safetensors") -> bool:
    first, second = load_file(one / name), load_file(other / name)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def wait_for(path: Path, process: BaseProcess) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert path.exists()


def test_killed_and_resumed_equals_undisturbed(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    """Killed behind a whole checkpoint, and once more while one is being written."""
    folder = overlapping(tmp_path / "data", make_video, num_chunks=5)
    options = {"steps": STEPS, "save_steps": 1, "accumulate": 2, "micro_batch": 1, "warmup_steps": 2}
    recipe = clip_recipe(tmp_path, checkpoint, folder, **options)
    train(recipe, tmp_path / "undisturbed")
    whole, resumed = tmp_path / "undisturbed" / "sft", tmp_path / "killed" / "sft"
    for moment in (f"checkpoint-2/{SEAL_FILE}", "checkpoint-4/optimizer.pt"):
        process = in_a_child(command(recipe, tmp_path / "killed"))
        wait_for(resumed / moment, process)
        process.kill()
        process.join()
        assert not (resumed / "final").exists()
        assert not (resumed / f"checkpoint-{STEPS}").exists()
    assert train(recipe, tmp_path / "killed")[0].steps == STEPS
    assert losses(whole) == losses(resumed)
    assert len(losses(whole)) == STEPS
    assert same_weights(whole / "final", resumed / "final")


def test_dropout_goes_on_where_it_stopped(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    recipe = clip_recipe(tmp_path, checkpoint, folder, LORA, steps=4, save_steps=2)
    train(recipe, tmp_path / "run")
    run = tmp_path / "run" / "sft"
    (run / "final").rename(tmp_path / "whole")
    train(recipe, tmp_path / "run", start=run / "checkpoint-2")
    assert same_weights(tmp_path / "whole", run / "final", "adapter_model.safetensors")


def test_a_checkpoint_without_its_seal_is_not_used(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    recipe = clip_recipe(tmp_path, checkpoint, folder, steps=4, save_steps=2)
    train(recipe, tmp_path / "run")
    run = tmp_path / "run" / "sft"
    (run / "final").rename(tmp_path / "whole")
    (run / "checkpoint-4" / SEAL_FILE).unlink()
    (run / "checkpoint-4" / "model.safetensors").write_bytes(b"half")
    said: list[str] = []
    train(recipe, tmp_path / "run", tell=said.append)
    assert any("going on from" in line and "checkpoint-2" in line for line in said)
    assert f"sft: {run / 'checkpoint-4'} has no seal: it was being written when its run ended" in said
    assert same_weights(tmp_path / "whole", run / "final")


def test_what_is_done_is_not_done_again(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    recipe = clip_recipe(tmp_path, checkpoint, folder, steps=1)
    first = train(recipe, tmp_path / "run")
    written = (tmp_path / "run" / "sft" / "final" / "model.safetensors").stat().st_mtime_ns
    assert train(recipe, tmp_path / "run") == first
    assert (tmp_path / "run" / "sft" / "final" / "model.safetensors").stat().st_mtime_ns == written


def test_a_stage_that_is_done_by_another_recipe_is_refused(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    train(clip_recipe(tmp_path, checkpoint, folder, steps=1), tmp_path / "run")
    changed = clip_recipe(tmp_path, checkpoint, folder, ["seed=5"], steps=1)
    with pytest.raises(UsageError, match=r"seed \(0 -> 5\)"):
        train(changed, tmp_path / "run")


def test_a_stage_run_again_has_the_later_ones_run_again(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    one = json.loads(recipe_text(checkpoint, folder, steps=2, save_steps=1))
    later = one["stages"][0] | {"name": "later", "steps": 1}
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps(one | {"stages": [*one["stages"], later]}))
    recipe = load_recipe(path)
    train(recipe, tmp_path / "run")
    said: list[str] = []
    train(recipe, tmp_path / "run", start=tmp_path / "run" / "sft" / "checkpoint-1", tell=said.append)
    assert not any("done already" in line for line in said)
    assert any(line.startswith("later: step 1/1") for line in said)
    longer = load_recipe(path, ["stages.1.steps=2"])  # what comes after a stage does not touch it
    with pytest.raises(UsageError, match=r"later\.steps"):
        train(longer, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "later")
    assert [result.steps for result in train(longer, tmp_path / "run")] == [2, 2]


@pytest.mark.parametrize("change", ["recipe", "data"])
def test_another_recipe_or_other_data_is_refused(
    change: str, tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    options = {"steps": 2, "save_steps": 1}
    train(clip_recipe(tmp_path, checkpoint, folder, **options), tmp_path / "run")
    final = tmp_path / "run" / "sft" / "final"
    final.rename(tmp_path / "kept")
    settings = ["stages.0.learning_rate=0.5"] if change == "recipe" else []
    if change == "data":
        overlapping(folder, make_video, num_chunks=3, seed=9)
        from svlm_cli.train import checkpoints

        checkpoints._sha256.cache_clear()
    again = clip_recipe(tmp_path, checkpoint, folder, settings, **options)
    with pytest.raises(UsageError, match="learning_rate" if change == "recipe" else "hash of"):
        train(again, tmp_path / "run")
    assert (tmp_path / "run" / "sft" / "checkpoint-2").is_dir()
    train(again, tmp_path / "run", resume=False)
    assert final.is_dir()


def test_a_checkpoint_says_what_it_was_made_from(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    import hashlib

    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    recipe = clip_recipe(tmp_path, checkpoint, folder, steps=1)
    train(recipe, tmp_path / "run")
    kept = tmp_path / "run" / "sft" / "checkpoint-1"
    seal = json.loads((kept / SEAL_FILE).read_text())
    data = folder / "train_s2w4_with_seeks.jsonl"
    assert seal["data_sha256"] == {str(data): hashlib.sha256(data.read_bytes()).hexdigest()}
    assert seal["versions"]["torch"] == torch.__version__
    assert load_recipe(kept / "recipe.yaml") == recipe
    assert json.loads(recipe_text(checkpoint, folder))["model"]["base"] == seal["recipe"]["model"]["base"]
