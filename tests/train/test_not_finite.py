"""Training that has come to NaN ends there, tells it, and goes on from the checkpoint before."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from svlm_cli.errors import ModelError
from svlm_cli.sections import Data, Stage
from svlm_cli.train import stage_trainer
from svlm_cli.train.loss import token_loss
from svlm_cli.train.trainer import train
from tests.train.small import recipe

STAGE = Stage(name="words", steps=3, micro_batch=1, save_steps=1, mix={"counts": 1})


def run(output: Path, stage: Stage = STAGE, lines: list[str] | None = None) -> dict[str, torch.Tensor]:
    data = Data(windows=Path("w"), num_windows=4, num_plays=2)
    tell = print if lines is None else lines.append
    result = train(recipe(stage).model_copy(update={"data": data}), output, tell=tell)[-1]
    return load_file(Path(result.model) / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return run(tmp_path_factory.mktemp("whole"))


class BrokenOnce:
    """The loss, but for one number in the third step: in the loss itself, or on the way back alone."""

    def __init__(self, *, only_backwards: bool) -> None:
        self._only_backwards = only_backwards
        self._num_calls = 0

    def __call__(self, *args, **options) -> torch.Tensor:
        loss = token_loss(*args, **options)
        self._num_calls += 1
        if self._num_calls != 3:
            return loss
        if self._only_backwards:
            loss.register_hook(lambda grad: grad * math.inf)
            return loss
        return loss * math.nan


@pytest.mark.parametrize("only_backwards", [False, True])
def test_it_ends_before_a_weight_is_lost_and_goes_on_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch, undisturbed, only_backwards
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(stage_trainer, "token_loss", BrokenOnce(only_backwards=only_backwards))
        with pytest.raises(ModelError, match="words: the gradients are not finite at step 3"):
            run(tmp_path / "broken")
    folder = tmp_path / "broken" / "words"
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert not (folder / "final").exists()
    lines: list[str] = []
    resumed = run(tmp_path / "broken", lines=lines)
    assert f"words: going on from {folder / 'checkpoint-2'}" in lines
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


def test_a_learning_rate_that_is_much_too_high_does_not_train_on(tmp_path: Path) -> None:
    """Whatever overflows first: gradients or the loss."""
    with pytest.raises(ModelError, match="not finite at step") as caught:
        run(tmp_path, STAGE.model_copy(update={"steps": 8, "learning_rate": 1e30, "save_steps": 100}))
    assert "lower learning_rate" in caught.value.hint
    assert not (tmp_path / "words" / "final").exists()
