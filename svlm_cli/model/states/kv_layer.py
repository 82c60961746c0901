"""One layer with keys and values, as transformers sees it.

Shape legend: H = key/value heads, m = new tokens, n = tokens held, D = head size.
"""

from __future__ import annotations

import weakref
from typing import Protocol

import torch

from svlm_cli.model.states.formats import write_rows


class _Storage(Protocol):
    """Of all layers; ``StreamingCache``."""

    def allocate(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make it, in the format of these states."""

    def reserve(self, num_tokens: int) -> None:
        """Make room for so many in all."""

    def storage(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one layer, rows in the cache's format; views."""


class StreamingCacheLayer:
    """One layer's view of a ``StreamingCache``: transformers' cache-layer contract.

    It is no subclass, so that streaming does without that import; ``hooks.cache`` makes it one of theirs.
    """

    is_sliding = False
    is_compileable = False
    is_croppable = False
    supports_early_init = True

    def __init__(self, owner: _Storage, index: int) -> None:
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None
        self.is_initialized = False
        # A cycle would keep gigabytes until the garbage is collected.
        self._owner: _Storage = weakref.proxy(owner)
        self._index = index
        self._length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate storage; shapes (1, H, m, D) and (1, H, m, D)."""
        self._owner.allocate(key_states, value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: object, **_kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new states at the tail and return all held ones, as views.

        Args:
            key_states, value_states: shape (1, H, m, D), keys rotated.

        Returns:
            Keys and values, shape (1, H, n + m, D), or the rows of another format that the cache is in.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self._length, self._length + key_states.shape[2]
        self._owner.reserve(end)
        self.keys, self.values = self._owner.storage(self._index)
        write_rows(self.keys[:, :, start:end], key_states)
        write_rows(self.values[:, :, start:end], value_states)
        self._length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length of keys a query of ``query_length`` will see, and their offset."""
        return self._length + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens held."""
        return self._length

    def get_max_length(self) -> int:
        """-1: no fixed maximum."""
        return -1

    def resize(self, num_tokens: int) -> None:
        """Hold the first ``num_tokens`` slots from now on."""
        self._length = num_tokens
