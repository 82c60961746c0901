"""Linear layers in four bits, for words that are bound by memory.

Shape legend: ... x i = inputs of any leading shape, o = outputs, g = groups of inputs.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from svlm_cli.model.kernels.nibbles import GROUP, LEAST, MOST, empty_nibbles, num_groups
from svlm_cli.model.kernels.rows import FORMATS, byte_kernels
from svlm_cli.model.linear import ROWS_AT_ONCE, RowBlocks

_MOST_SCALE = 65504.0  # of float16
_BYTES = 127.0


class Int4Linear(torch.nn.Module):
    """Weights in four bits, inputs in signed bytes, both with a scale for each group of 32 inputs.

    Sums within a group are of whole numbers (by the compiled kernels; where this processor has none, in
    float32, far slower).

    Args:
        weight: (o, i), any floating format, on the CPU; or what gives its rows, some at a time.
        bias: (o,) or None.
        traced: see ``Int8Linear``.
    """

    def __init__(
        self, weight: torch.Tensor | RowBlocks, bias: torch.Tensor | None, *, traced: bool = False
    ) -> None:
        super().__init__()
        self.register_buffer("bias", None if bias is None else bias.float())
        self.out_features, self.in_features = shape = (weight.shape[0], weight.shape[1])
        kernels = None if traced else byte_kernels()
        self._nibbles = None if kernels is None else empty_nibbles(kernels, shape)
        if self._nibbles is None:
            self._numbers = torch.empty(shape, dtype=torch.int8)
            self._scales = torch.empty((shape[0], num_groups(shape[1])), dtype=torch.float16)
        start = 0
        for block in weight.split(ROWS_AT_ONCE):
            numbers, scales = to_nibbles(block.float())
            if self._nibbles is None:
                self._numbers[start : start + len(block)] = numbers
                self._scales[start : start + len(block)] = scales
            else:
                self._nibbles.lay(numbers, scales, start)
            start += len(block)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., i) to (..., o), in the inputs' number format."""
        flat, bias = inputs.reshape(-1, self.in_features).contiguous(), self._buffers["bias"]
        if self._nibbles is not None and inputs.dtype in FORMATS:
            found = self._nibbles.product(flat, bias)
        else:
            found = functional.linear(_in_bytes(flat.float()), self.dense(), bias).to(inputs.dtype)
        return found if inputs.ndim == 2 else found.view(*inputs.shape[:-1], self.out_features)

    def dense(self) -> torch.Tensor:
        """The weight (o, i) multiplied out, float32."""
        numbers, scales = self.stored()
        return _multiplied(numbers.float(), scales.float())

    def stored(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers from -8 to 7 (o, i), int8, and scales (o, g), float16."""
        return (self._numbers, self._scales) if self._nibbles is None else self._nibbles.rows()

    def _save_to_state_dict(self, destination: dict[str, torch.Tensor], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        numbers, destination[f"{prefix}scales"] = self.stored()
        nibbles = functional.pad(numbers - LEAST, (0, self.in_features % 2)).to(torch.uint8)
        destination[f"{prefix}weight"] = nibbles[:, ::2] | nibbles[:, 1::2] << 4  # two in a byte


def to_nibbles(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (n, i), float32, as numbers from -8 to 7, int8 (n, i), and scales, float16 (n, g).

    The number farthest from 0 in a group becomes -8; the scale is then the one that loses least.
    """
    groups = _grouped(rows)
    farthest = groups.gather(-1, groups.abs().argmax(dim=-1, keepdim=True))
    numbers = _rounded(groups, farthest / LEAST)
    norm = numbers.square().sum(-1, keepdim=True)
    scales = torch.where(norm > 0, (groups * numbers).sum(-1, keepdim=True) / norm, 0)
    scales = scales.clamp_(-_MOST_SCALE, _MOST_SCALE).to(torch.float16)
    numbers = _rounded(groups, scales.float()).to(torch.int8)
    return numbers.view(len(rows), -1)[:, : rows.shape[1]].contiguous(), scales[..., 0].contiguous()


def _rounded(groups: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return torch.where(scales == 0, 0, groups / scales).round_().clamp_(LEAST, MOST)


def _grouped(rows: torch.Tensor) -> torch.Tensor:
    """(n, i) to (n, g, 32), zeros behind."""
    size = rows.shape[1]
    return functional.pad(rows, (0, num_groups(size) * GROUP - size)).view(len(rows), -1, GROUP)


def _multiplied(numbers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """(n, i) times (n, g)."""
    return (_grouped(numbers) * scales[..., None]).flatten(1)[:, : numbers.shape[1]]


def _in_bytes(rows: torch.Tensor) -> torch.Tensor:
    """Rows (n, i) as they are once they have been bytes with a scale for each group."""
    groups = _grouped(rows)
    least = torch.finfo(torch.float32).tiny
    scales = groups.abs().amax(dim=-1, keepdim=True).clamp_(min=least).div_(_BYTES)
    return (groups.div(scales).round_() * scales).flatten(1)[:, : rows.shape[1]]
