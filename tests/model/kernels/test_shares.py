"""Several streams in one call: each over its own cache, as it would be alone."""

from __future__ import annotations

import random

import pytest
import torch

from svlm_cli.model.kernels.attention import FORMATS, attend
from svlm_cli.model.kernels.native import native
from svlm_cli.model.kernels.shares import attend_shares, share_places
from svlm_cli.model.states.formats import as_rows
from svlm_cli.model.states.tail import Tail

KERNELS = native()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="not built: python setup.py build_ext --inplace")
SETS = [] if KERNELS is None else list(KERNELS.sets)
SCALE = 0.2
LAYERS = 3


def streams(
    dice: random.Random, generator: torch.Generator, number_format: torch.dtype, heads: int, size: int
):
    """Caches of several streams, of different lengths and capacities, full of numbers nobody wrote."""
    tails = []
    for _ in range(dice.choice([1, 2, 3, 9])):
        held, new = dice.choice([0, 1, 63, 64, 129, 300]), dice.choice([1, 1, 1, 2, 17, 70])
        stores = torch.randn(2, LAYERS, heads, held + new + dice.choice([0, 5]), size, generator=generator)
        tails.append(Tail(*as_rows(stores, number_format).unbind(), held, new))
    return tails


@pytest.mark.parametrize("number_format", FORMATS, ids=str)
@pytest.mark.parametrize("chosen", SETS, ids=lambda number: KERNELS.sets[number])
def test_each_stream_sees_its_own_cache_alone(chosen, number_format):
    before = torch.get_num_threads()
    try:
        for seed in range(24):
            dice, generator = random.Random(seed), torch.Generator().manual_seed(seed)
            heads, group, size = (
                dice.choice([1, 2, 4]),
                dice.choice([1, 2, 7]),
                dice.choice([1, 16, 33, 64, 128]),
            )
            torch.set_num_threads(dice.choice([1, 1, 2, 3]))
            tails, layer = streams(dice, generator, number_format, heads, size), dice.randrange(LAYERS)
            rows = sum(tail.num_new for tail in tails)
            number = torch.bfloat16 if number_format is torch.bfloat16 and seed % 2 else torch.float32
            query = torch.randn(1, rows, heads * group, size, generator=generator).to(number).transpose(1, 2)
            new = [
                torch.randn(1, rows, heads, size, generator=generator).to(number).transpose(1, 2)
                for _ in "kv"
            ]
            expected, untouched, start = [], [], 0
            for tail in tails:
                stores = [each[layer : layer + 1].clone() for each in (tail.keys, tail.values)]
                own = slice(start, start + tail.num_new)
                end = tail.num_held + tail.num_new
                for store, states in zip(stores, new, strict=True):
                    store[:, :, tail.num_held : end] = as_rows(states[:, :, own], number_format)
                untouched.append([stores, tail.keys[:layer].clone(), tail.values[layer + 1 :].clone()])
                held = [store[:, :, :end] for store in stores]
                expected.append(attend(KERNELS, query[:, :, own], *held, SCALE, chosen=chosen))
                start += tail.num_new
            writes = number is number_format
            if not writes:
                for tail, (stores, *_) in zip(tails, untouched, strict=True):
                    tail.keys[layer], tail.values[layer] = (each[0] for each in stores)
            given = tuple(new) if writes else None
            ours = attend_shares(KERNELS, query, given, share_places(tails), layer, SCALE, chosen=chosen)
            atol = 2e-2 if number_format is torch.bfloat16 or number is torch.bfloat16 else 1e-5
            torch.testing.assert_close(ours, torch.cat(expected, dim=1), atol=atol, rtol=0)
            last = torch.tensor([tail.num_new for tail in tails]).cumsum(0) - 1
            places, asked = share_places(tails, of_last=True), query.index_select(2, last)
            found = attend_shares(KERNELS, asked, None, places, layer, SCALE, chosen=chosen)
            # Of one row the kernels round less.
            rough = atol if number_format is torch.float32 else 2e-2
            torch.testing.assert_close(found, ours.index_select(1, last), atol=rough, rtol=0)
            for tail, (stores, below, above) in zip(tails, untouched, strict=True):
                same = (tail.keys[layer], stores[0][0]), (tail.values[layer], stores[1][0])
                for one, other in (*same, (tail.keys[:layer], below), (tail.values[layer + 1 :], above)):
                    assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)
