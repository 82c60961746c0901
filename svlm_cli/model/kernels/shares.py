"""Attention of several streams in one call of the compiled kernels, each over its own cache.

Shape legend: h = query heads, H = key/value heads, m = new tokens of all, D = head size.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from svlm_cli.model.kernels.attention import FORMATS, with_rows
from svlm_cli.model.kernels.native import Native
from svlm_cli.model.states.formats import head_size_of
from svlm_cli.model.states.tail import Tail

_Numbers6, _Numbers8 = ctypes.c_int64 * 6, ctypes.c_int64 * 8


@dataclass(frozen=True, slots=True, eq=False)
class SharePlaces:
    """Where the caches of several streams lie, as the kernels read it.

    Args:
        numbers: five of each stream: its new and all its tokens, addresses of keys and values, capacity.
        tails: what they are of; keeps the storage.
    """

    numbers: Any
    tails: Sequence[Tail]


def share_places(tails: Sequence[Tail], *, of_last: bool = False) -> SharePlaces:
    """Of tails of one number format and shape, on the CPU.

    Args:
        tails: one of each stream.
        of_last: the queries are of each one's last token alone; its states are written.
    """
    numbers = [
        number
        for tail in tails
        for number in (
            1 if of_last else tail.num_new,
            tail.num_held + tail.num_new,
            tail.keys.data_ptr(),
            tail.values.data_ptr(),
            tail.keys.shape[2],
        )
    ]
    return SharePlaces((ctypes.c_int64 * len(numbers))(*numbers), tails)


def attend_shares(
    kernels: Native,
    query: torch.Tensor,
    new: tuple[torch.Tensor, torch.Tensor] | None,
    places: SharePlaces,
    layer: int,
    scaling: float | None,
    *,
    chosen: int | None = None,
) -> torch.Tensor:
    """Attention of each stream's rows, the last of its keys and causal among themselves, to its own cache.

    Args:
        kernels: the compiled ones.
        query: (1, h, m, D), float32 or bfloat16, stream after stream.
        new: keys and values (1, H, m, D) of the query's format, to be written behind each stream's own first;
            None where they are there.
        places: of the caches.
        layer: the caches' to use.
        scaling: of the scores; None for D ** -0.5.
        chosen: number of another instruction set that this processor has.

    Returns:
        (1, m, h, D) in the query's format.

    Raises:
        MemoryError: none for what lies between.
    """
    query = with_rows(query)
    fresh = None if new is None else [with_rows(each) for each in new]
    _, num_queries, num_new, size = query.shape
    _, num_heads, _, row = (storage := places.tails[0].keys).shape
    assert size == head_size_of(storage)
    out = torch.empty((1, num_new, num_queries, size), dtype=query.dtype)
    strides = [
        *query.stride()[1:3],
        *([0] * 4 if fresh is None else [*fresh[0].stride()[1:3], *fresh[1].stride()[1:3]]),
    ]
    failed = kernels.functions.svlm_attend_shares(
        kernels.chosen if chosen is None else chosen,
        torch.get_num_threads(),
        query.data_ptr(),
        None if fresh is None else fresh[0].data_ptr(),
        None if fresh is None else fresh[1].data_ptr(),
        out.data_ptr(),
        FORMATS[query.dtype],
        FORMATS[storage.dtype],
        _Numbers6(num_heads, num_queries // num_heads, size, row, layer, len(places.tails)),
        _Numbers8(*strides, size, num_queries * size),
        places.numbers,
        size**-0.5 if scaling is None else scaling,
    )
    if failed:
        raise MemoryError("no memory for attention")
    return out
