"""Linear layers for streaming on a CPU: weights laid out once for its kernels, or in eight bits.

Shape legend: ... x i = inputs of any leading shape, o = outputs. Both kinds take the place of
``torch.nn.Linear`` in a loaded network; neither can be trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

MOST = 127  # of a signed byte, symmetric
ROWS_EXPECTED = 1  # oneDNN's layout for words; a prefill loses a few percent of its gain by it


class PackedLinear(torch.nn.Module):
    """A linear layer whose weight oneDNN has laid out for its own kernels.

    ``torch.nn.Linear`` lays it out anew at every call in bfloat16, and leaves float32 to a library whose
    product of one row with a matrix is slower on some processors.

    Args:
        linear: float32 or bfloat16, on the CPU; not kept.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS_EXPECTED)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., i) to (..., o), in the weight's number format."""
        bias = self._parameters.get("bias")  # past Module.__getattr__, at 1 µs a layer
        return torch.ops.mkldnn._linear_pointwise.default(  # type: ignore[no-any-return]
            inputs, self._packed, bias, "none", [], ""
        )

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self._packed.to_dense()


class Int8Linear(torch.nn.Module):
    """Weights in signed bytes with a scale for each output, inputs in signed bytes with a scale for each row.

    The product is torch's own of bytes (``torch._int_mm``, whole numbers added up in 32 bits), so what is
    lost is the rounding of both sides to 255 steps about 0 ("vector-wise", arXiv 2208.07339, section 2).

    Args:
        linear: any floating format, on the CPU; not kept.
    """

    weight: torch.Tensor
    scales: torch.Tensor

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = None if linear.bias is None else torch.nn.Parameter(linear.bias.detach().float(), False)
        weight, scales = _to_bytes(linear.weight.detach().float())
        self.register_buffer("weight", weight)
        self.register_buffer("scales", scales[:, 0])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., i) to (..., o), in the inputs' number format."""
        rows, scales = _to_bytes(inputs.reshape(-1, self.in_features).float())
        out = torch._int_mm(rows, self.weight.t()).float().mul_(self.scales).mul_(scales)
        if self.bias is not None:
            out = out.add_(self.bias)
        return out.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)


def _to_bytes(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row of (n, i) as int8 (n, i) and float32 (n, 1), whose product it is but for rounding."""
    scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny).div_(MOST)
    return (rows / scales).round_().to(torch.int8), scales


def replace_linears(network: torch.nn.Module, make: Callable[[torch.nn.Linear], torch.nn.Module]) -> int:
    """Put ``make(layer)`` in the place of every linear layer, one after another: memory is not doubled.

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
            setattr(parent, name, make(getattr(parent, name)))
    return len(places)


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and multiplies this number format on this processor."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype is torch.float32 or (
        dtype is torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
