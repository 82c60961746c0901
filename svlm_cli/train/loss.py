"""The loss of supervised fine-tuning on answers."""

from __future__ import annotations

from typing import Any

import torch

from svlm_cli.data.samples.sample import IGNORED


def token_loss(
    outputs: Any,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    *,
    z_loss: float = 0.0,
) -> torch.Tensor:
    """Mean cross entropy over the trained tokens of a whole step, however they fall into micro-batches.

    Args:
        outputs: the model's; logits of shape (number of trained tokens, v), the rows that ``collate`` asks
            for with ``logits_to_keep``.
        labels: (B, N), of the same places as the inputs.
        num_items_in_batch: trained tokens of the step; None for those of ``labels``.
        z_loss: weight of ``z_penalty``.
    """
    wanted = labels[:, 1:]
    wanted = wanted[wanted != IGNORED].to(outputs.logits.device)
    logits = outputs.logits.float()
    total = torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
    if z_loss:
        total = total + z_loss * z_penalty(logits)
    return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)


def z_penalty(logits: torch.Tensor) -> torch.Tensor:
    """Sum over tokens of the squared logarithm of the softmax's denominator (z-loss; PaLM, arXiv 2204.02311).

    It leaves the softmax free and pulls the logit of a sure token to 0, where a repetition penalty, which
    divides positive logits and multiplies negative ones, does nothing to it.

    Args:
        logits: float32, shape (tokens, v).
    """
    return torch.logsumexp(logits, dim=-1).square().sum()
