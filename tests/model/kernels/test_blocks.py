"""Attention without compiled kernels, and the way to it: against a softmax written out in float64."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from svlm_cli.model import attention
from svlm_cli.model.attention import grouped_attention
from svlm_cli.model.kernels.blocks import attend_by_blocks
from svlm_cli.model.kernels.native import native
from svlm_cli.model.states.formats import as_rows
from tests.model.kernels.test_kernels import SCALE, brute_force, random_case

CAUSAL = SimpleNamespace(is_causal=True)


@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16, torch.int8], ids=str)
def test_blocks_give_the_softmax(number_format, monkeypatch):
    monkeypatch.setattr("svlm_cli.model.kernels.blocks.MOST_ROWS", 40)
    for seed in range(30):
        query, key, value = random_case(seed, number_format)
        ours = attend_by_blocks(query, key, value, SCALE)
        expected = brute_force(query, key, value)
        assert ours.dtype is query.dtype
        assert ours.is_contiguous()
        torch.testing.assert_close(ours.double(), expected, atol=6e-2, rtol=0)


@pytest.mark.parametrize("has_bfloat16", [True, False])
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("query_format", [torch.float32, torch.bfloat16], ids=str)
def test_every_format_of_a_cache_is_read_without_them(query_format, number_format, has_bfloat16, monkeypatch):
    """As a machine without a compiler reads it, with and without products of bfloat16."""
    monkeypatch.setattr(attention, "native", lambda: None)
    monkeypatch.setattr(attention, "can_pack", lambda _format: has_bfloat16)
    is_exact = query_format is torch.float32 and (number_format is torch.float32 or not has_bfloat16)
    for seed in range(8):
        query, key, value = random_case(seed, number_format)
        query = query.to(query_format)
        ours, _ = grouped_attention(CAUSAL, query, key, value, None, scaling=SCALE)
        tolerance = 3e-5 if is_exact else 6e-2
        torch.testing.assert_close(ours.double(), brute_force(query, key, value), atol=tolerance, rtol=0)


@pytest.mark.skipif(native() is None, reason="not built: python setup.py build_ext --inplace")
def test_compiled_kernels_are_taken_where_they_are_there(monkeypatch):
    monkeypatch.setattr(attention, "attend_by_blocks", None)
    monkeypatch.setattr(attention, "_joined", None)
    query, key, value = random_case(3, torch.int8)
    ours, _ = grouped_attention(CAUSAL, query, key, value, None, scaling=SCALE)
    torch.testing.assert_close(ours.double(), brute_force(query, key, value), atol=5e-2, rtol=0)


def test_what_is_no_number_stays_none():
    for place in range(3):
        states = [torch.randn(1, 2, length, 64) for length in (9, 40, 40)]
        states[place][0, 1, 0, 5] = torch.nan
        for rows in (torch.bfloat16, torch.int8):
            ours = attend_by_blocks(states[0], *(as_rows(each, rows) for each in states[1:]), SCALE)
            assert ours[0, :, 0].isfinite().all()
            assert not ours[0, 0 if place == 0 else slice(None), 1].isfinite().all()
