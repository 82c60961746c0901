"""A loaded network made ready to stream on its device: number formats and layouts of its linear layers."""

from __future__ import annotations

from typing import Any

import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.linear import Int8Linear, PackedLinear, can_pack, replace_linears

QUANTIZATIONS = ("none", "int8")


def check_quantize(quantize: str, device: torch.device) -> None:
    """Whether there are kernels for it.

    Raises:
        UsageError: there are none, or nobody knows it.
    """
    if quantize not in QUANTIZATIONS:
        raise UsageError(f"--quantize {quantize} is not known", f"use {' or '.join(QUANTIZATIONS)}")
    if quantize == "int8" and device.type != "cpu":
        raise UsageError("--quantize int8 is for the CPU", "on CUDA use --dtype bfloat16, or --device cpu")


def prepare(network: Any, quantize: str, *, packed: bool) -> None:
    """Change the linear layers of a network on its device, in place; it cannot be trained afterwards.

    Args:
        network: Hugging Face model.
        quantize: ``none`` or ``int8``.
        packed: lay weights out for the kernels of this CPU, where it has some.
    """
    weight = network.lm_head.weight
    if quantize == "int8":
        replace_linears(network, Int8Linear)
    elif packed and weight.device.type == "cpu" and can_pack(weight.dtype):
        replace_linears(network, PackedLinear)
