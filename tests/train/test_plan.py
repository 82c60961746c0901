"""What ``--dry-run`` says, against what then happens."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from svlm_cli import load_model
from svlm_cli.cli import app
from svlm_cli.errors import ModelError, SourceError
from svlm_cli.recipe import load_recipe
from svlm_cli.sections import Checkpoint, NewModel, Recipe
from svlm_cli.train.arena.seedling import new_seedling
from svlm_cli.train.learner import new_tokenizer, open_learner
from svlm_cli.train.plan import check, plan
from svlm_cli.train.plan_text import plan_lines
from svlm_cli.train.stage_data import open_chunks
from svlm_cli.train.trainer import train
from tests.train.clips import chunk_at, clip_recipe, overlapping, write_chunks

RECIPES = sorted(
    path
    for path in (Path(__file__).parents[2] / "recipes").glob("*.yaml")
    if not path.name.startswith("bench_")
)


def earlier_run(size: NewModel, folder: Path) -> Path:
    """What a run of a recipe for such a model leaves."""
    network = new_seedling(size.model_copy(update={"start": None, "vision": None}), new_tokenizer(), 0)
    network.save_pretrained(folder)
    return folder


def with_data(path: Path, checkpoint: Path, make_video: Callable[..., Path], folder: Path) -> Recipe:
    """A shipped recipe with a small checkpoint and made chunks in the places it names."""
    recipe = load_recipe(path)
    settings = [f"model.base={checkpoint}"] if isinstance(recipe.model, Checkpoint) else []
    if isinstance(recipe.model, NewModel):
        made = earlier_run(recipe.model, folder / "earlier")
        settings = [f"model.{name}={made}" for name in ("start", "vision") if getattr(recipe.model, name)]
    dice = random.Random(0)
    make_video(folder / "clip.mp4", seconds=30.0)
    for number, stage in enumerate(recipe.stages):
        for place, source in enumerate(stage.chunks):
            write_chunks(folder, [chunk_at("clip.mp4", k, 24, dice) for k in range(4)], source.name)
            settings.append(f"stages.{number}.chunks.{place}.path={folder}")
    return load_recipe(path, settings)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_shipped_recipe_passes_a_dry_run(
    path: Path, checkpoint: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = with_data(path, checkpoint, make_video, tmp_path)
    found = plan(recipe, tmp_path / "run", 8)
    assert found.problems == ()
    assert found.num_trained > 0
    assert not (tmp_path / "run").exists()
    for stage, planned in zip(recipe.stages, found.stages, strict=True):
        assert planned.samples_per_step == (0 if stage.mean else stage.micro_batch * stage.accumulate * 8)
        assert planned.num_chunks == 4 * len(stage.chunks)


def test_the_papers_figures_are_in_its_recipes() -> None:
    recipe = load_recipe(next(path for path in RECIPES if path.name == "stage1.yaml"))
    stage = recipe.stages[0]
    assert (stage.learning_rate, stage.schedule, stage.warmup_share, stage.epochs) == (
        1e-5,
        "cosine",
        0.03,
        1,
    )
    assert (stage.micro_batch * stage.accumulate, stage.freeze_vision, recipe.bfloat16) == (64, True, "auto")
    assert (recipe.parallel, recipe.gradient_checkpointing, stage.chunks[0].fps) == ("zero3", True, 2.0)


def test_sizes_are_those_of_the_run(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=4)
    recipe = clip_recipe(tmp_path, checkpoint, folder, epochs=2, steps=None, micro_batch=3)
    found = plan(recipe, tmp_path / "run")
    network = load_model(str(checkpoint), device="cpu").network
    assert found.num_weights == sum(weight.numel() for weight in network.parameters())
    vision = sum(weight.numel() for weight in network.model.visual.parameters())
    assert found.num_trained == found.num_weights - vision
    learner = open_learner(recipe, recipe.stages[0], None)
    dataset = open_chunks(learner, recipe.stages[0].chunks[0])
    lengths = [len(dataset[number].input_ids) for number in range(4)]
    assert found.stages[0].tokens_per_sample == pytest.approx(sum(lengths) / 4, rel=0.1)
    assert found.stages[0].max_tokens_per_sample == pytest.approx(max(lengths), rel=0.1)
    result = train(recipe, tmp_path / "run")[0]
    assert found.stages[0].steps == result.steps == 3
    kept = tmp_path / "run" / "sft" / "checkpoint-3"
    size = sum(path.stat().st_size for path in kept.iterdir() if path.suffix in (".safetensors", ".pt"))
    assert found.checkpoint_bytes == pytest.approx(size, rel=0.05)


def test_lora_trains_what_the_plan_says(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    recipe = clip_recipe(tmp_path, checkpoint, folder, ["model.lora={rank: 3, alpha: 6}"])
    learner = open_learner(recipe, recipe.stages[0], None)
    trained = {name: weight for name, weight in learner.network.named_parameters() if weight.requires_grad}
    assert plan(recipe, tmp_path).num_trained == sum(weight.numel() for weight in trained.values())
    assert all("lora_" in name and ".visual." not in name for name in trained)


def test_one_seed_is_one_adapter(tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]) -> None:
    """What PEFT draws is drawn by the recipe's seed, whatever was drawn before in this process."""
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    drawn = []
    for seed in (3, 3, 4):
        recipe = clip_recipe(tmp_path, checkpoint, folder, ["model.lora={rank: 3}", f"seed={seed}"])
        learner = open_learner(recipe, recipe.stages[0], None)
        weights = [w.flatten() for name, w in learner.network.named_parameters() if "lora_A" in name]
        drawn.append(torch.cat(weights).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_published_models_are_known_without_a_network() -> None:
    """8.29 and 3.75 thousand million weights, as their model cards say."""
    sizes = {}
    for base in ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"):
        recipe = Recipe(model=Checkpoint(base=base), stages=[_stage()])
        sizes[base[16:18]] = round(plan(recipe, Path()).num_weights / 1e9, 2)
    assert sizes == {"7B": 8.29, "3B": 3.75}


def _stage() -> dict[str, object]:
    return {"name": "a", "steps": 1, "micro_batch": 1, "chunks": [{"path": "absent"}]}


def test_all_that_is_in_the_way_is_told_at_once(tmp_path: Path) -> None:
    recipe = Recipe(model=Checkpoint(base=str(tmp_path / "none")), stages=[_stage()])
    with pytest.raises(SourceError, match=r"(?s)none.*absent"):
        check(recipe, tmp_path)


def test_a_full_disk_is_told_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = {"name": "a", "steps": 1, "micro_batch": 1, "mix": {"symbols": 1}}
    recipe = Recipe(model=NewModel(), stages=[stage])
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(SourceError, match="the disk has"):
        check(recipe, tmp_path)


def test_dry_run_prints_the_plan(tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=3)
    clip_recipe(tmp_path, checkpoint, folder, steps=5)
    path = str(tmp_path / "recipe.yaml")
    options = ["train", path, "--dry-run", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*options, "--nproc", "4"])
    assert "stage sft: 5 steps of 8 samples" in done.stdout
    assert "memory of a process" in done.stdout
    told = CliRunner().invoke(app, [*options, "--json"])
    assert json.loads(told.stdout)["stages"][0]["samples_per_step"] == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("targets", "odd"),
    [
        ('["q_proj", "lm_head"]', "lm_head"),
        ('["v_proj", "embed_tokens"]', "embed_tokens"),
        ('["q_proj", "qkv"]', "qkv"),
        ('["q.proj"]', "q.proj"),
    ],
)
def test_a_target_that_would_be_dropped_is_named(
    targets: str, odd: str, tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=1)
    recipe = clip_recipe(
        tmp_path, checkpoint, folder, [f"model.lora={{rank: 3, alpha: 6, targets: {targets}}}"]
    )
    (problem,) = plan(recipe, tmp_path / "run").problems
    assert f"lora.targets: {odd}: no linear layer" in problem
    with pytest.raises(ModelError, match=f"lora.targets: {odd}"):
        open_learner(recipe, recipe.stages[0], None)


