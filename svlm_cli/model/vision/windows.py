"""The vision tower's attention within windows where there is no flash-attention: many of them at once.

transformers runs its SDPA once per window and block: some 3,000 kernels for a second at 8 FPS, each of which
costs a GPU more to start than to run. Where an implementation's name holds "flash" it hands over all patches
in one call, with the bounds of the windows: that is the hook used here. The CPU's compiled kernels take those
as they are; else windows of one length go together.

Shape legend: n = patches, h = heads, D = head size, w = windows of one length, l = that length.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional

from svlm_cli.model.kernels.attention import attend, can_attend
from svlm_cli.model.kernels.native import native

WINDOWS = "svlm_flash_windows"
MOST_SHORT = 512  # tokens: over so few torch's backward pass on a CPU takes several times as long in bfloat16


def windowed_attention(
    _module: torch.nn.Module | None,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor,
    **_others: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: patches see those of their own window, both ways.

    Gradients flow, as the compiled kernels are left out where some are wanted.

    Args:
        query, key, value: (1, h, n, D).
        cu_seq_lens_q: bounds of the windows, on the host, so that nobody waits for the device.

    Returns:
        (1, n, h, D), and None for the weights.
    """
    is_trained = query.requires_grad or key.requires_grad or value.requires_grad
    if not is_trained and can_attend(query, key) and (kernels := native()) is not None:
        return attend(kernels, query, key, value, scaling, bounds=cu_seq_lens_q.long()), None
    groups = _groups(tuple(cu_seq_lens_q.diff().tolist()), query.device)
    widened = is_trained and query.device.type == "cpu"
    if len(groups) == 1:
        return _within(query, key, value, groups[0][0], scaling, widened=widened), None
    out = query.new_empty((1, query.shape[2], query.shape[1], query.shape[3]))
    for length, places in groups:
        chosen, keys, values = (each.index_select(2, places) for each in (query, key, value))
        out.index_copy_(1, places, _within(chosen, keys, values, length, scaling, widened=widened))
    return out, None


def _within(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    length: int,
    scaling: float | None,
    *,
    widened: bool,
) -> torch.Tensor:
    """Attention of (1, h, w * l, D) within each l: (1, w * l, h, D); ``widened``: short ones in float32."""
    _, num_heads, num_patches, size = query.shape
    chosen, keys, values = (
        each[0].view(num_heads, -1, length, size).transpose(0, 1) for each in (query, key, value)
    )
    widened = widened and length <= MOST_SHORT and query.dtype is torch.bfloat16
    if widened:
        chosen, keys, values = chosen.float(), keys.float(), values.float()
    with torch.autocast("cpu", enabled=False) if widened else nullcontext():  # it would narrow them again
        seen = functional.scaled_dot_product_attention(chosen, keys, values, scale=scaling)
    return seen.transpose(1, 2).reshape(1, num_patches, num_heads, size).to(query.dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # they are kept, and a model that is trained may come next
def _groups(lengths: tuple[int, ...], device: torch.device) -> tuple[tuple[int, torch.Tensor], ...]:
    """Each length with the patches of its windows in order: int64 (w * l,)."""
    ends = torch.tensor(lengths).cumsum(0).tolist()
    places: dict[int, list[torch.Tensor]] = {}
    for length, end in zip(lengths, ends, strict=True):
        places.setdefault(length, []).append(torch.arange(end - length, end))
    return tuple((length, torch.cat(found).to(device)) for length, found in sorted(places.items()))
