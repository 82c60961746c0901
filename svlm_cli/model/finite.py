"""Numbers that are not finite, found before they become silence.

NaN wins every comparison of torch, so a model with one in its weights chooses the same token for ever, and
the stream looks like a quiet match. Weights are looked at once, as a checkpoint is opened (a damaged file);
logits are looked at as they come and the finding is read once a turn (what overflows on the way).

``torch.aminmax`` hands NaN on, takes one pass and no memory: 0.03 s per GB of float32 on one core of a CPU.

Shape legend: v = vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

import torch

from svlm_cli.errors import ModelError


class LogitsCheck:
    """Whether all logits of a turn are finite: noted without a wait for the device, read once.

    Args:
        at_seconds: the time in the stream, for the message; None where there is none.
    """

    def __init__(self, at_seconds: float | None = None) -> None:
        self._at_seconds = at_seconds
        self._extremes: list[torch.Tensor] = []

    def note(self, logits: torch.Tensor) -> None:
        """Take down the least and the most of logits (v,)."""
        self._extremes += torch.aminmax(logits)

    def read(self) -> None:
        """Look at what was noted since the last call.

        Raises:
            ModelError: some of it is NaN or infinite.
        """
        extremes, self._extremes = self._extremes, []
        if extremes and not all(map(math.isfinite, torch.stack(extremes).tolist())):
            self.fail()

    def fail(self) -> NoReturn:
        """Say so.

        Raises:
            ModelError: always.
        """
        when = "" if self._at_seconds is None else f" at {self._at_seconds:.1f} s"
        raise ModelError(
            f"the model gave numbers that are not finite{when}: damaged weights, or an overflow on the way",
            "try --dtype float32 without --quantize; if it stays, download the checkpoint again",
        )


def check_logits(logits: torch.Tensor, at_seconds: float | None = None) -> None:
    """Look at logits (v,) at once.

    Raises:
        ModelError: as ``LogitsCheck.read``.
    """
    check = LogitsCheck(at_seconds)
    check.note(logits)
    check.read()


def scores_of(
    logits: torch.Tensor, candidates: Sequence[int], at_seconds: float | None = None
) -> torch.Tensor:
    """Logits of candidate tokens, float32, shape (num_candidates,), on the CPU.

    Args:
        logits: shape (v,).
        candidates: token ids.
        at_seconds: as ``LogitsCheck`` has it.

    Raises:
        ModelError: some of all logits are not finite.
    """
    check_logits(logits, at_seconds)
    return logits[list(candidates)].float().cpu()


def check_finite_weights(network: torch.nn.Module, name: str) -> None:
    """All weights of a network must be finite.

    Args:
        network: the network on its device, before its linear layers are changed.
        name: the name of the model, as the user gave it.

    Raises:
        ModelError: some are not; names the first tensor.
    """
    held = {key: weight.detach() for key, weight in network.named_parameters() if weight.numel()}
    extremes = [torch.stack(torch.aminmax(weight)).float() for weight in held.values()]
    finite = torch.stack(extremes).isfinite().all(dim=1).tolist()
    if damaged := [key for key, is_finite in zip(held, finite, strict=True) if not is_finite]:
        raise ModelError(
            f"the weights of the model {name} are damaged: {len(damaged)} of {len(held)} tensors hold "
            f"numbers that are not finite, the first is {damaged[0]}",
            "download it again, or go back to an earlier checkpoint",
        )