def test_the_ends_of_names_are_targets(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    folder = overlapping(tmp_path / "data", make_video, num_chunks=1)
    lora = "model.lora={rank: 3, alpha: 6, targets: [self_attn.q_proj, down_proj]}"
    recipe = clip_recipe(tmp_path, checkpoint, folder, [lora])
    learner = open_learner(recipe, recipe.stages[0], None)
    trained = [weight for weight in learner.network.parameters() if weight.requires_grad]
    assert len(trained) == 3 * 2 * 2
    assert plan(recipe, tmp_path).num_trained == sum(weight.numel() for weight in trained)


def test_a_quantised_base_is_a_problem(
    tmp_path: Path, checkpoint: Path, make_video: Callable[..., Path]
) -> None:
    base = shutil.copytree(checkpoint, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "awq"}}))
    folder = overlapping(tmp_path / "data", make_video, num_chunks=1)
    (problem,) = plan(clip_recipe(tmp_path, base, folder), tmp_path / "run").problems
    assert "is quantised (awq)" in problem


SMALL = {"hidden": 48, "heads": 2, "key_value_heads": 1, "layers": 2, "mlp": 32, "vision_layers": 1}


@pytest.mark.parametrize("name", ["vision", "start"])
def test_an_earlier_run_that_is_not_there_or_of_another_shape_is_told(name: str, tmp_path: Path) -> None:
    stage = {"name": "a", "steps": 3, "micro_batch": 1, "mix": {"symbols": 1}}
    absent = tmp_path / "runs" / "eye" / "scenes" / "final"
    found = plan(Recipe(model=NewModel(**SMALL, **{name: absent}), stages=[stage]), tmp_path / "out")
    (problem,) = found.problems
    assert f"model.{name}: there is no folder {absent}" in problem
    assert f"--out {tmp_path / 'runs' / 'eye'} makes it" in problem
    there = earlier_run(NewModel(**SMALL), tmp_path / "there")
    good = Recipe(model=NewModel(**SMALL, **{name: there}), stages=[stage])
    assert plan(good, tmp_path / "out").problems == ()
    other = NewModel(**SMALL | {"vision_hidden": 40}, **{name: there})
    (problem,) = plan(Recipe(model=other, stages=[stage]), tmp_path / "out").problems
    assert "another shape: hidden_size 80, not 40" in problem
    shutil.rmtree(there)
    there.mkdir()
    (problem,) = plan(good, tmp_path / "out").problems
    assert problem.startswith(f"model.{name}: ")
    (tmp_path / "out" / "a" / "checkpoint-2").mkdir(parents=True)  # the run goes on from what is its own
    assert plan(good, tmp_path / "out").problems == ()


