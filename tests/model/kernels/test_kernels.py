"""The compiled kernels: every instruction set of this processor against a softmax written out in float64."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svlm_cli.model.kernels.attention import FORMATS, attend
from svlm_cli.model.kernels.native import PLACES, Loader, native, opened

KERNELS = native()
needs_them = pytest.mark.skipif(KERNELS is None, reason="not built: python setup.py build_ext --inplace")
SETS = [] if KERNELS is None else list(KERNELS.sets)
SCALE = 0.2
# Of float32 sums; with both factors rounded to bfloat16, and a result in it.
CLOSE, ROUNDED = 3e-5, 5e-2


def stored_rows(states: torch.Tensor, number_format: torch.dtype) -> torch.Tensor:
    """As a cache keeps them; int8 rows end with their scale."""
    if number_format is not torch.int8:
        return states.to(number_format)
    scales = states.abs().amax(-1, keepdim=True) / 127
    return torch.cat([(states / scales).round().to(torch.int8), scales.view(torch.int8)], dim=-1)


def numbers(rows: torch.Tensor, size: int) -> torch.Tensor:
    if rows.dtype is not torch.int8:
        return rows.double()
    scales = rows[..., size:].clone(memory_format=torch.contiguous_format).view(torch.float32)
    return rows[..., :size].double() * scales.double()


def brute_force(query, key, value, *, is_causal: bool = True) -> torch.Tensor:
    """(1, m, h, D) in float64."""
    num_new, held, size = query.shape[2], key.shape[2], query.shape[3]
    group = query.shape[1] // key.shape[1]
    key, value = (numbers(each, size).repeat_interleave(group, dim=1) for each in (key, value))
    scores = query.double() @ key.transpose(2, 3) * SCALE
    if is_causal:
        seen = torch.ones(num_new, held, dtype=torch.bool).tril(held - num_new)
        scores = scores.masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


def random_case(seed: int, number_format: torch.dtype):
    """Shapes as they come, laid out as in a model: queries token by token, keys in a larger store."""
    dice = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    heads, group = dice.choice([1, 2, 4]), dice.choice([1, 2, 3, 5, 7])
    size = dice.choice([1, 2, 7, 16, 33, 64, 80, 100, 128, 160])
    num_new, num_cached = dice.choice([1, 1, 1, 2, 5, 17, 65, 130]), dice.choice([0, 1, 3, 63, 64, 129, 300])
    query = torch.randn(1, num_new, heads * group, size, generator=generator).transpose(1, 2)
    store = torch.randn(2, heads, num_cached + num_new + dice.choice([0, 5]), size, generator=generator)
    rows = stored_rows(store, number_format)
    key, value = (each[None, :, : num_cached + num_new] for each in rows)
    return query, key, value


@needs_them
@pytest.mark.parametrize("number_format", FORMATS, ids=str)
@pytest.mark.parametrize("chosen", SETS, ids=lambda number: KERNELS.sets[number])
def test_every_instruction_set_gives_the_softmax(chosen, number_format):
    rounds = replace(KERNELS, chosen=chosen).multiplies_bfloat16 and number_format is not torch.float32
    for seed in range(40):
        query, key, value = random_case(seed, number_format)
        ours = attend(KERNELS, query, key, value, SCALE, chosen=chosen)
        expected = brute_force(query, key, value)
        tolerance = ROUNDED if rounds else CLOSE
        torch.testing.assert_close(ours.double(), expected, atol=tolerance, rtol=0)
        plain = attend(KERNELS, query, key, value, SCALE, chosen=0)
        torch.testing.assert_close(ours, plain, atol=tolerance, rtol=0)


@pytest.mark.skipif("amx" not in ({} if KERNELS is None else KERNELS.sets).values(), reason="no tiles")
@pytest.mark.parametrize("number_format", [torch.bfloat16, torch.int8], ids=str)
def test_tiles_give_what_vectors_give(number_format):
    """They round the same numbers and differ in the order of sums."""
    numbers_of = {name: number for number, name in KERNELS.sets.items()}
    for seed in range(100, 160):
        states = random_case(seed, number_format)
        tiles, vectors = (
            attend(KERNELS, *states, SCALE, chosen=numbers_of[name]) for name in ("amx", "avx512_bf16")
        )
        torch.testing.assert_close(tiles, vectors, atol=2e-3, rtol=0)


@needs_them
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("num_new", [1, 70])
def test_results_are_in_the_format_of_the_query(chosen, num_new):
    generator = torch.Generator().manual_seed(num_new)
    query = torch.randn(1, 6, num_new, 80, generator=generator).bfloat16()
    key, value = torch.randn(2, 1, 2, 300, 80, generator=generator).bfloat16()
    ours = attend(KERNELS, query, key, value, SCALE, chosen=chosen)
    assert ours.dtype is torch.bfloat16
    assert ours.is_contiguous()
    torch.testing.assert_close(ours.double(), brute_force(query, key, value), atol=2e-2, rtol=0)


@needs_them
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("number_format", FORMATS, ids=str)
def test_threads_change_nothing_but_the_order_of_sums(chosen, number_format):
    before = torch.get_num_threads()
    generator = torch.Generator().manual_seed(7)
    rows = stored_rows(torch.randn(2, 2, 4100, 128, generator=generator), number_format)
    try:
        for num_new in (1, 300):
            query = torch.randn(1, num_new, 6, 128, generator=generator).transpose(1, 2)
            found = []
            for threads in (1, 3):
                torch.set_num_threads(threads)
                found.append(attend(KERNELS, query, rows[:1], rows[1:], SCALE, chosen=chosen))
            torch.testing.assert_close(*found, atol=1e-3 if num_new == 1 else 0, rtol=0)
    finally:
        torch.set_num_threads(before)


@needs_them
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16], ids=str)
def test_sequences_see_themselves_alone(chosen, number_format):
    generator = torch.Generator().manual_seed(3)
    query, key, value = (
        torch.randn(1, 150, 4, 64, generator=generator).transpose(1, 2).to(number_format) for _ in range(3)
    )
    bounds = torch.tensor([0, 64, 64, 65, 100, 150])
    ours = attend(KERNELS, query, key, value, SCALE, bounds=bounds, chosen=chosen)
    for start, end in zip(bounds.tolist(), bounds.tolist()[1:], strict=False):
        own = (each[:, :, start:end] for each in (query, key, value))
        expected = brute_force(*own, is_causal=False)
        tolerance = CLOSE if number_format is torch.float32 else 2e-2
        torch.testing.assert_close(ours[:, start:end].double(), expected, atol=tolerance, rtol=0)


@needs_them
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("num_new", [1, 60])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_stays_none(chosen, number_format, num_new, bad):
    """Wherever it comes in, whoever sees it is not finite, and no other head: the engine looks in the end."""
    generator = torch.Generator().manual_seed(num_new)
    for place in range(3):
        states = [torch.randn(1, 2, length, 64, generator=generator) for length in (num_new, 300, 300)]
        states[place][0, 1, 0 if place == 0 else 150, 5] = bad
        states = [each.to(number_format) for each in states]
        ours = attend(KERNELS, *states, SCALE, chosen=chosen)
        assert not ours.isfinite().all()
        torch.testing.assert_close(ours.isfinite(), brute_force(*states).isfinite())


@needs_them
@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("num_new", [1, 60])
def test_scores_far_apart_do_not_overflow(chosen, num_new):
    generator = torch.Generator().manual_seed(11)
    query, key, value = (torch.randn(1, 2, n, 64, generator=generator) for n in (num_new, 200, 200))
    ours = attend(KERNELS, query * 300, key, value, SCALE, chosen=chosen)
    torch.testing.assert_close(ours.double(), brute_force(query * 300, key, value), atol=1e-3, rtol=0)


def test_a_missing_or_broken_binary_means_torch(tmp_path: Path):
    broken = tmp_path / PLACES[0].name
    assert Loader([broken])() == (None, "not built")
    broken.write_bytes(b"\x7fELF no more")
    found, reason = Loader([broken])()
    assert found is None
    assert reason


def test_a_library_without_the_functions_is_of_another_build():
    other = pytest.importorskip("_ctypes").__file__
    with pytest.raises(OSError, match="of another build"):
        opened(Path(other))
