"""Feeding one generated word at a time, plainly; in shapes that never change: ``hooks.fixed_words``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from svlm_cli.model.cache import StreamingCache


class Words(Protocol):
    """How the words of one stream are fed."""

    def prepare(self) -> None:
        """Do ahead what the first word would wait for."""

    def feed(self, token: int, position: float) -> torch.Tensor:
        """Feed one token.

        Args:
            token: its id.
            position: the position in all three M-RoPE rows.

        Returns:
            The logits after it, shape (v,); good until the next call.
        """


class Feeding(Protocol):
    """What a model does with tokens; see ``VideoLanguageModel``."""

    def embed(self, ids: Sequence[int]) -> torch.Tensor:
        """Embeddings of token ids, shape (n, d)."""

    def forward(self, embeddings: torch.Tensor, positions: np.ndarray, cache: StreamingCache) -> torch.Tensor:
        """Feed embeddings of shape (n, d) at positions of shape (3, n); the last one's logits, (v,)."""


class PlainWords:
    """One forward over the tokens held.

    Args:
        model: to run.
        cache: the cache of the stream.
    """

    def __init__(self, model: Feeding, cache: StreamingCache) -> None:
        self._model = model
        self._cache = cache

    def prepare(self) -> None:
        """Nothing."""

    def feed(self, token: int, position: float) -> torch.Tensor:
        """See ``Words``."""
        return self._model.forward(self._model.embed([token]), np.full((3, 1), position), self._cache)


def no_states(network: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of no token, shape (1, H, 0, D)."""
    text = network.config.text_config
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    shape = (1, text.num_key_value_heads, 0, size)
    empty = torch.empty(shape, dtype=network.dtype, device=network.device)
    return empty, empty
