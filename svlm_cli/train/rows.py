"""The head on trained rows alone, also where transformers cannot be told so."""

from __future__ import annotations

from typing import Any

import torch
import transformers


def keep_trained_rows(network: Any) -> None:
    """Let ``network`` take a mask (B, N) as ``logits_to_keep``, for logits of shape (rows kept, v).

    Newer versions of transformers do so by themselves; older ones (5.17) know only columns that are the same
    for every sample. There, forward pre-hooks of the network and of its head do.

    Args:
        network: a Hugging Face model with ``lm_head``.
    """
    if hasattr(transformers.modeling_utils, "slice_logits_to_keep"):
        return
    chosen: list[torch.Tensor] = []

    def take(_module: Any, arguments: Any, inputs: dict[str, Any]) -> Any:
        chosen.clear()
        rows = inputs.get("logits_to_keep")
        if not isinstance(rows, torch.Tensor) or rows.ndim != 2:
            return None
        chosen.append(rows)
        return arguments, {name: value for name, value in inputs.items() if name != "logits_to_keep"}

    def keep(_module: Any, arguments: Any) -> Any:
        return (arguments[0][chosen.pop()],) if chosen else None

    network.register_forward_pre_hook(take, with_kwargs=True)
    network.lm_head.register_forward_pre_hook(keep)
