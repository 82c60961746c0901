"""Caches in every number format: rows, moves, evictions and states of thousands of steps."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.states.formats import KV_FORMATS, as_numbers, as_rows, row_size, write_rows
from svlm_cli.model.states.rotation import Pairs, Rotation
from svlm_cli.model.window import TokenRange

LAYERS, HEADS, SIZE = 2, 2, 32
INV_FREQ = 1.0 / 10_000 ** (torch.arange(0, SIZE, 2) / SIZE)
# Of a row's largest number: half a step, and half a step of the first copy too where a key has moved.
FRESH = {"float32": 1e-7, "bfloat16": 2**-8, "int8": 0.5 / 127}
MOVED = {"float32": 3e-6, "bfloat16": 2**-7, "int8": 1.3 / 127}


def largest(states: torch.Tensor) -> torch.Tensor:
    return states.abs().amax(-1, keepdim=True)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    """Numbers of very different size from row to row."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.rand(*shape[:-1], 1, generator=generator).mul_(12).sub_(6).exp_()
    return torch.randn(shape, generator=generator) * sizes


@pytest.mark.parametrize("name", KV_FORMATS)
def test_rows_are_their_numbers_but_for_one_rounding(name):
    states = drawn(1, 3, 40, SIZE)
    states[0, 0] = 0
    rows = as_rows(states, KV_FORMATS[name])
    assert rows.shape[-1] == row_size(SIZE, KV_FORMATS[name])
    back = as_numbers(rows, torch.float32)
    assert ((back - states).abs() <= FRESH[name] * 1.001 * largest(states)).all()
    again = as_rows(back, KV_FORMATS[name])
    torch.testing.assert_close(as_numbers(again, torch.float32), back, rtol=1e-6, atol=0)
    assert (back[0, 0] == 0).all()
    written = torch.zeros_like(rows)
    write_rows(written, states)
    assert torch.equal(written, rows)


@pytest.mark.parametrize("name", KV_FORMATS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_makes_its_row_so(name, bad):
    states = drawn(2, 5, SIZE)
    states[2, 7] = bad
    back = as_numbers(as_rows(states, KV_FORMATS[name]), torch.float32)
    assert not back[2].isfinite().all()
    assert back[[0, 1, 3, 4]].isfinite().all()


def turned(keys: torch.Tensor, shifts: np.ndarray, pairs: Pairs) -> torch.Tensor:
    """Keys (m, H, D) turned by hand in float64."""
    angles = torch.from_numpy(shifts)[:, None, None] * INV_FREQ.double()
    turns = torch.polar(torch.ones_like(angles), angles)
    if pairs is Pairs.HALVES:
        numbers = torch.complex(*keys.double().chunk(2, dim=-1)) * turns
        return torch.cat([numbers.real, numbers.imag], dim=-1)
    numbers = torch.complex(keys.double()[..., 0::2], keys.double()[..., 1::2]) * turns
    return torch.stack([numbers.real, numbers.imag], dim=-1).flatten(-2)


def new_cache(name: str, pairs: Pairs = Pairs.HALVES) -> StreamingCache:
    return StreamingCache(LAYERS, Rotation(INV_FREQ, pairs), 16, number_format=KV_FORMATS[name])


def feed(cache: StreamingCache, states: torch.Tensor) -> None:
    """Tokens (m, H, D) to all layers; values are keys plus one."""
    for layer in range(LAYERS):
        own = states.transpose(0, 1)[None] * (layer + 1)
        cache.update(own, own + 1, layer)


@pytest.mark.parametrize("name", KV_FORMATS)
@pytest.mark.parametrize("pairs", Pairs)
def test_a_thousand_moves_cost_no_more_than_one(name, pairs):
    """Tokens come, go and move; those left are as near to fresh ones as at the first move."""
    cache, dice = new_cache(name, pairs), random.Random(5)
    kept, shifts = drawn(3, 6, HEADS, SIZE), np.zeros(6)
    feed(cache, kept)
    for step in range(1000):
        new = drawn(100 + step, dice.randrange(1, 4), HEADS, SIZE)
        feed(cache, new)
        kept, shifts = torch.cat([kept, new]), np.concatenate([shifts, np.zeros(len(new))])
        first = dice.randrange(len(kept) - 5)
        ranges = [TokenRange(0, first), TokenRange(first + len(kept) - 6, len(kept))]
        cache.evict(ranges)
        stay = [number for each in ranges for number in range(each.start, each.end)]
        kept, shifts = kept[stay], shifts[stay]
        shifts[2:] -= dice.random() * 3
        cache.shift(shifts)
    for layer in range(LAYERS):
        keys, values = cache.held(layer)
        states = kept * (layer + 1)
        error = (keys.double() - turned(states, shifts, pairs)).abs() / largest(states)
        assert error.max() < MOVED[name] * 2**0.5
        assert ((values - states - 1).abs() <= FRESH[name] * 1.001 * largest(states + 1)).all()


@pytest.mark.parametrize("name", KV_FORMATS)
def test_a_state_is_exact_and_of_its_format(name):
    cache = new_cache(name)
    feed(cache, drawn(4, 30, HEADS, SIZE))
    cache.evict([TokenRange(0, 9), TokenRange(14, 30)])
    cache.shift(np.linspace(0, 3, 25))
    saved = cache.snapshot()
    again = new_cache(name)
    again.restore(saved, torch.device("cpu"))
    assert saved["keys"].dtype is KV_FORMATS[name]
    for one in (cache, again):
        feed(one, drawn(5, 4, HEADS, SIZE))
        one.evict([TokenRange(0, 3), TokenRange(8, 29)])
        one.shift(np.linspace(1, 2, 24))
    for layer in range(LAYERS):
        for ours, theirs in zip(cache.held(layer), again.held(layer), strict=True):
            assert torch.equal(ours, theirs)
    other = next(each for each in KV_FORMATS if each != name)
    with pytest.raises(ValueError, match="keys are in"):
        new_cache(other).restore(saved, torch.device("cpu"))
