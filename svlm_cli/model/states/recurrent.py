"""States of fixed size beside the KV cache: layers of linear attention (Gated DeltaNet, arXiv 2412.06464).

Such a layer folds every token into one matrix a head as it comes. It cannot take a token out again: what has
been evicted from the other layers still echoes here, more faintly with every token that follows.

Shape legend: h = value heads, k and v = sizes of their keys and values, c = channels of the convolution,
w = its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentStates:
    """Of one layer: ``conv`` (1, c, w), its last inputs, and ``matrix`` (1, h, k, v)."""

    conv: torch.Tensor
    matrix: torch.Tensor

    def copied(self) -> RecurrentStates:
        """The same numbers elsewhere."""
        return RecurrentStates(self.conv.clone(), self.matrix.clone())


class RecurrentLayer:
    """transformers' contract for one layer of linear attention; its tensors stay where they are.

    It is no subclass, so that streaming does without that import; ``hooks.cache`` makes it one of theirs.

    Args:
        states: the states to read and write; None for a layer that has seen nothing.
    """

    is_compileable = True
    supports_early_init = False
    record_past = False
    number_of_states = 1

    def __init__(self, states: RecurrentStates | None = None) -> None:
        self.conv_states: dict[int, Any] = {0: None}
        self.recurrent_states: dict[int, Any] = {0: None}
        self.is_conv_states_initialized, self.is_recurrent_states_initialized = {0: False}, {0: False}
        self.has_previous_state = {0: False}
        self.conv_kernel_size: dict[int, int | None] = {0: None}
        if states is not None:
            self.become(states)

    @property
    def memory(self) -> RecurrentStates:
        """Its tensors, which must be there; what is in them means nothing where it has seen nothing."""
        return RecurrentStates(self.conv_states[0], self.recurrent_states[0])

    @property
    def states(self) -> RecurrentStates | None:
        """What it holds, None where it has seen nothing."""
        return self.memory if self.has_previous_state[0] else None

    def make_memory(self, like: RecurrentStates) -> None:
        """Have tensors from now on, of these shapes and formats; it has seen nothing yet."""
        if self.conv_states[0] is None:
            self.become(like.copied())
            self.become(None)

    def become(self, states: RecurrentStates | None) -> None:
        """Hold these states; None forgets all. They are copied where there is memory for them already."""
        self.has_previous_state[0] = states is not None
        if states is None:
            return
        for held, given in ((self.conv_states, states.conv), (self.recurrent_states, states.matrix)):
            if held[0] is None:
                held[0] = given
            else:
                held[0].copy_(given)
        self.is_conv_states_initialized[0] = self.is_recurrent_states_initialized[0] = True

    def lazy_initialization(self, *_args: Any, **_kwargs: Any) -> None:
        """Memory comes with the first states."""

    def update_conv_state(
        self, conv_states: torch.Tensor, state_idx: int = 0, conv_kernel_size: int | None = None, **_: Any
    ) -> torch.Tensor:
        """Keep the last inputs of the convolution.

        Args:
            conv_states: (1, c, m), inputs of m new tokens.
            state_idx: 0.
            conv_kernel_size: w.

        Returns:
            (1, c, n): what is needed to convolve them, at least m.
        """
        assert conv_kernel_size is not None
        held = self.conv_states[state_idx]
        if self.has_previous_state[state_idx]:
            whole = torch.cat([held, conv_states], dim=-1)
        else:
            whole = functional.pad(conv_states, (max(0, conv_kernel_size - conv_states.shape[-1]), 0))
        last = whole[..., -conv_kernel_size:]
        if held is None:
            self.conv_states[state_idx] = last.clone()
            self.is_conv_states_initialized[state_idx] = True
        else:
            held.copy_(last)
        self.has_previous_state[state_idx] = True
        return whole

    def update_recurrent_state(
        self, recurrent_states: torch.Tensor, state_idx: int = 0, **_: Any
    ) -> torch.Tensor:
        """Keep the matrices (1, h, k, v) behind the last token; returns them."""
        held: torch.Tensor | None = self.recurrent_states[state_idx]
        if held is None:
            held = self.recurrent_states[state_idx] = recurrent_states.clone()
            self.is_recurrent_states_initialized[state_idx] = True
        else:
            held.copy_(recurrent_states)
        return held


def no_recurrent_states(language: Any) -> RecurrentStates | None:
    """What a layer with such states starts from, zeros; None where the model has no such layer."""
    for layer in language.layers:
        own = getattr(layer, "linear_attn", None)
        if own is not None:
            conv = (1, own.conv_dim, own.conv_kernel_size)
            matrix = (1, own.num_v_heads, own.head_k_dim, own.head_v_dim)
            return RecurrentStates(
                torch.zeros(conv, dtype=language.dtype, device=language.device),
                torch.zeros(matrix, dtype=torch.float32, device=language.device),
            )
    return None