def test_without_model_or_data_no_figure_is_made_up(tmp_path: Path, checkpoint: Path, make_video) -> None:
    absent = {"name": "a", "epochs": 2, "micro_batch": 3, "chunks": [{"path": str(tmp_path / "absent")}]}
    nowhere = Recipe(model=Checkpoint(base=str(tmp_path / "none")), bfloat16=False, stages=[absent])
    found = plan(nowhere, tmp_path)
    assert (found.num_weights, found.num_trained, found.checkpoint_bytes, found.disk_bytes) == (None,) * 4
    assert found.memory_bytes == {}
    stage = found.stages[0]
    assert (stage.steps, stage.num_chunks, stage.tokens_per_sample) == (None, None, None)
    text = "\n".join(plan_lines(found))
    free = f"{found.free_bytes / 2**30:.2f}"
    assert [word for word in re.findall(r"\d+(?:\.\d+)?", text) if word not in (free, "1", "3")] == []
    assert text.count("not known") == 7
    known = plan(Recipe(model=Checkpoint(base=str(checkpoint)), stages=[absent]), tmp_path)
    assert known.num_weights
    assert (known.memory_bytes["activations"], known.memory_bytes["logits"]) == (None, None)
    text = "\n".join(plan_lines(known))
    assert "at least" in text
    assert "activations not known" in text
    folder = overlapping(tmp_path / "data", make_video, num_chunks=2)
    name = clip_recipe(tmp_path, checkpoint, folder).stages[0].chunks[0].name
    here = absent | {"chunks": [{"path": str(folder), "name": name}]}
    found = plan(Recipe(model=Checkpoint(base=str(tmp_path / "none")), stages=[here]), tmp_path)
    assert (found.stages[0].num_chunks, found.stages[0].steps) == (2, 2)
    assert found.stages[0].tokens_per_sample is None


def test_the_smoke_recipe_names_its_script_and_asks_no_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a hub was asked")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", asked)
    monkeypatch.setattr("huggingface_hub.snapshot_download", asked)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(next(path for path in RECIPES if path.name == "smoke.yaml"))
    problems = plan(recipe, tmp_path).problems
    assert "there is no model folder random" in problems[0]
    assert "recipes/smoke.sh" in problems[0]
    with pytest.raises(ModelError, match=r"recipes/smoke\.sh"):
        load_model("random")
    annealing = load_recipe(next(path for path in RECIPES if path.name == "stage2_annealing.yaml"))
    assert "there is no model folder runs/stage1/sft/final" in plan(annealing, tmp_path).problems[0]
