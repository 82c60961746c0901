"""Products with weights in signed bytes by the compiled kernels.

Shape legend: n = rows, i = inputs, o = outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from svlm_cli.model.kernels.memory import zeros
from svlm_cli.model.kernels.native import Native, native

FORMATS = (torch.float32, torch.bfloat16)
MOST_ROWS = 32  # behind which a product of whole matrices is faster
AVX2, VNNI = 1, 2  # what multiplies bytes, by number


@cache
def byte_kernels() -> Native | None:
    """The compiled kernels where this processor has what products of bytes need."""
    kernels = native()
    return kernels if kernels is not None and kernels.functions.svlm_byte_set() else None


def chosen_set(kernels: Native, byte_set: int | None) -> int:
    """The number of a byte set; of the best that this processor has, where none is asked for."""
    return kernels.functions.svlm_byte_set() if byte_set is None else byte_set


@dataclass(frozen=True, slots=True, eq=False)
class BytePanels:
    """A weight (o, i) of signed bytes as the kernels read it from end to end.

    Args:
        kernels: what ``byte_kernels`` gives.
        byte_set: AVX2 or VNNI, whose kernels multiply it.
        memory: int8.
        shape: (o, i).
    """

    kernels: Native
    byte_set: int
    memory: torch.Tensor
    shape: tuple[int, int]

    def lay(self, rows: torch.Tensor, first: int) -> None:
        """Put rows (k, i), int8, contiguous, none -128, where they belong, the first as number ``first``."""
        self.kernels.functions.svlm_lay_byte_panels(
            self.byte_set, *self.shape, rows.data_ptr(), first, len(rows), self.memory.data_ptr()
        )

    def rows(self) -> torch.Tensor:
        """The weight (o, i), int8."""
        found = torch.empty(self.shape, dtype=torch.int8)
        self.kernels.functions.svlm_take_byte_panels(
            self.byte_set, *self.shape, self.memory.data_ptr(), found.data_ptr()
        )
        return found

    def product(
        self, inputs: torch.Tensor, scales: torch.Tensor, sums: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """As ``bytes_product``."""
        rows, outputs = len(inputs), self.shape[0]
        out = torch.empty((rows, outputs), dtype=inputs.dtype)
        failed = self.kernels.functions.svlm_byte_panels_product(
            self.byte_set,
            torch.get_num_threads(),
            inputs.data_ptr(),
            inputs.dtype is torch.bfloat16,
            rows,
            self.shape[1],
            self.memory.data_ptr(),
            scales.data_ptr(),
            sums.data_ptr(),
            None if bias is None else bias.data_ptr(),
            outputs,
            out.data_ptr(),
        )
        if failed:
            raise MemoryError("no memory for a product")
        return out


def empty_byte_panels(
    kernels: Native, shape: tuple[int, int], byte_set: int | None = None
) -> BytePanels | None:
    """Room for a weight (o, i), all zeros; None where torch's products are faster.

    On processors with AMX and VNNI they are: there weights stay in rows.

    Args:
        kernels: what ``byte_kernels`` gives.
        shape: (o, i).
        byte_set: another than the best that this processor has.
    """
    number = chosen_set(kernels, byte_set)
    if kernels.functions.svlm_has_tiles() and number == VNNI:
        return None
    size = kernels.functions.svlm_byte_panel_bytes(number, *shape)
    return BytePanels(kernels, number, zeros(size).view(torch.int8), shape)


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
        kernels: what ``byte_kernels`` gives, on a processor whose byte set is VNNI.
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
