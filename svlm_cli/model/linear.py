"""Linear layers for streaming on a CPU: weights laid out once for its kernels, or in eight bits.

Shape legend: ... x i = inputs of any leading shape, o = outputs. They take the place of ``torch.nn.Linear``
in a loaded network; none can be trained. A weight or bias that is given is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch.nn import functional

from svlm_cli.model.device import multiplies_bytes
from svlm_cli.model.kernels.memory import zeros
from svlm_cli.model.kernels.native import Native
from svlm_cli.model.kernels.panels import can_pack, empty_panels, panel_kernels
from svlm_cli.model.kernels.rows import FORMATS, byte_kernels, bytes_product, empty_byte_panels

MOST = 127  # of a signed byte, symmetric
ROWS_AT_ONCE = 1024  # of a weight that are brought to bytes
FEW_ROWS = 4  # of bfloat16, up to which torch's plain loop is no slower than widening a weight
WIDENED_AT_ONCE = 2**19  # numbers: as float32 they stay in the cache
ROWS_EXPECTED = 1  # oneDNN's layout for words; a prefill loses a few percent of its gain by it


class PlainLinear(torch.nn.Module):
    """A linear layer whose weight stays in rows, where the CPU has no layout of its own.

    Of more than a few rows in bfloat16 the product is of float32: torch has a plain loop for it there.

    Args:
        weight: (o, i).
        bias: (o,) or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("bias", bias)
        self.register_buffer("weight", weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., i) to (..., o), in the weight's number format."""
        weight, bias = self._buffers["weight"], self._buffers["bias"]
        assert weight is not None
        if inputs.dtype is not torch.bfloat16 or inputs.numel() <= FEW_ROWS * self.in_features:
            return functional.linear(inputs, weight, bias)
        wide = _widened_product(inputs.float(), weight)
        return (wide if bias is None else wide.add_(bias)).to(torch.bfloat16)

    def dense(self) -> torch.Tensor:
        """The weight (o, i)."""
        return self._buffers["weight"]  # type: ignore[return-value]


class PackedLinear(torch.nn.Module):
    """A linear layer whose weight oneDNN has laid out for its own kernels.

    ``torch.nn.Linear`` lays it out anew at every call in bfloat16, and leaves float32 to a library whose
    product of one row with a matrix is slower on some processors.

    Args:
        weight: (o, i), float32 or bfloat16, on the CPU.
        bias: (o,) of the same format, or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.dtype = weight.dtype
        self.register_buffer("bias", bias)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS_EXPECTED)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., i) to (..., o), in the weight's number format."""
        bias = self._buffers["bias"]  # past Module.__getattr__, at 1 µs a layer
        return torch.ops.mkldnn._linear_pointwise.default(  # type: ignore[no-any-return]
            inputs, self._packed, bias, "none", [], ""
        )

    def dense(self) -> torch.Tensor:
        """The weight (o, i), laid out as it was."""
        return self._packed.to_dense()  # type: ignore[no-any-return]

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.dense()


class PanelLinear(torch.nn.Module):
    """A linear layer whose weight the compiled kernels have laid out: a word reads it from end to end.

    Args:
        weight: (o, i), float32 or bfloat16, on the CPU; or what gives its rows, some at a time.
        bias: (o,) of any format, or None.
        kernels: what ``panel_kernels`` gives.
    """

    def __init__(self, weight: torch.Tensor | RowBlocks, bias: torch.Tensor | None, kernels: Native) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("bias", bias)
        self.dtype = weight.dtype
        self._wide = None if bias is None else bias.float()
        self._panels = empty_panels(kernels, (self.out_features, self.in_features), weight.dtype)
        start = 0
        for block in weight.split(ROWS_AT_ONCE):
            self._panels.lay(block, start)
            start += len(block)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., i) to (..., o), in the weight's number format."""
        if inputs.ndim == 2 and inputs.is_contiguous():
            return self._panels.product(inputs, self._wide)
        flat = inputs.reshape(-1, self.in_features).contiguous()
        return self._panels.product(flat, self._wide).view(*inputs.shape[:-1], self.out_features)

    def dense(self) -> torch.Tensor:
        """The weight (o, i), laid out as it was."""
        return self._panels.rows()

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.dense()


class RowBlocks(Protocol):
    """A weight that is read a few rows at a time."""

    @property
    def shape(self) -> torch.Size:
        """(o, i)."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the rows given."""

    def __len__(self) -> int:
        """o."""

    def split(self, num_rows: int) -> Iterable[torch.Tensor]:
        """Its rows in order, about so many at a time."""


