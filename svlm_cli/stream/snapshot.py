"""Where a session stands between two steps, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Where a session stands between two steps.

    Args:
        plain: what JSON can hold.
        tensors: the tensors by name, on the CPU.
    """

    plain: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
