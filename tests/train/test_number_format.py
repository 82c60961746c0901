"""What a run computes in: bfloat16 where torch has fast products of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.device import multiplies_bfloat16
from svlm_cli.recipe import load_recipe
from svlm_cli.sections import Checkpoint, Data, Recipe, Stage
from svlm_cli.train import number_format
from svlm_cli.train.number_format import begun_in, in_one_format
from svlm_cli.train.optimizer import Float32Muon, orthogonal
from svlm_cli.train.plan import plan
from svlm_cli.train.trainer import train
from tests.train.small import recipe

STAGE = Stage(name="words", steps=1, micro_batch=1, mix={"counts": 1})


@pytest.fixture(params=[True, False])
def is_fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(number_format, "multiplies_bfloat16", lambda: request.param)
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
    assert torch.backends.mkldnn.is_available()
    assert multiplies_bfloat16() == bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def test_instructions_that_torch_does_not_use_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a Mac, where torch is built without oneDNN."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True})
    for has_library in (True, False):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda has=has_library: has)
        assert multiplies_bfloat16() is has_library


@pytest.mark.parametrize("wanted", ["auto", True, False])
def test_what_is_chosen_is_told(is_fast: bool, wanted: bool | str) -> None:
    chosen, told = in_one_format(wanting(wanted))
    assert chosen.bfloat16 is (is_fast if wanted == "auto" else wanted)
    begins = {
        "auto": ["bfloat16: auto is float32"],
        True: ["computing in bfloat16 is slow"],
        False: [],
    }
    assert [line.partition(" on ")[0] for line in told] == ([] if is_fast else begins[wanted])
    assert plan(wanting(wanted), Path("run")).warnings == told


def test_weights_that_are_held_in_bfloat16_are_computed_with_in_it(is_fast: bool) -> None:
    held = Checkpoint(base="somewhere", weights="bfloat16")
    chosen, told = in_one_format(wanting("auto").model_copy(update={"model": held}))
    assert chosen.bfloat16 is True
    assert ["model.weights: float32" in line for line in told] == ([] if is_fast else [True])


@pytest.mark.parametrize("wanted", ["auto", True, False])
@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
@pytest.mark.parametrize("begun", [None, True])
def test_what_would_be_faster_is_told_where_it_can_still_be_chosen(
    wanted: bool | str, weights: str, begun: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_format, "multiplies_bfloat16", lambda: False)
    held = Checkpoint(base="somewhere", weights=weights)
    chosen, told = in_one_format(wanting(wanted).model_copy(update={"model": held}), begun)
    slow = [line for line in told if line.startswith("computing in bfloat16 is slow")]
    assert bool(slow) == (weights == "bfloat16" or chosen.bfloat16 is True)
    for key, helps in (("bfloat16: auto", wanted is True), ("model.weights: float32", weights == "bfloat16")):
        assert any(key in line for line in slow) == (helps and begun is None)


class StoppedError(Exception):
    """By whoever reads the log."""


def stop(line: str) -> None:
    if "step 1/" in line:
        raise StoppedError


def test_a_named_checkpoint_says_what_its_run_was_begun_in(
    is_fast: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = STAGE.model_copy(update={"steps": 2, "save_steps": 1})
    longer = wanting("auto").model_copy(update={"stages": (stage,)})
    train(longer, tmp_path / "here", tell=lambda _line: None)
    monkeypatch.setattr(number_format, "multiplies_bfloat16", lambda: not is_fast)
    elsewhere, told = tmp_path / "there", []
    train(longer, elsewhere, start=tmp_path / "here" / "words" / "checkpoint-1", tell=told.append)
    assert load_recipe(elsewhere / "recipe.yaml").bfloat16 is is_fast
    assert f"bfloat16: auto is {str(is_fast).lower()}, as this run was begun with it" in told


def test_a_run_goes_on_in_the_format_it_was_begun_in(
    is_fast: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a machine of the other kind too; what is begun afresh is decided afresh."""
    train(wanting("auto"), tmp_path, tell=lambda _line: None)
    monkeypatch.setattr(number_format, "multiplies_bfloat16", lambda: not is_fast)
    told: list[str] = []
    more = wanting("auto").model_copy(update={"stages": (STAGE, STAGE.model_copy(update={"name": "more"}))})
    train(more, tmp_path, tell=told.append)
    assert load_recipe(tmp_path / "recipe.yaml").bfloat16 is is_fast
    assert f"bfloat16: auto is {str(is_fast).lower()}, as this run was begun with it" in told
    assert any(line.startswith("words: done already") for line in told)
    with pytest.raises(UsageError, match="bfloat16"):
        train(wanting(not is_fast), tmp_path, tell=told.append)
    assert begun_in(more, tmp_path) is is_fast
    with pytest.raises(StoppedError):  # the first stage has left nothing; what the second has left is older
        train(more, tmp_path, resume=False, tell=stop)
    assert begun_in(more, tmp_path) is None
    train(wanting("auto"), tmp_path, resume=False, tell=told.append)
    assert load_recipe(tmp_path / "recipe.yaml").bfloat16 is not is_fast


