"""Devices and number formats by their names, and the way from the host's memory to a device."""

from __future__ import annotations

import os

import torch

from svlm_cli.errors import ModelError, UsageError

QUANTIZATIONS = ("none", "int8", "int4")
# How many products oneDNN, and torch for it, keep ready: 1,024 of their own accord, one for each size. A step
# has some twenty; where prefills or batches come in hundreds of sizes, the others took gigabytes.
KEPT_SIZES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32", "LRU_CACHE_CAPACITY": "32"}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def keep_few_sizes() -> None:
    """Let torch's CPU kernels forget products of sizes long gone; what the environment says already stays.

    Of use before the first product of a process.
    """
    for name, number in KEPT_SIZES.items():
        os.environ.setdefault(name, number)


def to_device(host: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same values on ``device``, ordered before whatever its current stream is given next.

    The host does not wait for what is queued there: to CUDA it goes by way of pinned memory, which torch's
    allocator keeps and does not hand out again before the copy is done. A plain ``to`` would wait.

    Args:
        host: a tensor on the CPU; returned as it is where that is the device.
        device: the device of the model.
    """
    if device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)


def named_device(device: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        UsageError: nobody knows it.
        ModelError: it is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError:
        where = torch.device("meta")
    if where.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {device} is not known", "use auto, cpu, cuda or cuda:N")
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"--device {device}: torch sees {torch.cuda.device_count()} CUDA devices",
            "use --device cpu, or install a CUDA build of torch",
        )
    return where


def named_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The number format that ``--dtype`` names, on this device.

    Raises:
        UsageError: nobody knows it.
    """
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype} is not known", "use auto, float32 or bfloat16")
    return DTYPES[dtype]


def multiplies_bfloat16() -> bool:
    """Whether torch multiplies bfloat16 by instructions for it on the device that it would train on."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    has_some = any(has for name, has in known.items() if name.endswith("bf16"))
    # Without its library torch uses none of them.
    return has_some and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def multiplies_bytes() -> bool:
    """Whether torch multiplies bytes on this processor by its own instructions, not one by one."""
    known = torch.cpu.get_capabilities()
    return any(known.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def check_quantize(quantize: str, device: torch.device) -> None:
    """Whether there are kernels for it.

    Raises:
        UsageError: there are none, or nobody knows it.
    """
    if quantize not in QUANTIZATIONS:
        raise UsageError(f"--quantize {quantize} is not known", f"use {', '.join(QUANTIZATIONS)}")
    if quantize != "none" and device.type != "cpu":
        raise UsageError(
            f"--quantize {quantize} is for the CPU", "on CUDA use --dtype bfloat16, or --device cpu"
        )
