"""The loss of supervised fine-tuning on answers."""

from __future__ import annotations

from typing import Any

import torch

from svlm_cli.data.sample import IGNORED


def token_loss(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Mean cross entropy over the trained tokens of a whole step, however they fall into micro-batches.

    Args:
        outputs: of the model; logits of shape (number of trained tokens, v), the rows that ``collate`` asks
            for with ``logits_to_keep``.
        labels: (B, N), of the same places as the inputs.
        num_items_in_batch: trained tokens of the step; None for those of ``labels``.
    """
    wanted = labels[:, 1:]
    wanted = wanted[wanted != IGNORED].to(outputs.logits.device)
    total = torch.nn.functional.cross_entropy(outputs.logits.float(), wanted, reduction="sum")
    return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)
