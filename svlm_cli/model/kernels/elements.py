"""Gates and turned heads by the compiled kernels, in one pass.

Shape legend: m = rows, d = numbers of a row, h = heads, D = head size.
"""

from __future__ import annotations

import torch

from svlm_cli.model.kernels.attention import FORMATS
from svlm_cli.model.kernels.native import Native


def compiled_gate(kernels: Native, rows: torch.Tensor) -> torch.Tensor:
    """SwiGLU of gates and values side by side, (m, 2 d) to (m, d); the gate is rounded to the rows' format.

    Args:
        kernels: the compiled ones.
        rows: float32 or bfloat16, contiguous.
    """
    out = torch.empty((len(rows), rows.shape[1] // 2), dtype=rows.dtype)
    kernels.functions.svlm_gate(
        kernels.chosen,
        torch.get_num_threads(),
        FORMATS[rows.dtype],
        rows.data_ptr(),
        *out.shape,
        out.data_ptr(),
    )
    return out


def compiled_turn(kernels: Native, heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Heads (m, h, D) whose numbers k and k + D / 2 are turned together.

    Products are rounded to the angles' format before they are added up.

    Args:
        kernels: the compiled ones.
        heads: float32 or bfloat16, the heads of a row side by side.
        cos, sin: of the angles, (m, 1, D / 2), float32 or bfloat16, contiguous.
    """
    out = torch.empty(heads.shape, dtype=heads.dtype)
    kernels.functions.svlm_turn(
        kernels.chosen,
        torch.get_num_threads(),
        FORMATS[heads.dtype],
        FORMATS[cos.dtype],
        heads.data_ptr(),
        heads.stride(0),
        cos.data_ptr(),
        sin.data_ptr(),
        *heads.shape[:2],
        heads.shape[2] // 2,
        out.data_ptr(),
    )
    return out
