"""The best rates that kernels of this process reach: multiplications by number format, and bytes read."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional

from svlm_cli.model.device import multiplies_bytes
from svlm_cli.model.kernels.fourbit import Int4Linear
from svlm_cli.model.kernels.memory import zeros
from svlm_cli.model.kernels.native import native
from svlm_cli.model.kernels.panels import can_pack, panel_kernels
from svlm_cli.model.linear import Int8Linear, PackedLinear, PanelLinear, PlainLinear
from svlm_cli.stream.trace import Stopwatch

BYTES_READ = 1 << 27  # more than a processor keeps
REPEATS = 4
MOST_SHAPES = 3  # of a format, those with most to multiply
FEW_ROWS = 32  # at which a product is bound by memory, not by the processor
MANY_ROWS = 256


@dataclass(frozen=True, slots=True)
class ProductShape:
    """Of a product: rows times a weight (outputs, size)."""

    number_format: str
    num_rows: int
    outputs: int
    size: int

    @property
    def multiplications(self) -> int:
        """Of numbers."""
        return self.num_rows * self.outputs * self.size


def product_format(linear: torch.nn.Module) -> str:
    """In which a linear layer keeps its weight: ``float32``, ``bfloat16``, ``int8``, ``int4``."""
    if isinstance(linear, Int8Linear | Int4Linear):
        return "int8" if isinstance(linear, Int8Linear) else "int4"
    if isinstance(linear, PanelLinear | PackedLinear):
        return str(linear.dtype).removeprefix("torch.")
    return str(linear.weight.dtype).removeprefix("torch.")


def weight_bytes(number_format: str, outputs: int, size: int) -> int:
    """Of a weight (outputs, size) with its scales."""
    if number_format == "int4":
        return outputs * size * 9 // 16
    if number_format == "int8":
        return outputs * (size + 4)
    return outputs * size * (4 if number_format == "float32" else 2)


def attention_format(states: torch.dtype, device: torch.device) -> str:
    """In which keys and values of a format can be multiplied."""
    if states is torch.float32:
        return "float32"
    if device.type != "cpu":
        return "bfloat16"
    kernels = native()
    is_multiplied = can_pack(torch.bfloat16) if kernels is None else kernels.multiplies_bfloat16
    return "bfloat16" if is_multiplied else "float32"


class Rates:
    """Measured when they are first asked for.

    Args:
        device: where the products run.
        clock: for the CPU; on CUDA device events measure.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self._device = device
        self._clock = clock
        self._bandwidth: float | None = None
        self._best: dict[str, float] = {}

    def bandwidth(self) -> float:
        """Bytes a second that are read from memory, by the fastest of some ways."""
        if self._bandwidth is None:
            self._bandwidth = BYTES_READ / min(self._seconds(way) for way in self._readings())
        return self._bandwidth

    def best(self, number_format: str, shapes: Counter[ProductShape]) -> float:
        """Multiplications a second in a format: the fastest kernel on any of the shapes; of the first call's.

        Args:
            shapes: of what is run, in any format. Where none of this format has many rows, its largest
                weights, and else the largest of any format, are taken with as many as a prefill may have.
        """
        if number_format not in self._best:
            self._best[number_format] = max(
                shape.multiplications / self._seconds(kernel)
                for shape in _largest(number_format, shapes)
                for kernel in self._kernels(shape)
            )
        return self._best[number_format]

    def _seconds(self, work: Callable[[], object]) -> float:
        work()
        taken = []
        for _ in range(REPEATS):
            watch = Stopwatch(self._device, self._clock)
            work()
            watch.lap("work")
            taken.append(watch.laps["work"])
        return max(min(taken), 1e-9)

    def _readings(self) -> Iterator[Callable[[], object]]:
        if self._device.type != "cpu":
            numbers = torch.zeros(BYTES_READ // 4, device=self._device)
            yield numbers.sum
            return
        yield zeros(BYTES_READ).view(torch.float32).sum
        if (kernels := panel_kernels(torch.float32)) is not None:
            size = 1024
            layer = PanelLinear(torch.ones(BYTES_READ // 4 // size, size), None, kernels)
            row = torch.ones(1, size)
            yield lambda: layer(row)

    def _kernels(self, shape: ProductShape) -> Iterator[Callable[[], object]]:
        """Ways to multiply it, each with numbers of its own, which are let go of behind it."""
        is_whole = shape.number_format in ("int8", "int4")
        dtype = torch.float32 if is_whole else getattr(torch, shape.number_format)
        rows = torch.randn(shape.num_rows, shape.size, device=self._device).to(dtype)
        weight = torch.randn(shape.outputs, shape.size, device=self._device).to(dtype)
        if is_whole:
            yield functools.partial(Int8Linear(weight, None), rows)
            if shape.number_format == "int4":
                yield functools.partial(Int4Linear(weight, None), rows)
            fits = shape.size % 8 == 0 and shape.outputs % 8 == 0 and shape.num_rows > 16
            if fits and (self._device.type == "cuda" or multiplies_bytes()):
                small, other = (each.mul(16).to(torch.int8) for each in (rows, weight))
                yield lambda: torch._int_mm(small, other.t())
            return
        if self._device.type == "cuda" or can_pack(dtype):
            yield lambda: functional.linear(rows, weight)
        else:
            slow = PlainLinear(weight, None)
            yield lambda: slow(rows)
        if self._device.type == "cpu" and can_pack(dtype):
            packed = PackedLinear(weight, None)
            yield lambda: packed(rows)
        if self._device.type == "cpu" and (kernels := panel_kernels(dtype)) is not None:
            panels = PanelLinear(weight, None, kernels)
            yield lambda: panels(rows)


def _largest(number_format: str, shapes: Counter[ProductShape]) -> list[ProductShape]:
    own = [shape for shape in shapes if shape.number_format == number_format] or list(shapes)
    many = [shape for shape in own if shape.num_rows >= FEW_ROWS]
    many = many or [ProductShape(number_format, MANY_ROWS, shape.outputs, shape.size) for shape in own]
    ordered = sorted(many, key=lambda shape: shape.multiplications, reverse=True)[:MOST_SHAPES]
    return [ProductShape(number_format, shape.num_rows, shape.outputs, shape.size) for shape in ordered]
