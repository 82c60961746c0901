"""The end of a cache's storage, as whoever writes there himself sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from svlm_cli.model.states.formats import write_rows


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """Where the next m tokens go, by layer: views of the storage (``StreamingCache.tail``).

    Args:
        free_keys, free_values: the slots to be written, (1, H, m, D) or rows of the cache's own format.
        keys, values: all slots held and those, (1, H, n + m, D) or such rows.
    """

    free_keys: tuple[torch.Tensor, ...]
    free_values: tuple[torch.Tensor, ...]
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]


def write_tails(free: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> None:
    """Write states (1, H, m, D) into the slots of each; into many of one format at once."""
    if any(rows.dtype is torch.int8 for rows in free):
        for rows, new in zip(free, states, strict=True):
            write_rows(rows, new)
    else:
        torch._foreach_copy_(list(free), list(states))
