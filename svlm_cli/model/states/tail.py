"""The end of a cache's storage, as whoever writes there himself sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from svlm_cli.model.states.formats import write_rows


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """Where the next m tokens go (``StreamingCache.tail``).

    Args:
        keys, values: the storage of all layers, (L, H, C, D) or rows of the cache's own format.
        num_held: tokens that are there, n.
        num_new: m.
    """

    keys: torch.Tensor
    values: torch.Tensor
    num_held: int
    num_new: int

    def free(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the slots to be written in a layer, (1, H, m, D); views."""
        slots = slice(self.num_held, self.num_held + self.num_new)
        return self.keys[layer : layer + 1, :, slots], self.values[layer : layer + 1, :, slots]

    def held(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of all slots held and those, (1, H, n + m, D); views."""
        end = self.num_held + self.num_new
        return self.keys[layer : layer + 1, :, :end], self.values[layer : layer + 1, :, :end]


def write_tails(free: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> None:
    """Write states (1, H, m, D) into the slots of each; into many of one format at once."""
    if any(rows.dtype is torch.int8 for rows in free):
        for rows, new in zip(free, states, strict=True):
            write_rows(rows, new)
    else:
        torch._foreach_copy_(list(free), list(states))
