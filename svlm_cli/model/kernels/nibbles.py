"""Products with weights in four bits by the compiled kernels.

Shape legend: n = rows, i = inputs, o = outputs, g = groups of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from svlm_cli.model.kernels.memory import zeros
from svlm_cli.model.kernels.native import Native
from svlm_cli.model.kernels.rows import chosen_set

GROUP = 32  # inputs that share a scale
LEAST, MOST = -8, 7


def num_groups(size: int) -> int:
    """Of so many inputs; the last may be shorter."""
    return -(-size // GROUP)


@dataclass(frozen=True, slots=True, eq=False)
class Nibbles:
    """A weight (o, i) in four bits.

    Args:
        kernels: what ``byte_kernels`` gives.
        byte_set: AVX2 or VNNI, whose kernels multiply it.
        memory: uint8, as the kernels read it.
        shape: (o, i).
    """

    kernels: Native
    byte_set: int
    memory: torch.Tensor
    shape: tuple[int, int]

    def lay(self, numbers: torch.Tensor, scales: torch.Tensor, first: int) -> None:
        """Put rows where they belong, once each.

        Args:
            numbers: (k, i), int8 from LEAST to MOST, contiguous.
            scales: (k, g), float16, contiguous.
            first: number of the first row.
        """
        self.kernels.functions.svlm_lay_nibbles(
            self.shape[1],
            numbers.data_ptr(),
            scales.data_ptr(),
            first,
            len(numbers),
            self.memory.data_ptr(),
        )

    def rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers (o, i) and scales (o, g) as they were laid."""
        outputs, size = self.shape
        numbers = torch.empty(self.shape, dtype=torch.int8)
        scales = torch.empty((outputs, num_groups(size)), dtype=torch.float16)
        self.kernels.functions.svlm_take_nibbles(
            size, numbers.data_ptr(), scales.data_ptr(), outputs, self.memory.data_ptr()
        )
        return numbers, scales

    def product(self, inputs: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Rows (n, i) times the weight, in their format; they are brought to bytes group by group.

        Args:
            inputs: float32 or bfloat16, contiguous.
            bias: (o,), float32, or None.

        Raises:
            MemoryError: none for what lies between.
        """
        rows, outputs = len(inputs), self.shape[0]
        out = torch.empty((rows, outputs), dtype=inputs.dtype)
        failed = self.kernels.functions.svlm_nibbles_product(
            self.byte_set,
            torch.get_num_threads(),
            inputs.data_ptr(),
            inputs.dtype is torch.bfloat16,
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


def empty_nibbles(kernels: Native, shape: tuple[int, int], byte_set: int | None = None) -> Nibbles:
    """Room for a weight (o, i); ``byte_set`` as in ``empty_byte_panels``."""
    number = chosen_set(kernels, byte_set)
    return Nibbles(kernels, number, zeros(kernels.functions.svlm_nibble_bytes(*shape)), shape)
