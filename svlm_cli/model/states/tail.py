"""The end of a cache's storage, as whoever writes there himself sees it."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """Where the next m tokens go, by layer: views of the storage (``StreamingCache.tail``).

    Args:
        free_keys, free_values: the slots to be written, (1, H, m, D).
        keys, values: all slots held and those, (1, H, n + m, D).
    """

    free_keys: tuple[torch.Tensor, ...]
    free_values: tuple[torch.Tensor, ...]
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]
