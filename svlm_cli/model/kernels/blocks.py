"""Attention by products of whole matrices in bfloat16: where there are no compiled kernels.

torch's fused kernel for the CPU computes in float32 throughout, slower than these products and a softmax
between them.

Shape legend: h = query heads, H = key/value heads, g = h / H, m = new tokens, n = cached ones, D = head size.
"""

from __future__ import annotations

import torch

from svlm_cli.model.states.formats import as_numbers

MOST_ROWS = 256  # of a block of scores: it is (H, rows, n + m) and stays near the processor


def attend_by_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention of the last m of the keys, causal among themselves, to all.

    Args:
        query: (1, h, m, D).
        key, value: rows of (1, H, n + m, D), in any format of a cache.
        scaling: the factor of the scores; None for D ** -0.5.

    Returns:
        (1, m, h, D) in the query's format. Factors of both products and scores are rounded to bfloat16.
    """
    _, num_queries, num_new, size = query.shape
    num_heads, held = key.shape[1], key.shape[2]
    group = num_queries // num_heads
    scale = size**-0.5 if scaling is None else scaling
    rows = query[0].to(torch.bfloat16).reshape(num_heads, group, num_new, size)
    keys, values = (as_numbers(each[0], torch.bfloat16) for each in (key, value))
    out = query.new_empty((num_new, num_heads, group, size))
    unread = rows.new_empty(1)
    count = max(1, MOST_ROWS // group)
    for first in range(0, num_new, count):
        block = rows[:, :, first : first + count]
        count = block.shape[2]
        packed = block.reshape(num_heads, group * count, size)
        seen = held - num_new + first  # by all of them; those of the block itself by whoever follows
        columns = keys[:, : seen + count].transpose(1, 2)
        scores = torch.baddbmm(unread, packed, columns, beta=0, alpha=scale)
        is_later = torch.ones(count, count, dtype=torch.bool).triu_(1)
        scores.view(*block.shape[:3], seen + count)[..., seen:].masked_fill_(is_later, -torch.inf)
        found = torch.bmm(scores.softmax(dim=-1), values[:, : seen + count])
        out[first : first + count] = found.view(block.shape).permute(2, 0, 1, 3)
    return out.view(1, num_new, num_queries, size)
