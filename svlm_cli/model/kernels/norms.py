"""Norms of rows by the compiled kernels, in one pass.

Shape legend: m = rows, d = numbers of a row.
"""

from __future__ import annotations

import torch

from svlm_cli.model.kernels.attention import FORMATS
from svlm_cli.model.kernels.native import Native


def compiled_norm(kernels: Native, rows: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Rows (m, d) over their root mean square, rounded to their format, times weights (d,).

    Args:
        kernels: the compiled ones.
        rows, weight: of one format, float32 or bfloat16, contiguous.
    """
    out = torch.empty(rows.shape, dtype=rows.dtype)
    kernels.functions.svlm_norm(
        kernels.chosen,
        torch.get_num_threads(),
        FORMATS[rows.dtype],
        rows.data_ptr(),
        weight.data_ptr(),
        len(rows),
        rows.shape[1],
        epsilon,
        out.data_ptr(),
    )
    return out
