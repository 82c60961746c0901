"""What a run computes in: bfloat16 where the device multiplies it by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.device import multiplies_bfloat16
from svlm_cli.recipe import load_recipe
from svlm_cli.sections import Data, Recipe, Stage
from svlm_cli.train import arguments
from svlm_cli.train.plan import plan
from svlm_cli.train.trainer import train
from tests.train.small import recipe

STAGE = Stage(name="words", steps=1, micro_batch=1, mix={"counts": 1})


@pytest.fixture(params=[True, False])
def is_fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(arguments, "multiplies_bfloat16", lambda: request.param)
    return bool(request.param)


def wanting(bfloat16: bool | str) -> Recipe:
    data = Data(windows=Path("w"), num_windows=1, num_plays=1)
    return recipe(STAGE).model_copy(update={"data": data, "bfloat16": bfloat16})


@pytest.mark.skipif(
    sys.platform != "linux" or torch.cuda.is_available(), reason="asks Linux of its processor"
)
def test_what_the_processor_has() -> None:
    """Linux tells it too; ``bf16`` is Arm's word."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    assert multiplies_bfloat16() == bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@pytest.mark.parametrize("wanted", ["auto", True, False])
def test_what_is_chosen_is_told(is_fast: bool, wanted: bool | str) -> None:
    told: list[str] = []
    chosen = arguments.on_this_machine(wanting(wanted), told.append)
    assert chosen.bfloat16 is (is_fast if wanted == "auto" else wanted)
    assert [line.partition(",")[0] for line in told] == (
        [] if is_fast or not wanted else [f"computes in {'float32' if wanted == 'auto' else 'bfloat16'}"]
    )
    assert list(plan(wanting(wanted), Path("run")).warnings) == told


def test_a_run_goes_on_in_the_format_it_was_begun_in(
    is_fast: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train(wanting("auto"), tmp_path)
    assert load_recipe(tmp_path / "recipe.yaml").bfloat16 is is_fast
    monkeypatch.setattr(arguments, "multiplies_bfloat16", lambda: not is_fast)
    with pytest.raises(UsageError, match="bfloat16"):
        train(wanting("auto"), tmp_path)
    train(wanting(is_fast), tmp_path)
