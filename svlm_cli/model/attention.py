"""Attention of a stream: grouped heads as they are, the cached part without a mask.

Shape legend: h = query heads, H = key/value heads, g = h / H, m = new tokens, n = cached tokens,
D = head size.

transformers' SDPA repeats every key head g times as soon as there is a mask, and a prefill over a cache has
one of m x (n + m). Here the g query heads that share a key head become g * m rows of it, so nothing is
repeated; every new token sees all n cached ones, so that part needs no mask; only the m x m corner is causal.
The two parts are joined by their log-sum-exps (the online softmax of FlashAttention, arXiv 2205.14135). On
the CPU the compiled kernels do all of it in one pass, where they are there; else bfloat16 goes by blocks.

transformers calls it by its own hook (``hooks.attention``). Whatever is no plain causal attention of one
stream (a padding mask, packed rows, training) goes to transformers' SDPA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from svlm_cli.model.kernels.attention import attend, can_attend
from svlm_cli.model.kernels.blocks import attend_by_blocks
from svlm_cli.model.kernels.native import native
from svlm_cli.model.kernels.panels import can_pack
from svlm_cli.model.kernels.shares import SharePlaces, attend_shares, share_places
from svlm_cli.model.states.formats import as_numbers
from svlm_cli.model.states.tail import Tail, write_tails

GROUPED = "svlm_grouped"


def last_of(lengths: Sequence[int]) -> torch.Tensor | None:
    """The last rows of streams that lie end to end, int64; None where these are all the rows there are."""
    return torch.tensor(lengths).cumsum(0) - 1 if max(lengths) > 1 else None


class Shares:
    """Whose the rows of a forward are: several streams lie end to end in it, each sees its own cache alone.

    Args:
        tails: the tail of each stream's cache, as long as its rows.
    """

    def __init__(self, tails: Sequence[Tail]) -> None:
        self._tails = tails
        self._lengths = [tail.num_new for tail in tails]
        self._formats = {tail.keys.dtype for tail in tails}
        self._places: SharePlaces | None = None

    @property
    def last_rows(self) -> torch.Tensor | None:
        """As ``last_of`` the lengths."""
        return last_of(self._lengths)

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
    ) -> torch.Tensor:
        """Write new states to their owners and attend to each one's own: (1, q, h, D).

        Args:
            layer: its number.
            query: (1, h, q, D), of all m rows, m the sum of the lengths; or of ``last_rows`` alone.
            key, value: (1, H, m, D).
        """
        of_last = query.shape[2] < key.shape[2]
        compiled = native() if len(self._formats) == 1 and can_attend(query, self._tails[0].keys) else None
        is_written = (
            compiled is not None and key.dtype is self._tails[0].keys.dtype is query.dtype and not of_last
        )
        if not is_written:
            self._write(layer, key, value)
        if compiled is not None and of_last:
            return attend_shares(
                compiled, query, None, share_places(self._tails, of_last=True), layer, scaling
            )
        if compiled is not None:
            if self._places is None:
                self._places = share_places(self._tails)
            new = (key, value) if is_written else None
            return attend_shares(compiled, query, new, self._places, layer, scaling)
        rows = torch.split(query, 1 if of_last else self._lengths, 2)
        seen = [causal(own, *tail.held(layer), scaling) for own, tail in zip(rows, self._tails, strict=True)]
        return torch.cat(seen, dim=1)

    def _write(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        keys, values = zip(*(tail.free(layer) for tail in self._tails), strict=True)
        write_tails(
            [*keys, *values],
            [*torch.split(key, self._lengths, 2), *torch.split(value, self._lengths, 2)],
        )


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    shares: Shares | None = None,
    keys_only: bool = False,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: the new tokens are the last m of the keys, causal among themselves.

    Args:
        module: the attention layer; one whose ``is_causal`` is False goes to transformers.
        query: (1, h, m, D).
        key, value: (1, H, n + m, D).
        attention_mask: None, or bool (1, 1, 1, n + m) with one new token: True where it may look.
        shares: where the rows are of several streams; ``key`` and ``value`` are then of the new ones alone.
        keys_only: nobody reads what comes back; the keys are where they belong.

    Returns:
        (1, m, h, D), and None for the weights.
    """
    if keys_only:
        return query.new_empty(()).expand(query.shape).transpose(1, 2), None
    if shares is not None:
        return shares.attend(module.layer_idx, query, key, value, scaling), None  # type: ignore[arg-type]
    plain = getattr(module, "is_causal", True) and not query.requires_grad
    is_masked_word = query.shape[2] == 1 and attention_mask is not None and attention_mask.dtype is torch.bool
    if plain and is_masked_word and query.shape[0] == 1 and not dropout:
        return over_slots(query, key, value, attention_mask, scaling).transpose(1, 2).contiguous(), None
    if not plain or attention_mask is not None or query.shape[0] != 1 or dropout:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    return causal(query, key, value, scaling).contiguous(), None


def causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention of (1, h, m, D), the last m of the keys, causal among themselves: (1, m, h, D)."""
    if query.device.type == "cpu":
        if can_attend(query, key) and (kernels := native()) is not None:
            return attend(kernels, query, key, value, scaling)
        if key.dtype is not torch.float32 and can_pack(torch.bfloat16):
            return attend_by_blocks(query, key, value, scaling)
        key, value = (as_numbers(each, query.dtype) for each in (key, value))
    if query.shape[2] == 1:
        return _over_cached(query, key, value, scaling).transpose(1, 2)
    if query.device.type == "cpu":
        return _joined(query, key, value, scaling).transpose(1, 2)
    return _lower_right(query, key, value, scaling).transpose(1, 2)


def _over_cached(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention of (1, h, m, D) over keys that every query sees: (1, h, m, D)."""
    num_heads, head_size = key.shape[1], query.shape[3]
    packed = query.reshape(1, num_heads, -1, head_size)
    return functional.scaled_dot_product_attention(packed, key, value, scale=scaling).reshape(query.shape)


def over_slots(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    """Attention of (1, h, 1, D) over the keys that the mask allows, in shapes that do not hang on how many.

    Args:
        query: (1, h, 1, D).
        key, value: (1, H, C, D), finite everywhere.
        mask: bool, (1, 1, 1, C).
        scaling: of the scores; None for the root of the head size.

    As products of whole matrices, so that a GPU shares the keys of a head out among its processors, which its
    fused kernel under a mask does not; scores are float32 as there.
    """
    assert mask is not None
    num_heads, head_size = key.shape[1], query.shape[3]
    packed = query.reshape(num_heads, -1, head_size)
    scale = head_size**-0.5 if scaling is None else scaling
    if query.dtype is not torch.float32 and not query.is_cuda:
        out = functional.scaled_dot_product_attention(packed[None], key, value, attn_mask=mask, scale=scale)
        return out.reshape(query.shape)
    columns = key[0].transpose(1, 2)
    scores = (
        torch.bmm(packed, columns)
        if query.dtype is torch.float32
        else torch.bmm(packed, columns, out_dtype=torch.float32)
    )
    weights = (scores * scale).masked_fill(~mask[0], float("-inf")).softmax(dim=-1)
    return torch.bmm(weights.to(value.dtype), value[0]).reshape(query.shape)


def _joined(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Cached part without a mask and causal corner, joined: (1, h, m, D)."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    _, num_queries, num_new, head_size = query.shape
    num_heads = key.shape[1]
    num_cached = key.shape[2] - num_new
    corner = (
        each[:, :, num_cached:].repeat_interleave(num_queries // num_heads, dim=1) for each in (key, value)
    )
    new, new_weight = kernel(query, *corner, 0.0, True, scale=scaling)
    if num_cached == 0:
        return new  # type: ignore[no-any-return]
    packed = query.reshape(1, num_heads, -1, head_size)
    old, old_weight = kernel(packed, key[:, :, :num_cached], value[:, :, :num_cached], scale=scaling)
    share = torch.sigmoid(new_weight - old_weight.reshape(new_weight.shape)).unsqueeze(-1)
    return torch.lerp(old.reshape(query.shape).to(share.dtype), new.to(share.dtype), share).to(query.dtype)


def _lower_right(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """A GPU's kernels with their own causal corner at the lower right: (1, h, m, D).

    The one that takes grouped heads (flash) is of half precision; for float32 key heads are repeated, as
    without a kernel that fits torch would write out a mask and all scores.
    """
    from torch.nn.attention.bias import causal_lower_right  # a second of imports

    if query.dtype is torch.float32:
        key, value = (each.repeat_interleave(query.shape[1] // each.shape[1], dim=1) for each in (key, value))
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=causal_lower_right(query.shape[2], key.shape[2]),
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def keep_flash_first() -> None:
    """Take cuDNN's attention out of torch's choice, in the whole process.

    On Hopper and newer torch asks it first (cuDNN 9.15 on), and it builds a plan for every new length, which
    costs the host tens of milliseconds. A stream has a new length with every word.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
