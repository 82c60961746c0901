"""The last layer of a prefill on its last row alone: nobody reads what it makes of the others.

Their keys and values are made as always, by transformers' own attention module; its attention proper, and the
rest of the layer, see one row. Switched on for one forward by a keyword, which transformers hands down to
every layer and from there to the attention function.
"""

from __future__ import annotations

from typing import Any

import torch

ASKED = "last_row_only"  # keyword of a forward
KEYS_ONLY = "keys_only"  # keyword of the attention function: fill the cache, attend to nothing


def keep_last_row(layer: torch.nn.Module) -> None:
    """Prepare the last layer of a language model; it does as before where it is not asked.

    Args:
        layer: transformers' decoder layer with ``self_attn`` and ``input_layernorm``; others are left alone.
    """
    if hasattr(layer, "self_attn") and hasattr(layer, "input_layernorm"):
        layer.register_forward_pre_hook(_last_row, with_kwargs=True)


def _last_row(
    layer: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    hidden, *rest = arguments
    if not keywords.get(ASKED) or hidden.shape[1] == 1 or keywords.get("attention_mask") is not None:
        return None
    first = keywords | _rows(keywords, slice(None, -1)) | {KEYS_ONLY: True}
    layer.self_attn(hidden_states=layer.input_layernorm(hidden[:, :-1]), **first)
    return (hidden[:, -1:], *rest), keywords | _rows(keywords, slice(-1, None))


def _rows(keywords: dict[str, Any], rows: slice) -> dict[str, Any]:
    """Angles and positions of some rows: (..., m, r) and (..., m)."""
    found: dict[str, Any] = {
        "position_embeddings": tuple(each[..., rows, :] for each in keywords["position_embeddings"])
    }
    if keywords.get("position_ids") is not None:
        found["position_ids"] = keywords["position_ids"][..., rows]
    return found
