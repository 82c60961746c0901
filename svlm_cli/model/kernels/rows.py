"""Products with weights in signed bytes by the compiled kernels.

Shape legend: n = rows, i = inputs, o = outputs.
"""

from __future__ import annotations

from functools import cache

import torch

from svlm_cli.model.kernels.native import Native, native

FORMATS = (torch.float32, torch.bfloat16)
MOST_ROWS = 32  # behind which a product of whole matrices is faster


@cache
def byte_kernels() -> Native | None:
    """The compiled kernels where this processor has what products of bytes need."""
    kernels = native()
    return kernels if kernels is not None and kernels.functions.svlm_has_bytes() else None


def bytes_product(
    kernels: Native,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    sums: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Rows of numbers times weights of bytes; the rows are brought to bytes with a scale each.

    Args:
        kernels: what ``byte_kernels`` gives.
        inputs: (n, i), float32 or bfloat16, contiguous.
        weight: (o, i), int8, contiguous.
        scales: (o,), float32.
        sums: (o,), int32, of the rows of ``weight``.
        bias: (o,), float32, or None.

    Returns:
        (n, o), in the inputs' number format.

    Raises:
        MemoryError: none for what lies between.
    """
    (rows, size), outputs = inputs.shape, len(weight)
    out = torch.empty((rows, outputs), dtype=inputs.dtype)
    is_bf16, no_bias = inputs.dtype is torch.bfloat16, bias is None
    functions = kernels.functions
    if rows <= MOST_ROWS:
        failed = functions.svlm_bytes_rows(
            torch.get_num_threads(),
            inputs.data_ptr(),
            is_bf16,
            rows,
            size,
            weight.data_ptr(),
            scales.data_ptr(),
            sums.data_ptr(),
            None if no_bias else bias.data_ptr(),  # type: ignore[union-attr]
            outputs,
            out.data_ptr(),
        )
        if failed:
            raise MemoryError("no memory for a product")
        return out
    small, own = torch.empty((rows, size), dtype=torch.int8), torch.empty(rows)
    functions.svlm_to_bytes(inputs.data_ptr(), is_bf16, rows, size, small.data_ptr(), own.data_ptr())
    whole = torch._int_mm(small, weight.t())
    functions.svlm_from_sums(
        whole.data_ptr(),
        rows,
        outputs,
        own.data_ptr(),
        scales.data_ptr(),
        None if no_bias else bias.data_ptr(),  # type: ignore[union-attr]
        out.data_ptr(),
        is_bf16,
    )
    return out
