"""Products with weights in panels: every instruction set of this processor against sums in float64."""

from __future__ import annotations

import random

import pytest
import torch

from svlm_cli.model.kernels.memory import HUGE, Slabs
from svlm_cli.model.kernels.native import native
from svlm_cli.model.kernels.panels import Panels, empty_panels, panel_kernels
from svlm_cli.model.linear import PanelLinear

KERNELS = native()
needs_them = pytest.mark.skipif(KERNELS is None, reason="not built: python setup.py build_ext --inplace")
SETS = [] if KERNELS is None else list(KERNELS.sets)
DTYPES = [torch.float32, torch.bfloat16]


def random_weight(seed: int, dtype: torch.dtype) -> tuple[random.Random, torch.Tensor]:
    dice = random.Random(seed)
    torch.manual_seed(seed + 1000)
    outputs, size = (
        dice.choice([1, 2, 15, 64, 67, 130, 200]),
        dice.choice([1, 2, 3, 31, 64, 191, 192, 193, 777]),
    )
    return dice, torch.randn(outputs, size, generator=torch.Generator().manual_seed(seed)).to(dtype)


def laid(weight: torch.Tensor, chosen: int, at_once: int = 1000) -> Panels:
    panels = empty_panels(KERNELS, tuple(weight.shape), weight.dtype, chosen)
    for start in range(0, len(weight), at_once):
        panels.lay(weight[start : start + at_once], start)
    return panels


@needs_them
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("seed", range(12))
def test_any_shape_is_the_exact_product(seed, chosen, dtype):
    """Sizes that fill no vector, no pair and no panel; from one row to more than are summed up at once."""
    dice, weight = random_weight(seed, dtype)
    rows = dice.choice([1, 1, 2, 5, 6, 7, 33, 530])
    inputs = torch.randn(rows, weight.shape[1]).to(dtype)
    bias = torch.randn(len(weight)) if seed % 2 else None
    found = laid(weight, chosen, dice.choice([1, 7, 1000])).product(inputs, bias)
    wanted = inputs.double() @ weight.double().t()
    wanted = wanted if bias is None else wanted + bias
    assert found.dtype is dtype
    sizes = inputs.double().abs() @ weight.double().abs().t() + 1
    limit = sizes * 2e-6 + (0 if dtype is torch.float32 else wanted.abs() * 2**-8)
    assert ((found.double() - wanted).abs() <= limit).all()


@needs_them
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chosen", SETS)
def test_a_row_is_the_same_alone_and_among_others(chosen, dtype):
    """What one stream says does not hang on who else is fed."""
    _, weight = random_weight(3, dtype)
    panels, inputs = laid(weight, chosen), torch.randn(600, weight.shape[1]).to(dtype)
    whole = panels.product(inputs, None)
    for first, last in ((0, 1), (5, 7), (100, 140), (599, 600)):
        assert torch.equal(panels.product(inputs[first:last].clone(), None), whole[first:last])


@needs_them
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("seed", range(4))
def test_weights_come_back_bit_for_bit(seed, chosen, dtype):
    """Fingerprints read them."""
    _, weight = random_weight(seed, dtype)
    assert torch.equal(laid(weight, chosen, 9).rows(), weight)


@needs_them
@pytest.mark.parametrize("rows", [1, 40])
def test_several_threads_share_the_outputs(rows):
    layer = laid(torch.randn(2500, 700), KERNELS.chosen)
    inputs, before = torch.randn(rows, 700), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(layer.product(inputs, None))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@needs_them
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_shows_in_its_row_alone(number):
    _, weight = random_weight(6, torch.bfloat16)
    for chosen in SETS:
        inputs = torch.randn(9, weight.shape[1]).to(torch.bfloat16)
        inputs[4, 0] = number
        found = laid(weight, chosen).product(inputs, None)
        assert found.isfinite().all(dim=1).tolist() == [row != 4 for row in range(9)]


@pytest.mark.parametrize("shape", [(70,), (3, 70), (1, 2, 70), (4, 3, 70)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_layer_is_torchs(shape, dtype):
    kernels = panel_kernels(dtype)
    if kernels is None:
        pytest.skip("torch's own are used here")
    torch.manual_seed(1)
    plain, inputs = torch.nn.Linear(70, 90).to(dtype), torch.randn(shape).to(dtype)
    ours = PanelLinear(plain.weight.detach(), plain.bias.detach(), kernels)
    turned = inputs.transpose(0, -2) if inputs.ndim > 2 else inputs
    with torch.inference_mode():
        torch.testing.assert_close(
            ours(turned), plain(turned), rtol=2e-2, atol=1e-2 if dtype is DTYPES[1] else 1e-6
        )
    state = ours.state_dict()
    assert torch.equal(state["weight"], plain.weight)
    assert torch.equal(state["bias"], plain.bias)


def test_slabs_give_zeros_that_nobody_else_has():
    slabs, taken = Slabs(), []
    for number, size in enumerate([1, 63, 64, 65, HUGE + 1, 70_000_000, 3], start=1):
        found = slabs.take(size)
        assert len(found) == size
        assert found.data_ptr() % 64 == 0
        assert not found.any()
        taken.append(found.fill_(number))
    assert all((found == number).all() for number, found in enumerate(taken, start=1))
