"""What both networks are built of: products with weights side by side, norms, turned heads.

Shape legend: m = rows, d = hidden size, h = heads, D = head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from svlm_cli.model.kernels.elements import compiled_gate, compiled_turn
from svlm_cli.model.kernels.fourbit import Int4Linear
from svlm_cli.model.kernels.native import native
from svlm_cli.model.kernels.norms import compiled_norm
from svlm_cli.model.kernels.panels import panel_kernels
from svlm_cli.model.lean.weights import StoredRows, Weights
from svlm_cli.model.linear import Int8Linear, PackedLinear, PanelLinear, PlainLinear, laid_out

Linear = PanelLinear | PackedLinear | PlainLinear | Int8Linear | Int4Linear


@dataclass(frozen=True, slots=True)
class StoredProduct:
    """One of the stored products that a product is made of: its name without ``.weight``, its outputs."""

    name: str
    num_outputs: int


@dataclass(frozen=True, slots=True)
class Format:
    """Of weights: number format of norms, biases and sums, and how products are stored.

    Args:
        dtype: float32 or bfloat16.
        quantize: ``none``, ``int8`` or ``int4``.
    """

    dtype: torch.dtype
    quantize: str

    @property
    def of_tower(self) -> Format:
        """Of the vision tower, which memory does not bind: bytes where the language model is in four bits."""
        return Format(self.dtype, "int8" if self.quantize == "int4" else self.quantize)

    def linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Linear:
        """A product with a weight (o, i), which is not kept, not quantised."""
        return laid_out(weight, bias)

    def read(self, weights: Weights, names: Sequence[str], bias: torch.Tensor | None = None) -> Linear:
        """A product with stored weights one below another, as they are to run."""
        rows = StoredRows(weights, tuple(names), self.dtype)
        if self.quantize != "none":
            return (Int4Linear if self.quantize == "int4" else Int8Linear)(rows, bias)
        if (kernels := panel_kernels(self.dtype)) is not None:
            return PanelLinear(rows, bias, kernels)
        return self.linear(weights.take(*names, dtype=self.dtype), bias)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Products over the same inputs in one: their outputs stand side by side.

    Args:
        linear: the linear layer with all rows.
        parts: as they are stored.
    """

    linear: Linear
    parts: tuple[StoredProduct, ...]

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors by stored names, each part by itself."""
        found: dict[str, torch.Tensor] = {}
        for key, tensor in self.linear.state_dict().items():
            sizes = [part.num_outputs for part in self.parts]
            for part, own in zip(self.parts, torch.split(tensor, sizes), strict=True):
                found[f"{part.name}.{key}"] = own
        return found


def product(weights: Weights, form: Format, prefix: str, names: Sequence[str], *, bias: bool) -> Product:
    """Read one from a checkpoint: the stored products ``names`` behind ``prefix``."""
    parts = tuple(
        StoredProduct(f"{prefix}{name}", len(weights.view(f"{prefix}{name}.weight"))) for name in names
    )
    own = weights.take(*(f"{part.name}.bias" for part in parts), dtype=form.dtype) if bias else None
    return Product(form.read(weights, [f"{part.name}.weight" for part in parts], own), parts)


def normed(rows: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Rows (m, d) over their root mean square, times weights (d,); computed in float32."""
    if (kernels := native()) is not None and rows.ndim == 2 and rows.is_contiguous():
        return compiled_norm(kernels, rows, weight, epsilon)
    wide = rows.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True).add_(epsilon))
    return (wide * scale).to(rows.dtype).mul_(weight)


def turned(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Heads (m, h, D) whose numbers k and k + D / 2 are turned together by angles (m, 1, D / 2)."""
    has_whole_rows = heads.stride()[1:] == (heads.shape[2], 1) and cos.is_contiguous() and sin.is_contiguous()
    if (kernels := native()) is not None and has_whole_rows:
        return compiled_turn(kernels, heads, cos, sin)
    first, second = heads.chunk(2, dim=-1)
    out = torch.empty(heads.shape, dtype=heads.dtype)
    left, right = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=left).sub_(second * sin)
    torch.mul(second, cos, out=right).add_(first * sin)
    return out


def gated(rows: torch.Tensor) -> torch.Tensor:
    """SwiGLU of gates and values side by side, (m, 2 d) to (m, d)."""
    if (kernels := native()) is not None and rows.is_contiguous():
        return compiled_gate(kernels, rows)
    gate, up = rows.chunk(2, dim=-1)
    return functional.silu(gate).mul_(up)
