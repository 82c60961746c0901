"""Products with weights in float32 and bfloat16 by the compiled kernels, which lay them out in panels.

Shape legend: n = rows, i = inputs, o = outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from svlm_cli.model.kernels.attention import FORMATS
from svlm_cli.model.kernels.memory import zeros
from svlm_cli.model.kernels.native import Native, native

_FASTER = ("avx2", "avx512", "avx512_bf16", "amx")  # than torch's own products, as far as was measured


def panel_kernels(dtype: torch.dtype) -> Native | None:
    """The compiled kernels where they multiply numbers of this format faster than torch does."""
    kernels = native()
    if kernels is None or kernels.name not in _FASTER or dtype not in (torch.float32, torch.bfloat16):
        return None
    if dtype is torch.float32 or not can_pack(dtype):  # for bfloat16 torch then has a plain loop, far slower
        return kernels
    return kernels if kernels.multiplies_bfloat16 and not kernels.functions.svlm_has_tiles() else None


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and multiplies this number format on this processor."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype is torch.float32 or (
        dtype is torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


@dataclass(frozen=True, slots=True, eq=False)
class Panels:
    """A weight (o, i) as the kernels of an instruction set read it.

    Args:
        kernels: the compiled ones.
        chosen: number of the instruction set.
        memory: uint8.
        shape: (o, i).
        dtype: float32 or bfloat16.
    """

    kernels: Native
    chosen: int
    memory: torch.Tensor
    shape: tuple[int, int]
    dtype: torch.dtype

    def lay(self, rows: torch.Tensor, first: int) -> None:
        """Put rows (k, i) of the weight where they belong, the first of them as number ``first``."""
        rows = rows.to(self.dtype).contiguous()
        self.kernels.functions.svlm_lay_panels(
            *(self.chosen, FORMATS[self.dtype], *self.shape, rows.data_ptr(), first, len(rows)),
            self.memory.data_ptr(),
        )

    def rows(self) -> torch.Tensor:
        """The weight (o, i)."""
        found = torch.empty(self.shape, dtype=self.dtype)
        self.kernels.functions.svlm_take_panels(
            *(self.chosen, FORMATS[self.dtype], *self.shape, self.memory.data_ptr(), found.data_ptr())
        )
        return found

    def product(self, inputs: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Rows (n, i), contiguous, times the weight, in its format; sums are float32.

        Args:
            inputs: of the weight's format.
            bias: (o,), float32, or None.

        Raises:
            MemoryError: none for what lies between.
        """
        rows, outputs = len(inputs), self.shape[0]
        out = torch.empty((rows, outputs), dtype=self.dtype)
        failed = self.kernels.functions.svlm_panels_product(
            self.chosen,
            torch.get_num_threads(),
            FORMATS[self.dtype],
            inputs.data_ptr(),
            rows,
            self.shape[1],
            self.memory.data_ptr(),
            None if bias is None else bias.data_ptr(),
            outputs,
            out.data_ptr(),
        )
        if failed:
            raise MemoryError("no memory for a product")
        return out


def empty_panels(
    kernels: Native, shape: tuple[int, int], dtype: torch.dtype, chosen: int | None = None
) -> Panels:
    """Room for a weight (o, i), all zeros.

    Args:
        chosen: number of another instruction set that this processor has.
    """
    number = kernels.chosen if chosen is None else chosen
    size = kernels.functions.svlm_panel_bytes(number, FORMATS[dtype], *shape)
    return Panels(kernels, number, zeros(size), shape, dtype)
