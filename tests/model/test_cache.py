"""The cache alone: slots, originals and rotation over very many simulated evictions."""

from __future__ import annotations

import gc
import random
import weakref

import numpy as np
import pytest
import torch

from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.prompt import Part
from svlm_cli.model.states.rotation import Rotation
from svlm_cli.model.window import Span, SpanKind, TokenRange, WindowLimits
from svlm_cli.stream.context import Context
from tests.stream.engine import rotated

pytestmark = pytest.mark.usefixtures("one_thread")
K = SpanKind
LAYERS, HEADS, HEAD_SIZE = 2, 2, 8
INV_FREQ = 1.0 / 10_000 ** (torch.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)


def new_cache(capacity: int = 64) -> StreamingCache:
    return StreamingCache(LAYERS, Rotation(INV_FREQ), capacity)


def feed(cache: StreamingCache, keys: torch.Tensor) -> None:
    """Feed tokens to all layers: keys (m, H, D); values are keys plus one."""
    for layer in range(LAYERS):
        states = keys.transpose(0, 1)[None] + layer
        held, _ = cache.update(states, states + 1, layer)
        assert held.shape[2] == cache.layers[layer].get_seq_length()


def numbered(first: int, count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Keys that differ from token to token, about unit size."""
    numbers = torch.arange(first, first + count, dtype=torch.float64)[:, None]
    waves = torch.sin(numbers * torch.arange(1, HEADS * HEAD_SIZE + 1) * 0.37)
    return waves.reshape(count, HEADS, HEAD_SIZE).to(dtype)


def part(kind: SpanKind, turn: int, count: int, grid=None) -> Part:
    return Part(Span(kind, turn, count, grid), (0,) * count)


def turn_parts(turn: int, number: random.Random) -> list[Part]:
    sizes = [(K.TURN_HEAD, 2), (K.TIME, 3), (K.VISION_START, 1)]
    answer = [
        (K.VISION_END, 1),
        (K.QUERY, 2),
        (K.ANSWER_HEAD, 2),
        (K.WORDS, number.randrange(4)),
        (K.ANSWER_TAIL, 1),
    ]
    grid = (1, 2, number.choice((2, 3)))
    video = part(K.VIDEO, turn, grid[1] * grid[2], grid)
    return [
        *(part(kind, turn, count) for kind, count in sizes),
        video,
        *(part(kind, turn, count) for kind, count in answer),
    ]


def simulate(num_turns: int, limits: WindowLimits, check_every: int, rebase: float) -> None:
    """Run the window over caches without a model; every check compares every held key."""
    number = random.Random(7)
    context = Context(stride=1.5, rebase_positions=rebase)
    caches = {dtype: new_cache() for dtype in (torch.float32, torch.bfloat16)}
    names: list[tuple[int, float]] = []
    num_fed = 0
    context.append([part(K.SYSTEM, -1, 3), part(K.PREVIOUS_HEAD, -1, 4), part(K.PREVIOUS_TEXT, -1, 9)])
    context.append([part(K.PREVIOUS_TAIL, -1, 2)])
    for turn in range(num_turns):
        if turn:
            move = context.evict(turn, limits)
            for cache in caches.values():
                cache.evict(move.kept)
                cache.shift(move.shifts)
            names = [names[i] for piece in move.kept for i in range(piece.start, piece.end)]
        context.append(turn_parts(turn, number))
        rows = context.rows_from(len(names))
        for dtype, cache in caches.items():
            feed(cache, numbered(num_fed, rows.shape[1], dtype))
        names += [(num_fed + i, position) for i, position in enumerate(rows[0])]
        num_fed += rows.shape[1]
        if turn % check_every == check_every - 1:
            for dtype, cache in caches.items():
                compare(context, cache, names, dtype)
                assert cache.capacity < 400


def compare(
    context: Context, cache: StreamingCache, names: list[tuple[int, float]], dtype: torch.dtype
) -> None:
    base = context.next_position - (context.rows().max() + 1)
    stands_at = context.rows()[0] + base
    keys, values = cache.held(0)
    for i, (name, fed_at) in enumerate(names):
        original = numbered(name, 1, dtype)[0]
        expected = rotated(original, stands_at[i] - fed_at, INV_FREQ)
        if dtype is torch.float32:
            torch.testing.assert_close(keys[i].double(), expected, atol=1e-5, rtol=0)
        else:
            assert (keys[i].double() - expected).abs().max() <= 2.0**-8 * expected.abs().max() * 1.01
        assert torch.equal(values[i], original + 1)


LIMITS = [
    WindowLimits(4, 6, 3, 3),
    WindowLimits(4, 6, 2, 5),
    WindowLimits(0, 6, 6, 2),
    WindowLimits(5, 0, 1, 3),
]


@pytest.mark.parametrize("limits", LIMITS)
def test_keys_after_thousands_of_evictions(limits):
    simulate(2_000, limits, check_every=199, rebase=300.0)


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_keys_after_very_many_evictions(count):
    simulate(count, LIMITS[0], check_every=count // 4 - 1, rebase=4096.0)


def test_memory_is_free_as_soon_as_the_cache_is_dropped():
    """And not when the garbage is next collected: on a GPU the next stream would find no room."""
    cache = new_cache()
    feed(cache, numbered(0, 5))
    storage = weakref.ref(cache._keys)
    gc.disable()
    try:
        del cache
        assert storage() is None
    finally:
        gc.enable()


def test_eviction_refills_holes_and_copies_few():
    cache = new_cache(capacity=32)
    feed(cache, numbered(0, 20))
    cache.evict([TokenRange(0, 2), TokenRange(8, 20)])
    kept = [0, 1, *range(8, 20)]
    torch.testing.assert_close(cache.held(1)[0], numbered(0, 20)[kept] + 1)
    assert (cache.num_tokens, cache.capacity) == (14, 32)
    feed(cache, numbered(50, 3))
    torch.testing.assert_close(cache.held(0)[1][-3:], numbered(50, 3) + 1)


def test_eviction_may_reorder():
    cache = new_cache()
    feed(cache, numbered(0, 10))
    cache.evict([TokenRange(0, 2), TokenRange(6, 8), TokenRange(3, 5)])
    torch.testing.assert_close(cache.held(0)[0], numbered(0, 10)[[0, 1, 6, 7, 3, 4]])


def test_only_tokens_that_move_are_rotated():
    cache = new_cache()
    feed(cache, numbered(0, 10))
    shifts = np.zeros(10)
    shifts[:4] = 2.5
    assert cache.shift(shifts) == 4
    assert cache.shift(shifts) == 0
    shifts[:] = 0
    assert cache.shift(shifts) == 4
    assert torch.equal(cache.held(0)[0], numbered(0, 10)), "back home is the original, bit for bit"


def test_growing_keeps_everything():
    cache = new_cache(capacity=4)
    feed(cache, numbered(0, 4))
    cache.shift(np.full(4, 3.0))
    before = cache.held(0)[0]
    feed(cache, numbered(4, 30))
    assert cache.capacity >= 34
    assert torch.equal(cache.held(0)[0][:4], before)
    cache.shift(np.zeros(34))
    assert torch.equal(cache.held(0)[0], numbered(0, 34))


def test_clear_forgets_tokens_and_keeps_storage():
    cache = new_cache()
    feed(cache, numbered(0, 10))
    cache.shift(np.ones(10))
    num_bytes = cache.num_bytes
    cache.clear()
    feed(cache, numbered(20, 5))
    assert (cache.num_tokens, cache.num_bytes) == (5, num_bytes)
    assert torch.equal(cache.held(0)[0], numbered(20, 5))
    assert cache.shift(np.zeros(5)) == 0


@pytest.mark.parametrize("limits", LIMITS)
def test_growing_positions_never_move(limits: WindowLimits) -> None:
    """Every kept token stands where it was fed, and the next one behind all there ever were."""
    number = random.Random(3)
    context = Context(stride=1.5, grows=True)
    context.append([part(K.SYSTEM, -1, 3), part(K.PREVIOUS_HEAD, -1, 4), part(K.PREVIOUS_TEXT, -1, 9)])
    context.append([part(K.PREVIOUS_TAIL, -1, 2)])
    stands_at: list[float] = []
    for turn in range(40):
        if turn:
            move = context.evict(turn, limits)
            assert not move.shifts.any()
            stands_at = [stands_at[i] for piece in move.kept for i in range(piece.start, piece.end)]
            assert context.rows()[0].tolist() == stands_at
        before = context.next_position
        parts = turn_parts(turn, number)
        context.append(parts)
        rows = context.rows_from(len(stands_at))
        stands_at += rows[0].tolist()
        assert context.rows()[0].tolist() == stands_at
        assert context.next_position > before
    assert context.next_position > 40 * 10


@pytest.mark.parametrize("grows", [False, True])
def test_a_context_holds_what_is_kept_and_no_more(grows: bool) -> None:
    number = random.Random(3)
    context = Context(stride=1.5, grows=grows)
    context.append([part(K.SYSTEM, -1, 3), part(K.PREVIOUS_HEAD, -1, 4), part(K.PREVIOUS_TEXT, -1, 9)])
    context.append([part(K.PREVIOUS_TAIL, -1, 2)])
    for turn in range(200):
        if turn:
            context.evict(turn, WindowLimits(4, 6, 3, 3))
        context.append(turn_parts(turn, number))
        arrays = [value for value in vars(context).values() if isinstance(value, np.ndarray)]
        assert all(array.shape[-1] <= len(context.ids) for array in arrays)
