"""Which number format a stream's cache has."""

from __future__ import annotations

from typing import Any

import torch

from svlm_cli.errors import UsageError
from svlm_cli.model.states.formats import KV_FORMATS

AUTO = "auto"


def kv_format(wanted: str, network: Any, reads_any: bool, *, is_quantized: bool) -> torch.dtype:
    """What ``--kv-cache`` means for a network on its device.

    Args:
        wanted: ``auto``, or a name of ``KV_FORMATS``.
        network: Hugging Face model.
        reads_any: whether what reads the cache takes any format, or the model's own alone.
        is_quantized: whether its linear layers are rounded more coarsely than bfloat16, which the cache may
            then be in.

    Raises:
        UsageError: nobody knows it, or nothing reads it here.
    """
    own: torch.dtype = network.dtype
    if wanted == AUTO:
        return torch.bfloat16 if is_quantized and reads_any else own
    if wanted not in KV_FORMATS:
        raise UsageError(f"--kv-cache {wanted} is not known", f"use {AUTO}, {', '.join(KV_FORMATS)}")
    chosen = KV_FORMATS[wanted]
    if chosen is not own and not reads_any:
        raise UsageError(
            f"--kv-cache {wanted} under a model in {str(own).removeprefix('torch.')} is for the CPU, "
            "svlm's own attention and words fed plainly",
            "leave it out, or --compile and --graphs",
        )
    return chosen