class Int8Linear(torch.nn.Module):
    """Weights in signed bytes with a scale for each output, inputs in signed bytes with a scale for each row.

    The product is of bytes, whole numbers added up in 32 bits (by the compiled kernels or ``torch._int_mm``);
    where the processor has neither it is of the same numbers in float32, exact up to 2^24. So what is lost is
    the rounding of both sides to 255 steps about 0 ("vector-wise", arXiv 2208.07339, 2).

    Args:
        weight: (o, i), any floating format, on the CPU; or what gives its rows, some at a time.
        bias: (o,) or None.
        traced: by torch alone, as ``torch.compile`` cannot look into the compiled kernels.
    """

    scales: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self, weight: torch.Tensor | RowBlocks, bias: torch.Tensor | None, *, traced: bool = False
    ) -> None:
        super().__init__()
        self._kernels = None if traced else byte_kernels()
        self._traced, self._by_torch = traced, multiplies_bytes()
        self.register_buffer("bias", None if bias is None else bias.float())
        self.out_features, self.in_features = shape = (weight.shape[0], weight.shape[1])
        scales = torch.empty(len(weight))
        self._sums = torch.empty(len(weight), dtype=torch.int32)
        self._panels = None if self._kernels is None else empty_byte_panels(self._kernels, shape)
        whole = zeros(0 if self._panels is not None else shape[0] * shape[1]).view(torch.int8)
        self._rows = whole.view(-1, shape[1])  # (o, i), or none where there are panels
        start = 0
        for block in weight.split(ROWS_AT_ONCE):
            rows = slice(start, start + len(block))
            small, scales[rows, None] = _to_bytes(block.float())
            self._sums[rows] = small.sum(dim=1, dtype=torch.int32)
            if self._panels is None:
                self._rows[rows] = small
            else:
                self._panels.lay(small, start)
            start = rows.stop
        self.register_buffer("scales", scales)

    @property
    def weight(self) -> torch.Tensor:
        """Bytes (o, i)."""
        return self._rows if self._panels is None else self._panels.rows()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., i) to (..., o), in the inputs' number format."""
        scales, bias = self._buffers["scales"], self._buffers["bias"]
        assert scales is not None
        if self._kernels is not None and inputs.dtype in FORMATS:
            flat = inputs.reshape(-1, self.in_features).contiguous()
            if self._panels is not None:
                out = self._panels.product(flat, scales, self._sums, bias)
            else:
                out = bytes_product(self._kernels, flat, self._rows, scales, self._sums, bias)
            return out if inputs.ndim == 2 else out.view(*inputs.shape[:-1], self.out_features)
        rows, own = _to_bytes(inputs.reshape(-1, self.in_features).float())
        if self._by_torch:
            out = torch._int_mm(rows, self.weight.t()).float()
        elif self._traced:  # each part of a widened weight would be compiled by itself
            out = functional.linear(rows.float(), self.weight.float())
        else:
            out = _widened_product(rows.float(), self.weight)
        out = out.mul_(scales).mul_(own)
        if bias is not None:
            out = out.add_(bias)
        return out.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)

    def dense(self) -> torch.Tensor:
        """The weight (o, i) multiplied out, float32."""
        return self.weight * self.scales[:, None]

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight


def has_products(quantize: str, *, traced: bool = False) -> bool:
    """Whether this processor multiplies weights of a format by anything faster than float32.

    Args:
        quantize: ``none``, ``int8`` or ``int4``.
        traced: see ``Int8Linear``.
    """
    if quantize == "none" or (byte_kernels() is not None and not traced):
        return True
    return quantize == "int8" and multiplies_bytes()


def _widened_product(inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Inputs (..., i), float32, times a weight (o, i) that is widened a few rows at a time: (..., o)."""
    out = inputs.new_empty(*inputs.shape[:-1], len(weight))
    num_rows = max(1, WIDENED_AT_ONCE // weight.shape[1])
    for first in range(0, len(weight), num_rows):
        rows = slice(first, first + num_rows)
        out[..., rows] = functional.linear(inputs, weight[rows].float())
    return out


def _to_bytes(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row of (n, i) as int8 (n, i) and float32 (n, 1), whose product it is but for rounding."""
    scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny).div_(MOST)
    return (rows / scales).round_().to(torch.int8), scales


Make = Callable[[torch.Tensor, torch.Tensor | None], torch.nn.Module]


def replace_linears(network: torch.nn.Module, make: Make) -> int:
    """Put ``make(weight, bias)`` in the place of every linear layer, one by one: memory is not doubled.

    Returns:
        How many there were.
    """
    places = [
        (parent, name)
        for parent in network.modules()
        for name, child in parent.named_children()
        if type(child) is torch.nn.Linear
    ]
    with torch.no_grad():
        for parent, name in places:
            layer = getattr(parent, name)
            bias = None if layer.bias is None else layer.bias.detach()
            setattr(parent, name, make(layer.weight.detach(), bias))
    return len(places)


def laid_out(weight: torch.Tensor, bias: torch.Tensor | None) -> PanelLinear | PackedLinear | PlainLinear:
    """A linear layer in the layout that this processor multiplies fastest.

    Args:
        weight: (o, i), float32 or bfloat16, on the CPU.
        bias: (o,) or None.
    """
    if (kernels := panel_kernels(weight.dtype)) is not None:
        return PanelLinear(weight, bias, kernels)
    return PackedLinear(weight, bias) if can_pack(weight.dtype) else PlainLinear(weight, bias)
