"""Products with weights of bytes by the compiled kernels against whole numbers of torch."""

from __future__ import annotations

import functools

import pytest
import torch

from svlm_cli.model import linear
from svlm_cli.model.kernels.rows import (
    AVX2,
    MOST_ROWS,
    VNNI,
    byte_kernels,
    bytes_product,
    empty_byte_panels,
)
from svlm_cli.model.linear import Int8Linear

kernels = byte_kernels()
pytestmark = pytest.mark.skipif(kernels is None, reason="this processor has no products of bytes")


@pytest.fixture(params=[AVX2, VNNI], ids=["avx2", "vnni"])
def chosen(request, monkeypatch):
    """An instruction set that this processor has, taken for its best."""
    if kernels.functions.svlm_byte_set() < request.param:
        pytest.skip("another processor's")
    whole = functools.partial(empty_byte_panels, byte_set=request.param)
    monkeypatch.setattr(linear, "empty_byte_panels", whole)
    return request.param


@pytest.mark.parametrize("seed", range(24))
def test_the_numbers_of_whole_products(seed, chosen):
    """Any shape, sizes that fill no vector too; rows of very different size; few and many rows."""
    generator = torch.Generator().manual_seed(seed)
    pick = lambda least, most: int(torch.randint(least, most, (1,), generator=generator))  # noqa: E731
    rows, size, outputs = (
        pick(1, 2 * MOST_ROWS),
        pick(1, 300),
        8 * pick(1, 30) + (seed % 3 if seed % 2 else 0),
    )
    dtype = (torch.float32, torch.bfloat16)[seed % 2]
    inputs = (torch.randn(rows, size, generator=generator) * 10.0 ** pick(-5, 5)).to(dtype)
    inputs[0] = 0
    weight = torch.randint(-127, 128, (outputs, size), generator=generator, dtype=torch.int8)
    scales, bias = torch.rand(outputs, generator=generator), torch.randn(outputs, generator=generator)
    given = bias if seed % 3 else None
    sums = weight.sum(1, dtype=torch.int32)
    steps = inputs.float().abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
    whole = (inputs.float() / steps).round().double() @ weight.double().t()  # exact
    wanted = whole.float() * scales * steps + (0 if given is None else given)
    found = []
    if chosen == VNNI:
        found.append(bytes_product(kernels, inputs, weight, scales, sums, given))
    if (panels := empty_byte_panels(kernels, (outputs, size), chosen)) is not None:
        for start in range(0, outputs, 50):
            panels.lay(weight[start : start + 50], start)
        assert torch.equal(panels.rows(), weight)
        found.append(panels.product(inputs, scales, sums, given))
    if not found:
        pytest.skip("torch's products are faster here")
    for each in found:
        assert each.dtype is dtype
        torch.testing.assert_close(
            each, wanted.to(dtype), rtol=1e-6 if dtype is torch.float32 else 8e-3, atol=1e-6
        )


@pytest.mark.parametrize("rows", [1, 7])
def test_the_largest_bytes_of_all_fill_no_sixteen_bits(rows, chosen):
    """Two products of 127 and 127 are what has to fit, whatever their signs."""
    signs = torch.where(torch.rand(64, 40, generator=torch.Generator().manual_seed(rows)) < 0.5, -1.0, 1.0)
    inputs, weight = torch.full((rows, 64), 3.0), torch.full((40, 64), 127, dtype=torch.int8)
    inputs[rows // 2] = -3.0
    inputs, weight = inputs * signs[:, 0], weight * signs.t().to(torch.int8)
    if (panels := empty_byte_panels(kernels, (40, 64), chosen)) is None:
        pytest.skip("torch's products are faster here")
    panels.lay(weight, 0)
    found = panels.product(inputs, torch.ones(40), weight.sum(1, dtype=torch.int32), None)
    torch.testing.assert_close(found, inputs @ weight.float().t(), rtol=1e-6, atol=0)


def test_panels_deeper_than_what_is_multiplied_at_once(chosen):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 9001, generator=generator)
    weight = torch.randint(-127, 128, (80, 9001), generator=generator, dtype=torch.int8)
    scales, sums = torch.rand(80, generator=generator), weight.sum(1, dtype=torch.int32)
    if (panels := empty_byte_panels(kernels, (80, 9001), chosen)) is None:
        pytest.skip("torch's products are faster here")
    panels.lay(weight, 0)
    steps = inputs.abs().amax(1, keepdim=True) / 127
    whole = (inputs / steps).round().double() @ weight.double().t()
    torch.testing.assert_close(
        panels.product(inputs, scales, sums, None), whole.float() * scales * steps, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("rows", [1, 5, MOST_ROWS + 1])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_shows_in_its_row_alone(rows, number, chosen):
    torch.manual_seed(rows)
    layer, inputs = Int8Linear(torch.randn(40, 96), torch.randn(40)), torch.randn(rows, 96)
    inputs[rows // 2, 17] = number
    finite = layer(inputs).isfinite().all(dim=1)
    assert finite.tolist() == [row != rows // 2 for row in range(rows)]


def test_several_threads_share_the_outputs(chosen):
    torch.manual_seed(0)
    layer, inputs, before = (
        Int8Linear(torch.randn(4099, 512), None),
        torch.randn(3, 512),
        torch.get_num_threads(),
    )
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(layer(inputs))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_torch_alone_computes_the_same(chosen):
    torch.manual_seed(0)
    layer = Int8Linear(torch.randn(56, 200), torch.randn(56))
    inputs = [torch.randn(1, 200), torch.randn(2, 3, 200), torch.randn(50, 200)]
    traced = Int8Linear(layer.dense(), layer.bias, traced=True)
    for each in inputs:
        torch.testing.assert_close(layer(each), traced(each), rtol=1e-6, atol=1e-6)
