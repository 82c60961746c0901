"""Stages that are no more of the same: a mean of others, a new language model on a tower that has learnt."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from svlm_cli.errors import ModelError, UsageError
from svlm_cli.recipe import dump_recipe, load_recipe
from svlm_cli.sections import Recipe
from svlm_cli.train.learner import open_learner
from svlm_cli.train.plan import plan
from svlm_cli.train.plan_text import plan_lines
from svlm_cli.train.trainer import train
from tests.train.small import MODEL
from tests.trust.training import at_event, command, in_a_child, least_recipe, run

STAGE = {"steps": 2, "save_steps": 1, "micro_batch": 1, "learning_rate": 1e-3, "mix": {"counts": 1}}
NUM_EVENTS = 800  # about as many as the whole run makes


def stages_recipe(**options: object) -> Recipe:
    """One stage, a new language model behind it, one more, the mean of two of them, and one from there."""
    told = json.loads(json.dumps(least_recipe().model_dump(mode="json")))
    names = ({"name": "first"}, {"name": "anew", "takes": "vision"}, {"name": "more"})
    trained = [STAGE | name for name in names]
    last = {**STAGE, "name": "last"}
    mean = {"name": "mean", "mean": ["anew", "more"]}
    return Recipe.model_validate({**told, **options, "stages": [*trained, mean, last]})


def weights(output: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(output / stage / "final" / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    in_a_child(lambda: run(stages_recipe(), output)).join()
    return output


def test_a_mean_is_that_of_its_stages_and_is_gone_on_from(undisturbed: Path) -> None:
    one, other, mean = (weights(undisturbed, name) for name in ("anew", "more", "mean"))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    for name, tensor in mean.items():
        assert torch.allclose(tensor, (one[name].double() + other[name].double()).float() / 2, atol=1e-7)
    learner = open_learner(stages_recipe(), stages_recipe().stages[-1], undisturbed / "mean" / "final")
    stored = learner.network.state_dict()
    assert all(torch.equal(stored[name], tensor) for name, tensor in mean.items() if name in stored)
    assert transformers.AutoTokenizer.from_pretrained(undisturbed / "mean" / "final")


def test_the_tower_is_taken_and_the_language_model_is_new(undisturbed: Path) -> None:
    recipe = stages_recipe()
    before = undisturbed / "first" / "final"
    first = open_learner(recipe, recipe.stages[0], before).network
    anew = open_learner(recipe, recipe.stages[1], before).network
    begun = open_learner(recipe, recipe.stages[1], before, is_begun=True).network
    new = open_learner(recipe, recipe.stages[0], None).network
    for name, tensor in anew.state_dict().items():
        assert torch.equal(tensor, (first if ".visual." in name else new).state_dict()[name]), name
    assert all(torch.equal(tensor, first.state_dict()[name]) for name, tensor in begun.state_dict().items())


def killed_at(start: Callable[[], None], output: Path, number: int) -> None:
    at_event(number, output, functools.partial(os.kill, os.getpid(), signal.SIGKILL))
    start()


def test_killed_anywhere_and_resumed_it_is_the_undisturbed_run(undisturbed: Path, tmp_path: Path) -> None:
    """What is done is not done again, and the weights are the same to the bit."""
    names = [stage.name for stage in stages_recipe().stages]
    num_killed = 0
    for case in range(2):
        dice = random.Random(f"stages {case}")
        output = tmp_path / f"run{case}"
        start = command(stages_recipe(), output)
        written: dict[str, int] = {}
        for _ in range(4):
            number = dice.randint(1, NUM_EVENTS // 3)

            child = in_a_child(functools.partial(killed_at, start, output, number))
            child.join()
            num_killed += child.exitcode == -signal.SIGKILL
            done = {name: output / name / "final" / "model.safetensors" for name in names}
            now = {name: path.stat().st_mtime_ns for name, path in done.items() if path.exists()}
            assert written.items() <= now.items()
            written = now
        in_a_child(functools.partial(run, stages_recipe(), output)).join()
        for name in names:
            found, whole = weights(output, name), weights(undisturbed, name)
            assert found.keys() == whole.keys()
            assert all(torch.equal(found[key], whole[key]) for key in whole), (case, name)
    assert num_killed >= 4


def test_the_last_mean_has_the_number_format_of_the_recipe_and_is_taken_once(
    undisturbed: Path, tmp_path: Path
) -> None:
    shipped = stages_recipe(save_dtype="bfloat16")
    shipped = shipped.model_copy(update={"stages": shipped.stages[:-1]})
    output = tmp_path / "run"
    shutil.copytree(undisturbed, output)
    shutil.rmtree(output / "mean")
    said: list[str] = []
    (*_, result) = train(shipped, output, tell=said.append)
    assert said[-1] == "mean: the mean of anew, more"
    assert {tensor.dtype for tensor in weights(output, "mean").values()} == {torch.bfloat16}
    config = json.loads((output / "mean" / "final" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert (result.name, result.steps, result.loss) == ("mean", 0, None)
    said.clear()
    assert train(shipped, output, tell=said.append)[-1] == result
    assert any(line.startswith("mean: done already") for line in said)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mean": ["anew"]}, "two stages or more"),
        ({"mean": ["anew", "anew"]}, "two stages or more"),
        ({"mean": ["anew", "last"]}, "there is no stage last before it"),
        ({"mean": ["anew", "more"], "steps": 3}, "leave steps"),
        ({"mean": ["anew", "more"], "takes": "vision"}, "takes is for"),
    ],
)
def test_what_is_no_mean_is_told(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(stages_recipe()))
    content = json.dumps({"name": "mean", **change})
    with pytest.raises(UsageError, match=told):
        load_recipe(path, [f"stages.3={content}"])


def test_a_checkpoint_has_no_such_stages(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(stages_recipe()))
    chunks = [
        setting
        for k in (0, 1, 2, 4)
        for setting in (f"stages.{k}.mix={{}}", f"stages.{k}.chunks=[{{path: x}}]")
    ]
    with pytest.raises(UsageError, match="mean and takes are for new models"):
        load_recipe(path, ["model={base: some/model}", *chunks])


def test_a_dry_run_tells_what_was_measured_and_what_was_not(tmp_path: Path) -> None:
    recipe = stages_recipe()
    stages = [
        stage.model_copy(update={"step_seconds": 1800.0}) if stage.name in ("first", "anew") else stage
        for stage in recipe.stages
    ]
    found = plan(recipe.model_copy(update={"stages": tuple(stages)}), tmp_path / "run")
    assert [stage.seconds for stage in found.stages] == [3600.0, 3600.0, None, 0.0, None]
    lines = list(plan_lines(found))
    assert "stage first: 2 steps of 1 samples; time about 1 h 00 min" in lines
    assert "stage more: 2 steps of 1 samples; time not known" in lines
    assert "stage mean: the mean of anew, more" in lines
    assert "time: about 2 h 00 min without more, last" in lines


def test_the_arenas_recipe_fits_into_four_hours() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "arena.yaml")
    assert all(stage.step_seconds or stage.mean for stage in recipe.stages)
    assert sum((stage.step_seconds or 0) * (stage.steps or 0) for stage in recipe.stages) < 4 * 3600
    assert recipe.stages[-1].mean


def test_a_start_of_fewer_words_keeps_them_and_gets_the_others(tmp_path: Path) -> None:
    """The weights of a model from before there were questions, under the tokenizer of today."""
    recipe = least_recipe().model_copy(update={"model": MODEL})
    whole = open_learner(recipe, recipe.stages[0], None)
    older, kept = tmp_path / "older", 40
    whole.network.save_pretrained(older)
    vocabulary = whole.tokenizer.get_vocab()
    order = sorted(vocabulary, key=vocabulary.__getitem__)
    dice = random.Random(2)
    pieces = [*order[:30], *dice.sample(order[30:], kept)]
    _save_vocabulary(older, whole.tokenizer, pieces)
    stored = load_file(older / "model.safetensors")
    table = next(name for name in stored if "embed_tokens" in name)
    stored[table] = torch.randn(len(pieces), MODEL.hidden)
    save_file(stored, older / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((older / "config.json").read_text())
    config["text_config"]["vocab_size"] = len(pieces)
    (older / "config.json").write_text(json.dumps(config))
    started = recipe.model_copy(update={"model": MODEL.model_copy(update={"start": older})})
    assert plan(started, tmp_path / "out").problems == ()
    grown = open_learner(started, recipe.stages[0], None).network
    rows = grown.get_input_embeddings().weight
    for number, piece in enumerate(pieces):
        assert torch.equal(rows[vocabulary[piece]], stored[table][number])
    fresh = whole.network.get_input_embeddings().weight
    others = [vocabulary[piece] for piece in order if piece not in pieces]
    assert torch.equal(rows[others], fresh[others])
    _save_vocabulary(older, whole.tokenizer, [*pieces[:-1], " unheard"])
    with pytest.raises(ModelError, match="words that the arena does not: ' unheard'"):
        open_learner(started, recipe.stages[0], None)
    (problem,) = plan(started, tmp_path / "out").problems
    assert problem.endswith("knows words that the arena does not: ' unheard'")
    config["text_config"]["vocab_size"] = len(order) + 1
    (older / "config.json").write_text(json.dumps(config))
    (problem,) = plan(started, tmp_path / "out").problems
    assert f"another shape: vocab_size {len(order) + 1}, not {len(order)}" in problem


def _save_vocabulary(folder: Path, tokenizer, pieces: list[str]) -> None:
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer.json"
    told = json.loads(path.read_text())
    told["model"]["vocab"] = {piece: number for number, piece in enumerate(pieces)}
    numbers = {piece: number for number, piece in enumerate(pieces)}
    told["added_tokens"] = [
        each | {"id": numbers[each["content"]]} for each in told["added_tokens"] if each["content"] in numbers
    ]
    path.write_text(json.dumps(told))
