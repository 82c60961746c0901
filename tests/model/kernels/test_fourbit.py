"""Linear layers in four bits against the numbers they keep, multiplied out in float64."""

from __future__ import annotations

import functools
import random

import pytest
import torch

from svlm_cli import UsageError, load_model
from svlm_cli.model.device import check_quantize
from svlm_cli.model.kernels import fourbit
from svlm_cli.model.kernels.fourbit import Int4Linear, to_nibbles
from svlm_cli.model.kernels.nibbles import empty_nibbles
from svlm_cli.model.kernels.rows import byte_kernels
from svlm_cli.model.linear import Int8Linear


def exact(layer: Int4Linear, inputs: torch.Tensor) -> torch.Tensor:
    """In float64, of inputs rounded to bytes group by group."""
    numbers, scales = (each.double() for each in layer.stored())
    weight = numbers * scales.repeat_interleave(32, dim=1)[:, : layer.in_features]
    rows = inputs.reshape(-1, layer.in_features).float()
    whole = torch.zeros(rows.shape, dtype=torch.float64)
    for start in range(0, layer.in_features, 32):
        part = rows[:, start : start + 32]
        step = part.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
        whole[:, start : start + 32] = (part / step).round().double() * step.double()
    found = whole @ weight.t()
    return found if layer.bias is None else found + layer.bias


def use_set(monkeypatch, chosen: int) -> None:
    """Products by the kernels of this number, 0 for none."""
    if not chosen:
        monkeypatch.setattr(fourbit, "byte_kernels", lambda: None)
    elif (kernels := byte_kernels()) is None or kernels.functions.svlm_byte_set() < chosen:
        pytest.skip("another processor's")
    else:
        whole = functools.partial(empty_nibbles, byte_set=chosen)
        monkeypatch.setattr(fourbit, "empty_nibbles", whole)


sets = pytest.mark.parametrize("chosen", [0, 1, 2], ids=["none", "avx2", "vnni"])


@sets
@pytest.mark.parametrize("seed", range(16))
def test_any_shape_is_the_exact_product_of_what_is_kept(seed, chosen, monkeypatch):
    dice = random.Random(seed)
    torch.manual_seed(seed)
    use_set(monkeypatch, chosen)
    outputs, size = dice.choice([1, 15, 16, 17, 90]), dice.choice([1, 8, 31, 32, 33, 100, 256])
    layer = Int4Linear(torch.randn(outputs, size), torch.randn(outputs) if seed % 2 else None)
    dtype = dice.choice([torch.float32, torch.bfloat16])
    inputs = torch.randn(dice.choice([1, 2, 3, 5, 11, 40]), size) * 10.0 ** dice.randint(-4, 4)
    found, wanted = layer(inputs.to(dtype)), exact(layer, inputs.to(dtype))
    assert found.dtype is dtype
    size = wanted.abs().max() + 1e-9
    assert ((found.double() - wanted).abs().max() / size).item() < (1e-5 if dtype is torch.float32 else 8e-3)


def test_what_is_kept_is_near_and_comes_back():
    torch.manual_seed(0)
    weight = torch.randn(70, 150) * torch.logspace(-3, 3, 70)[:, None]
    layer = Int4Linear(weight, None)
    error = (layer.dense() - weight).norm(dim=1) / weight.norm(dim=1)
    assert error.max() < 0.12
    numbers, scales = to_nibbles(weight)
    kept = layer.stored()
    assert torch.equal(kept[0], numbers)
    assert torch.equal(kept[1], scales)
    again = Int4Linear(layer.dense(), None)
    assert (again.dense() - layer.dense()).norm() < 0.03 * layer.dense().norm()


def test_rows_of_zeros_and_numbers_out_of_reach():
    layer = Int4Linear(torch.zeros(20, 40), torch.arange(20.0))
    assert torch.equal(layer(torch.randn(3, 40)), torch.arange(20.0).expand(3, -1))
    assert Int4Linear(torch.full((16, 32), 1e9), None).dense().isfinite().all()


@sets
@pytest.mark.parametrize("rows", [1, 9])
def test_the_largest_numbers_of_all_fill_no_sixteen_bits(rows, chosen, monkeypatch):
    """A group of -8 times 127 and of 7 times -127."""
    use_set(monkeypatch, chosen)
    weight = torch.full((20, 64), 8.0)
    weight[1::2] = 7.0
    weight[:, 0], weight[:, 33] = -8.0, 8.0
    layer, inputs = Int4Linear(weight, None), torch.full((rows, 64), 2.0)
    inputs[rows // 2] = -2.0
    torch.testing.assert_close(layer(inputs).double(), exact(layer, inputs), rtol=1e-6, atol=0)


@sets
@pytest.mark.parametrize("rows", [1, 9])
def test_a_number_that_is_none_shows_in_its_row_alone(rows, chosen, monkeypatch):
    torch.manual_seed(rows)
    use_set(monkeypatch, chosen)
    layer, inputs = Int4Linear(torch.randn(40, 96), torch.randn(40)), torch.randn(rows, 96)
    inputs[rows // 2, 17] = float("nan")
    assert layer(inputs).isfinite().all(dim=1).tolist() == [row != rows // 2 for row in range(rows)]


def test_two_numbers_to_a_byte_are_what_is_saved():
    torch.manual_seed(2)
    layer = Int4Linear(torch.randn(24, 33), None)
    state, (numbers, scales) = layer.state_dict(), layer.stored()
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()} == {
        "scales": (torch.float16, (24, 2)),
        "weight": (torch.uint8, (24, 17)),
    }
    both = torch.stack([state["weight"] & 15, state["weight"] >> 4], dim=-1).flatten(1).to(torch.int8) - 8
    assert torch.equal(both[:, :33], numbers)
    assert torch.equal(state["scales"], scales)


@pytest.mark.parametrize("packed", [True, False])
def test_opening_in_four_bits(checkpoint, model, packed):
    small = load_model(str(checkpoint), device="cpu", quantize="int4", packed=packed)
    assert small.quantize == "int4"
    assert small.fingerprint() != model.fingerprint()
    assert type(small.network.lm_head) is Int4Linear
    tower = small.network.model.visual
    block = tower.blocks[0].products[0].linear if packed else tower.blocks[0].attn.qkv
    assert type(block) is Int8Linear, "the tower stays in bytes"


def test_a_gpu_has_none():
    with pytest.raises(UsageError, match="--quantize int4 is for the CPU"):
        check_quantize("int4", torch.device("cuda"))
