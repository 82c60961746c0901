"""svlm's attention under transformers' own hooks: ``AttentionInterface.register`` and that of masks."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, causal_mask_function, sdpa_mask

from svlm_cli.model.attention import GROUPED, grouped_attention
from svlm_cli.model.vision.windows import WINDOWS, windowed_attention


def grouped_mask(
    *, attention_mask: torch.Tensor | None = None, mask_function: Any = causal_mask_function, **kwargs: Any
) -> torch.Tensor | None:
    """transformers' mask function: none for plain causal attention, else the one of SDPA."""
    if attention_mask is None and mask_function is causal_mask_function:
        return None
    return sdpa_mask(attention_mask=attention_mask, mask_function=mask_function, **kwargs)  # type: ignore[no-any-return]


def register_grouped() -> str:
    """Make the kernel known to transformers; its name there. Any number of times."""
    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, grouped_mask)
    return GROUPED


def register_windows() -> str:
    """Make the tower's kernel known to transformers; its name there. Any number of times."""
    AttentionInterface.register(WINDOWS, windowed_attention)
    return WINDOWS
