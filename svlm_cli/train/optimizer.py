"""Muon for the inner matrices and AdamW for the rest, as one optimizer that transformers' Trainer steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from svlm_cli.model.family.parts import is_vision

LARGEST_SIDE = 1024
WIDTH = 192  # of the layers that the learning rate is meant for
BETAS = (0.9, 0.98)


class Float32Muon(torch.optim.Muon):
    """torch's Muon with its products in float32; always with Nesterov's momentum and steps of AdamW's size.

    torch orthogonalises in bfloat16 everywhere; a processor without instructions for it then spends nearly
    the whole step there.
    """

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Step all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                kept = self.state[weight]
                if "momentum_buffer" not in kept:
                    kept["momentum_buffer"] = torch.zeros_like(weight.grad)
                mean = kept["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                wanted = weight.grad.lerp(mean, group["momentum"])
                size = 0.2 * math.sqrt(max(weight.shape))  # of AdamW's updates (arXiv 2502.16982)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonal(wanted, group), alpha=-group["lr"] * size)


def orthogonal(matrix: torch.Tensor, group: Mapping[str, Any]) -> torch.Tensor:
    """The nearest matrix whose singular values are all near 1, by Newton and Schulz's iteration.

    Args:
        matrix: shape (m, n).
        group: ``ns_coefficients`` of the polynomial, ``ns_steps`` and ``eps``, as in ``torch.optim.Muon``.

    Returns:
        float32, shape (m, n); singular values between 0.6 and 1.3 where the matrix's were not too small.
    """
    first, third, fifth = group["ns_coefficients"]
    is_tall = matrix.shape[0] > matrix.shape[1]
    found = (matrix.T if is_tall else matrix).float()
    found = found / found.norm().clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        square = found @ found.T
        found = torch.addmm(
            found, torch.addmm(square, square, square, beta=third, alpha=fifth), found, beta=first
        )
    return found.T if is_tall else found


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers behind one face; learning rates are set through the shared ``param_groups``.

    Muon's updates are scaled to AdamW's size, so that one learning rate serves both.

    Args:
        muon: groups of parameters of two dimensions.
        adamw: groups of all others.
        learning_rate: the learning rate of groups that name none.
        weight_decay: the weight decay of both.
        in_bfloat16: Muon orthogonalises in bfloat16, else in float32.
    """

    def __init__(
        self,
        muon: list[dict[str, Any]],
        adamw: list[dict[str, Any]],
        *,
        learning_rate: float,
        weight_decay: float,
        in_bfloat16: bool,
    ) -> None:
        self._parts: tuple[torch.optim.Optimizer, ...] = ()
        super().__init__([*muon, *adamw], {"lr": learning_rate})
        kind = torch.optim.Muon if in_bfloat16 else Float32Muon
        first = kind(muon, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        second = torch.optim.AdamW(adamw, lr=learning_rate, weight_decay=weight_decay, betas=BETAS)
        self._parts = (first, second)
        self.param_groups = [*first.param_groups, *second.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step both."""
        loss = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the states of both."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def new_optimizer(
    network: Any,
    name: str,
    learning_rate: float,
    weight_decay: float,
    vision_rate: float = 1.0,
    *,
    in_bfloat16: bool,
) -> torch.optim.Optimizer:
    """The optimizer of a stage over all parameters that are trained.

    Args:
        network: the model.
        name: ``adamw`` (no decay of biases and norms), ``adamw_by_width`` or ``muon``.
        learning_rate: peak.
        weight_decay: decoupled.
        vision_rate: the vision tower's learning rate as a share of ``learning_rate``.
        in_bfloat16: what the run computes in, which ``muon`` then orthogonalises in.
    """
    muon, adamw = [], []
    for key, weight in network.named_parameters():
        if not weight.requires_grad:
            continue
        rate = learning_rate * (vision_rate if is_vision(key) else 1.0)
        if name == "adamw":
            decay = weight_decay if weight.ndim > 1 else 0.0
            adamw.append({"params": [weight], "lr": rate, "weight_decay": decay})
        elif name == "muon" and _is_inner(key, weight):
            muon.append({"params": [weight], "lr": rate})
        else:
            adamw.append({"params": [weight], "lr": rate * min(1.0, WIDTH / _fan_in(weight))})
    if name == "adamw":
        return torch.optim.AdamW(_merged(adamw), lr=learning_rate)
    if name == "adamw_by_width":
        return torch.optim.AdamW(adamw, lr=learning_rate, weight_decay=weight_decay, betas=BETAS)
    return MuonWithAdamW(
        muon, adamw, learning_rate=learning_rate, weight_decay=weight_decay, in_bfloat16=in_bfloat16
    )


def _merged(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of the same settings as one."""
    found: dict[tuple[float, float], list[Any]] = {}
    for group in groups:
        found.setdefault((group["lr"], group["weight_decay"]), []).extend(group["params"])
    return [{"params": weights, "lr": lr, "weight_decay": decay} for (lr, decay), weights in found.items()]


def _fan_in(weight: torch.nn.Parameter) -> int:
    """Inputs of one output; a layer of many inputs takes smaller steps."""
    return weight[0].numel() if weight.ndim > 1 else 1


def _is_inner(key: str, weight: torch.nn.Parameter) -> bool:
    """A matrix between hidden states; the largest are left to AdamW, whose step costs less there."""
    return (
        weight.ndim == 2 and "embed" not in key and "lm_head" not in key and max(weight.shape) <= LARGEST_SIDE
    )
