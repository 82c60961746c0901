"""Number formats of keys and values in the cache, which need not be the model's.

Shape legend: D = head size. A row, the D numbers of one token and head, is kept as it is in float32 and
bfloat16. In int8 it is D signed bytes and a float32 behind them, by which they are multiplied: one tensor, so
that whoever moves rows moves scales with them.
"""

from __future__ import annotations

import torch

MOST = 127  # of a signed byte, symmetric
SCALE_BYTES = 4
KV_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


def row_size(head_size: int, number_format: torch.dtype) -> int:
    """Numbers that a row takes."""
    return head_size + SCALE_BYTES if number_format is torch.int8 else head_size


def head_size_of(rows: torch.Tensor) -> int:
    """D."""
    return rows.shape[-1] - SCALE_BYTES if rows.dtype is torch.int8 else rows.shape[-1]


def as_rows(states: torch.Tensor, number_format: torch.dtype) -> torch.Tensor:
    """States (..., D) of any floating format as rows of another, by one rounding.

    Int8 rounds to 255 steps about 0 of the largest number of a row. What is not finite makes its row so.
    """
    if number_format is not torch.int8:
        return states.to(number_format)
    exact = states.float()
    scales = (
        exact.abs().amax(dim=-1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny * MOST).div_(MOST)
    )
    whole = (exact / scales).round_().to(torch.int8)
    return torch.cat([whole, scales.view(torch.int8)], dim=-1)


def write_rows(rows: torch.Tensor, states: torch.Tensor) -> None:
    """Write states (..., D) over rows."""
    rows.copy_(states if rows.dtype is not torch.int8 else as_rows(states, torch.int8))


def as_numbers(rows: torch.Tensor, number_format: torch.dtype) -> torch.Tensor:
    """Rows as states (..., D) of a floating format; the same tensor where that is theirs."""
    if rows.dtype is not torch.int8:
        return rows.to(number_format)
    size = head_size_of(rows)
    scales = rows[..., size:].clone(memory_format=torch.contiguous_format).view(torch.float32)
    return (rows[..., :size].float() * scales).to(number_format)
