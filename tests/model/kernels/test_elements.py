"""Gates and turned heads of every instruction set of this processor against torch in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svlm_cli.model.kernels.elements import compiled_gate, compiled_turn
from svlm_cli.model.kernels.native import native

KERNELS = native()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="not built: python setup.py build_ext --inplace")
SETS = [] if KERNELS is None else list(KERNELS.sets)
DTYPES = [torch.float32, torch.bfloat16]
SIZES = [1, 3, 16, 40, 63, 64, 129]


def allowed(dtype: torch.dtype) -> float:
    """What a number may lose by each rounding, as a part of it."""
    return 2.0**-8 if dtype is torch.bfloat16 else 2.0**-20


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_gates(size, chosen, dtype):
    torch.manual_seed(size)
    spread = torch.tensor([1e-3, 1, 5, 30, 300])[:, None]
    rows = (torch.randn(5, 2 * size) * spread).to(dtype)
    exact = rows.double()
    gate, up = exact.chunk(2, 1)
    wanted = gate * torch.sigmoid(gate) * up
    found = compiled_gate(replace(KERNELS, chosen=chosen), rows)
    assert found.dtype is dtype
    # The power's argument is rounded, so its error grows with the gate; one of less than exp(-80) is nothing.
    lost = 2 * allowed(dtype) + 2.0**-23 * gate.abs()
    assert ((found.double() - wanted).abs() <= lost * wanted.abs() + 1e-30).all()


@pytest.mark.parametrize("angle_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("half", SIZES)
def test_turned_heads(half, chosen, dtype, angle_dtype):
    torch.manual_seed(half)
    beside = torch.randn(7, 5, 2 * half).to(dtype)  # the last two are not turned, and stay between the rows
    heads, angles = beside[:, :3], torch.rand(7, 1, half) * 40
    cos, sin = angles.cos().to(angle_dtype), angles.sin().to(angle_dtype)
    left, right = heads.double().chunk(2, 2)
    one, other = cos.double(), sin.double()
    wanted = torch.cat([left * one - right * other, right * one + left * other], 2)
    lost = (left * one).abs() + (right * other).abs(), (right * one).abs() + (left * other).abs()
    most = torch.cat(lost, 2) * (allowed(angle_dtype) + allowed(dtype))
    found = compiled_turn(replace(KERNELS, chosen=chosen), heads, cos, sin)
    assert found.dtype is dtype
    assert ((found.double() - wanted).abs() <= most + 1e-37).all()


@pytest.mark.parametrize("chosen", SETS)
def test_several_threads_and_what_is_no_number(chosen):
    kernels, before = replace(KERNELS, chosen=chosen), torch.get_num_threads()
    rows, heads, angles = torch.randn(700, 1600), torch.randn(700, 8, 200), torch.rand(700, 1, 100)
    rows[17, 3] = rows[18, 803] = heads[19, 2, 5] = float("nan")
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(
                (compiled_gate(kernels, rows), compiled_turn(kernels, heads, angles.cos(), angles.sin()))
            )
    finally:
        torch.set_num_threads(before)
    for one, many in zip(*found, strict=True):
        assert torch.equal(one.nan_to_num(7), many.nan_to_num(7))
    gates, turned = found[0]
    assert gates.isnan().nonzero().tolist() == [[17, 3], [18, 3]]
    assert turned.isnan().nonzero().tolist() == [[19, 2, 5], [19, 2, 105]]
