"""From the host's memory to the model's device without the host waiting for what is queued there."""

from __future__ import annotations

import torch


def to_device(host: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same values on ``device``, ordered before whatever its current stream is given next.

    To CUDA by way of pinned memory, which torch's allocator keeps and does not hand out again before the copy
    is done. A plain ``to`` would wait for all that the stream was given before.

    Args:
        host: on the CPU; returned as it is where that is the device.
        device: of the model.
    """
    if device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)
