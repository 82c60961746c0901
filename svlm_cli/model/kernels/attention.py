"""Attention by the compiled kernels.

Shape legend: h = query heads, H = key/value heads, m = new tokens, n = cached tokens, D = head size.
"""

from __future__ import annotations

import ctypes

import torch

from svlm_cli.model.kernels.native import Native

FORMATS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
_Numbers5, _Numbers8 = ctypes.c_int64 * 5, ctypes.c_int64 * 8


def can_attend(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether the kernels know these formats, on the CPU."""
    return (
        query.device.type == "cpu" and query.dtype in (torch.float32, torch.bfloat16) and key.dtype in FORMATS
    )


def attend(
    kernels: Native,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    *,
    is_causal: bool = True,
    bounds: torch.Tensor | None = None,
    chosen: int | None = None,
) -> torch.Tensor:
    """Attention of the last m of the keys, causal among themselves, to all.

    Args:
        kernels: the compiled ones.
        query: (1, h, m, D), float32 or bfloat16.
        key, value: (1, H, n + m, D), float32 or bfloat16; or int8, (1, H, n + m, D + 4), whose rows end with
            their scale, a float32. Where they are not float32 and the processor multiplies bfloat16, both
            factors of both products are rounded to it, sums and the softmax are float32.
        scaling: the factor of the scores; None for D ** -0.5.
        is_causal: False where every token sees every key.
        bounds: int64 on the CPU, (sequences + 1,): the tokens between two of them see each other alone, both
            ways; then m tokens are all there are.
        chosen: number of another instruction set that this processor has.

    Returns:
        (1, m, h, D) in the query's format.

    Raises:
        MemoryError: none for what lies between.
    """
    query, key, value = (with_rows(each) for each in (query, key, value))
    _, num_queries, num_new, size = query.shape
    num_heads, held = key.shape[1], key.shape[2]
    out = torch.empty((1, num_new, num_queries, size), dtype=query.dtype)
    strides = (*query.stride()[1:3], *key.stride()[1:3], *value.stride()[1:3], size, num_queries * size)
    failed = kernels.functions.svlm_attend(
        kernels.chosen if chosen is None else chosen,
        torch.get_num_threads(),
        query.data_ptr(),
        key.data_ptr(),
        value.data_ptr(),
        out.data_ptr(),
        FORMATS[query.dtype],
        FORMATS[key.dtype],
        _Numbers5(num_heads, num_queries // num_heads, size, num_new, held),
        _Numbers8(*strides),
        None if bounds is None else bounds.data_ptr(),
        0 if bounds is None else len(bounds) - 1,
        size**-0.5 if scaling is None else scaling,
        is_causal and bounds is None,
    )
    if failed:
        raise MemoryError("no memory for attention")
    return out


def with_rows(states: torch.Tensor) -> torch.Tensor:
    """With the numbers of a head side by side."""
    return states if states.stride(3) == 1 else states.contiguous()
