"""Several processes do what one does."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed
import transformers

from svlm_cli.claims import claim
from svlm_cli.errors import OutputError
from svlm_cli.recipe import load_recipe
from svlm_cli.train.arguments import _checkpointing, training_arguments
from svlm_cli.train.trainer import train
from tests.train.clips import clip_recipe, losses, overlapping
from tests.train.small import recipe
from tests.trust.training import as_two_processes, end_of, in_a_child, least_recipe


def test_two_processes_with_half_the_accumulation_give_the_curve_of_one(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path], warm_programs: Path
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=5)
    train(clip_recipe(tmp_path, checkpoint, folder, steps=4, micro_batch=1, accumulate=4), tmp_path / "one")
    clip_recipe(tmp_path, checkpoint, folder, steps=4, micro_batch=1, accumulate=2, cache_vision=True)
    command = [str(warm_programs / "svlm"), "train", str(tmp_path / "recipe.yaml"), "--nproc", "2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "two")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two" / "sft") == pytest.approx(losses(tmp_path / "one" / "sft"), abs=1e-4)
    assert done.stdout.strip() == str(tmp_path / "two" / "sft" / "final")
    assert done.stderr.count("step 4/4") == 1  # one process talks


def test_two_processes_go_on_from_the_newest_checkpoint_that_is_whole_for_both(tmp_path: Path) -> None:
    """The state of the second one's dice is damaged: the first finds it, both go back by a step."""
    recipe, output = least_recipe(), tmp_path / "run"
    assert as_two_processes(lambda: train(recipe, output)) == [0, 0]
    end = end_of(output / "s")
    shutil.rmtree(output / "s" / "final")
    path = output / "s" / "checkpoint-3" / "rng_state_1.pth"
    path.write_bytes(path.read_bytes()[:-1])
    told = tmp_path / "told"

    def again() -> None:
        with told.open("a") as file:
            train(recipe, output, tell=lambda line: file.write(f"{line}\n"))

    assert as_two_processes(again) == [0, 0]
    assert told.read_text().count(f"going on from {output}/s/checkpoint-2") == 2
    assert f"{path} is damaged" in told.read_text()
    assert end_of(output / "s") == end


def test_processes_whose_folder_is_taken_all_end(tmp_path: Path) -> None:
    recipe, output, told = least_recipe(), tmp_path / "run", tmp_path / "told"
    output.mkdir()

    def refused() -> None:
        with pytest.raises(OutputError, match="being written by process") as error:
            train(recipe, output)
        with told.open("a") as file:
            file.write(f"{error.value.message}\n")

    with claim(output, "it", inside=True):
        assert as_two_processes(refused) == [0, 0]
    assert told.read_text().count(f"process {os.getpid()} ") == 2
    assert list(output.iterdir()) == []


def test_fsdp2_is_what_accelerate_is_told(tmp_path: Path, checkpoint: Path) -> None:
    """On the CPU accelerate leaves sharding away, so only its settings can be looked at here."""
    recipe = clip_recipe(tmp_path, checkpoint, tmp_path, ["parallel=fsdp2"])
    arguments = training_arguments(recipe, recipe.stages[0], 1, tmp_path)
    plugin = arguments.fsdp_plugin_args
    assert plugin["fsdp_version"] == 2
    assert plugin["reshard_after_forward"] is True
    assert plugin["state_dict_type"] == "FULL_STATE_DICT"
    network = transformers.Qwen2_5_VLForConditionalGeneration
    assert network._no_split_modules  # the blocks that accelerate shards one by one


@pytest.mark.parametrize("name", ["activation_checkpointing", "gradient_checkpointing"])
def test_checkpointing_goes_by_the_name_that_transformers_has(name: str, monkeypatch) -> None:
    known = dataclasses.make_dataclass("Known", [(name, bool)])
    monkeypatch.setattr("svlm_cli.train.arguments.transformers.TrainingArguments", known)
    told = _checkpointing(recipe().model_copy(update={"gradient_checkpointing": True}))
    assert told == {name: True, f"{name}_kwargs": {"use_reentrant": False}}


def test_deepspeed_is_named_where_it_is_absent(tmp_path: Path, checkpoint: Path) -> None:
    from svlm_cli.errors import UsageError

    recipe = clip_recipe(tmp_path, checkpoint, tmp_path, ["parallel=zero3"])
    try:
        import deepspeed  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="DeepSpeed"):
            training_arguments(recipe, recipe.stages[0], 1, tmp_path)


def sharded_step(rank: int, folder: Path, recipe_path: Path) -> None:
    """A forward and a backward pass of a sharded network over the chunks of this process."""
    from torch.distributed.fsdp import fully_shard

    from svlm_cli.data.samples.sample import collate
    from svlm_cli.train.learner import open_learner
    from svlm_cli.train.loss import token_loss
    from svlm_cli.train.stage_data import open_chunks

    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    recipe = load_recipe(recipe_path)
    learner = open_learner(recipe, recipe.stages[0], None)
    network = learner.network.train()
    for block in [*network.model.visual.blocks, *network.model.language_model.layers]:
        fully_shard(block)
    fully_shard(network)
    dataset = open_chunks(learner, recipe.stages[0].chunks[0])
    batch = collate([dataset[rank]], 0)
    batch.pop("bad_samples")
    labels = batch.pop("labels")
    counts = torch.tensor([int((dataset[k].labels != -100).sum()) for k in range(2)])
    loss = token_loss(network(**batch), labels, counts.sum()) * 2  # gradients are averaged over processes
    loss.backward()
    norms = {
        name: weight.grad.full_tensor().norm().item()
        for name, weight in network.named_parameters()
        if weight.grad is not None
    }
    total = loss.detach()[None].clone()
    torch.distributed.all_reduce(total)
    if rank == 0:
        torch.save({"loss": total.item() / 2, "norms": norms}, folder / "sharded.pt")
    torch.distributed.destroy_process_group()


def test_sharded_weights_give_the_loss_and_gradients_of_whole_ones(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    from svlm_cli.data.samples.sample import collate
    from svlm_cli.train.learner import open_learner
    from svlm_cli.train.loss import token_loss
    from svlm_cli.train.stage_data import open_chunks

    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    recipe = clip_recipe(tmp_path, checkpoint, folder)
    both = [
        in_a_child(functools.partial(sharded_step, rank, tmp_path, tmp_path / "recipe.yaml"))
        for rank in (0, 1)
    ]
    for process in both:
        process.join()
        assert process.exitcode == 0
    sharded = torch.load(tmp_path / "sharded.pt")
    learner = open_learner(recipe, recipe.stages[0], None)
    dataset = open_chunks(learner, recipe.stages[0].chunks[0])
    batch = collate([dataset[0], dataset[1]], 0)
    batch.pop("bad_samples")
    labels = batch.pop("labels")
    loss = token_loss(learner.network.train()(**batch), labels)
    loss.backward()
    assert sharded["loss"] == pytest.approx(loss.item(), rel=1e-5)
    norms = {
        name: float(weight.grad.norm())
        for name, weight in learner.network.named_parameters()
        if weight.grad is not None
    }
    assert sharded["norms"] == pytest.approx(norms, rel=1e-4)
