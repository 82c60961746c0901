from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from svlm_cli import load_model
from svlm_cli.data.samples.sample import IGNORED
from svlm_cli.errors import UsageError
from svlm_cli.recipe import load_recipe
from svlm_cli.sections import Data, Stage
from svlm_cli.train.learner import new_tokenizer
from svlm_cli.train.loss import token_loss
from svlm_cli.train.optimizer import new_optimizer
from svlm_cli.train.trainer import train
from tests.train.small import batch_of, dataset, network, recipe
from tests.trust.training import as_two_processes


def test_loss_is_that_of_an_independent_forward(windows: Path) -> None:
    """Hugging Face's own forward and a plain loop over the labelled tokens."""
    model = network(new_tokenizer())
    samples = [dataset(windows, "told")[number] for number in range(2)]
    batch, labels = batch_of(samples)
    with torch.no_grad():
        ours = token_loss(model(**batch), labels)
        total, count = 0.0, 0
        for sample in samples:
            positions = torch.from_numpy(sample.position_ids)[:, None]
            logits = model(input_ids=torch.from_numpy(sample.input_ids)[None], position_ids=positions).logits[
                0
            ]
            for place, label in enumerate(sample.labels.tolist()):
                if label != IGNORED:
                    total -= float(torch.log_softmax(logits[place - 1], -1)[label])
                    count += 1
    assert float(ours) == pytest.approx(total / count, rel=1e-5)


def test_micro_batches_sum_to_one_batch(windows: Path) -> None:
    model = network(new_tokenizer())
    samples = [dataset(windows, "told")[number] for number in range(4)]

    def loss(part, count=None):
        batch, labels = batch_of(part)
        return float(token_loss(model(**batch), labels, count))

    count = torch.tensor(sum(int((sample.labels != IGNORED).sum()) for sample in samples))
    with torch.no_grad():
        halves = loss(samples[:2], count) + loss(samples[2:], count)
        assert halves == pytest.approx(loss(samples), rel=1e-5)


def test_z_loss_leaves_the_softmax_free() -> None:
    """A shift of all logits changes the penalty alone: the square of the denominator's logarithm."""
    logits, labels = torch.randn(1, 5, 7), torch.tensor([[IGNORED, 3, IGNORED, 6, 0]])

    def loss(shift: float, z_loss: float) -> float:
        rows = (logits + shift)[:, :-1][labels[:, 1:] != IGNORED]
        return float(token_loss(SimpleNamespace(logits=rows), labels, z_loss=z_loss))

    assert loss(4.0, 0.0) == pytest.approx(loss(0.0, 0.0), rel=1e-5)
    squares = [float(torch.logsumexp(logits[0, place], 0)) ** 2 for place in (0, 2, 3)]
    assert loss(0.0, 0.1) - loss(0.0, 0.0) == pytest.approx(0.1 * sum(squares) / 3, rel=1e-4)


def test_both_optimizers_move_their_weights_and_resume() -> None:
    model = network(new_tokenizer())
    optimizer = new_optimizer(model, "muon", 1e-2, 0.0, in_bfloat16=False)
    assert {id(w) for group in optimizer.param_groups for w in group["params"]} == {
        id(w) for w in model.parameters()
    }
    before = [weight.detach().clone() for weight in model.parameters()]
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    again = new_optimizer(model, "muon", 1.0, 0.0, in_bfloat16=False)
    again.load_state_dict(optimizer.state_dict())
    assert max(group["lr"] for group in again.param_groups) == 1e-2


def test_a_recipe_runs_and_what_it_writes_streams(tmp_path: Path, windows: Path) -> None:
    common = {"micro_batch": 2, "optimizer": "muon", "learning_rate": 1e-3}
    stages = (
        Stage(name="words", steps=2, mix={"symbols": 1}, **common),
        Stage(name="stream", steps=1, freeze_vision=False, mix={"chunks": 1}, **common),
    )
    data = Data(windows=windows, num_windows=4, num_plays=2)
    final = Path(train(recipe(*stages).model_copy(update={"data": data}), tmp_path)[-1].model)
    model = load_model(str(final), device="cpu")
    assert (model.patches.min_pixels, model.patches.max_pixels) == (168 * 112, 168 * 112)
    assert model.patches.aspect_ratio == (3, 2)
    assert model.patches.merge_size == 4
    assert load_recipe(tmp_path / "recipe.yaml").stages[1].name == "stream"


def test_a_recipe_goes_on_from_a_model(tmp_path: Path, windows: Path) -> None:
    stage = Stage(name="words", steps=1, micro_batch=1, learning_rate=1e-9, mix={"counts": 1})
    data = Data(windows=windows, num_windows=4, num_plays=2)
    first = Path(train(recipe(stage).model_copy(update={"data": data}), tmp_path / "first")[0].model)
    config = json.loads((first / "config.json").read_text())
    (first / "config.json").write_text(json.dumps({**config, "svlm": {}}))
    model = recipe(stage).model.model_copy(update={"start": first})
    changed = recipe(stage).model_copy(update={"data": data, "model": model, "seed": 5})
    again = Path(train(changed, tmp_path / "b")[0].model)
    before, after = (load_file(folder / "model.safetensors") for folder in (first, again))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert json.loads((again / "config.json").read_text())["svlm"] == config["svlm"]


def test_start_and_vision_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "model: {start: a, vision: b}\nstages: [{name: x, steps: 1, micro_batch: 1, mix: {told: 1}}]"
    )
    with pytest.raises(UsageError, match="vision or start"):
        load_recipe(path)


def test_two_processes_train_and_write_one_model(tmp_path: Path, windows: Path) -> None:
    stage = Stage(name="words", steps=2, micro_batch=2, mix={"symbols": 1})
    data = Data(windows=windows, num_windows=4, num_plays=2)
    two = recipe(stage).model_copy(update={"data": data})
    assert as_two_processes(lambda: train(two, tmp_path / "run")) == [0, 0]
    assert load_model(str(tmp_path / "run" / "words" / "final"), device="cpu").is_bundled is False
    assert not (tmp_path / "run" / "words" / "final.partial").exists()
