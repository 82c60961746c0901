"""Norms of every instruction set of this processor against torch in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svlm_cli.model.kernels.native import native
from svlm_cli.model.kernels.norms import compiled_norm

KERNELS = native()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="not built: python setup.py build_ext --inplace")
SETS = [] if KERNELS is None else list(KERNELS.sets)
DTYPES = [torch.float32, torch.bfloat16]
SIZES = [1, 3, 16, 63, 64, 129, 700]


def within(found: torch.Tensor, wanted: torch.Tensor, roundings: int) -> bool:
    """Of so many roundings to its format, and a little more in float32."""
    step = 2.0**-8 if found.dtype is torch.bfloat16 else 2.0**-21
    return bool(((found.double() - wanted).abs() <= roundings * step * wanted.abs() + 1e-37).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_norms(size, chosen, dtype):
    torch.manual_seed(size)
    rows = (torch.randn(5, size) * torch.tensor([1e-4, 1, 5, 30, 1e4])[:, None]).to(dtype)
    weight, exact = torch.randn(size).to(dtype), rows.double()
    wanted = exact / (exact.square().mean(1, keepdim=True) + 1e-6).sqrt() * weight.double()
    assert within(compiled_norm(replace(KERNELS, chosen=chosen), rows, weight, 1e-6), wanted, 2)


@pytest.mark.parametrize("chosen", SETS)
def test_several_threads_and_what_is_no_number(chosen):
    kernels, before = replace(KERNELS, chosen=chosen), torch.get_num_threads()
    rows, weight = torch.randn(900, 2000), torch.randn(2000)
    rows[17, 3] = float("nan")
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(compiled_norm(kernels, rows, weight, 1e-6))
    finally:
        torch.set_num_threads(before)
    one, many = (each.nan_to_num(7) for each in found)
    assert torch.equal(one, many)
    assert found[0].isnan().any(1).nonzero().tolist() == [[17]]