SHAPES = [(24, 64), (64, 24), (40, 40), (1, 16)]


@pytest.mark.parametrize("seed", range(4))
def test_muon_in_float32_steps_as_torchs_does(seed: int) -> None:
    """Torch's orthogonalises in bfloat16: a hundredth of an update lies between them."""
    dice = torch.Generator().manual_seed(seed)
    start = [torch.randn(shape, generator=dice) for shape in SHAPES]
    kept: dict[type, list[torch.Tensor]] = {}
    steps = [[torch.randn(shape, generator=dice) for shape in SHAPES] for _ in range(5)]
    for kind in (torch.optim.Muon, Float32Muon):
        weights = [torch.nn.Parameter(each.clone()) for each in start]
        stepped = kind(weights, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        for gradients in steps:
            for weight, gradient in zip(weights[:-1], gradients, strict=False):
                weight.grad = gradient
            stepped.step()
            again = kind(weights, lr=1.0, adjust_lr_fn="match_rms_adamw")
            again.load_state_dict(stepped.state_dict())  # as a run that goes on
            stepped = again
        kept[kind] = [weight.detach() for weight in weights]
    for begun, one, other in zip(start, *kept.values(), strict=True):
        assert (one - other).norm() <= 0.02 * (one - begun).norm()
    assert torch.equal(kept[Float32Muon][-1], start[-1]), "it had no gradient"


@pytest.mark.parametrize("shape", SHAPES)
def test_what_muon_makes_of_a_matrix_has_its_directions_and_no_lengths(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    (group,) = Float32Muon([torch.nn.Parameter(matrix)]).param_groups
    found = orthogonal(matrix, group)
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ found @ right.T
    is_large = sizes > 0.02 * sizes.norm()
    assert torch.allclose(inside, torch.diag(inside.diagonal()), atol=1e-4)
    assert ((inside.diagonal() > 0.6) & (inside.diagonal() < 1.3))[is_large].all()


@pytest.mark.parametrize("in_bfloat16", [True, False])
def test_muon_computes_in_what_the_run_does(in_bfloat16: bool, monkeypatch, tmp_path: Path) -> None:
    kinds: list[type] = []
    for kind in (torch.optim.Muon, Float32Muon):
        monkeypatch.setattr(kind, "step", lambda self, _closure=None: kinds.append(type(self)))
    stage = STAGE.model_copy(update={"optimizer": "muon"})
    train(wanting(in_bfloat16).model_copy(update={"stages": (stage,)}), tmp_path, tell=lambda _line: None)
    assert kinds == [torch.optim.Muon if in_bfloat16 else Float32Muon]


def test_another_word_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("bfloat16: maybe\nstages: [{name: x, steps: 1, micro_batch: 1, mix: {told: 1}}]")
    with pytest.raises(UsageError, match=r"bfloat16: input should be 'auto', True or False$"):
        load_recipe(path)
