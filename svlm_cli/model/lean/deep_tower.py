"""The vision tower of Qwen3-VL, which gives features to several layers of the language model.

Shape legend: n = patches, d = hidden size, t = tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.nn import functional

from svlm_cli.model.lean.config import DeepVisionConfig
from svlm_cli.model.lean.grid import Plan, interpolated, joined, plan_of
from svlm_cli.model.lean.layers import Format, Linear, product
from svlm_cli.model.lean.tower import seen_within
from svlm_cli.model.lean.weights import Weights

_EPSILON = 1e-6


class Norm:
    """LayerNorm.

    Args:
        weights, form: the model's.
        name: as it is stored, without ``.weight``.
    """

    def __init__(self, weights: Weights, form: Format, name: str) -> None:
        self._name = name
        self._weight, self._bias = (
            weights.take(f"{name}.{kind}", dtype=form.dtype) for kind in ("weight", "bias")
        )

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (..., d), each about 0 and of size 1, times weights and with biases."""
        return functional.layer_norm(rows, self._weight.shape, self._weight, self._bias, _EPSILON)

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Its tensors by stored names."""
        yield f"{self._name}.weight", self._weight
        yield f"{self._name}.bias", self._bias


class DeepBlock:
    """Attention within frame pairs, and MLP.

    Args:
        weights, config, form: the model's.
        number: the block's.
    """

    def __init__(self, weights: Weights, config: DeepVisionConfig, form: Format, number: int) -> None:
        prefix = f"visual.blocks.{number}."
        self._num_heads, self._size = config.num_heads, config.head_dim
        self.norms = [Norm(weights, form, f"{prefix}{name}") for name in ("norm1", "norm2")]
        self._qkv = product(weights, form, f"{prefix}attn.", ["qkv"], bias=True)
        self._out = product(weights, form, f"{prefix}attn.", ["proj"], bias=True)
        self._up = product(weights, form, f"{prefix}mlp.", ["linear_fc1"], bias=True)
        self._down = product(weights, form, f"{prefix}mlp.", ["linear_fc2"], bias=True)
        self.products = (self._qkv, self._out, self._up, self._down)

    def __call__(self, rows: torch.Tensor, plan: Plan) -> torch.Tensor:
        """Rows (n, d) behind this block."""
        heads = self._qkv.linear.forward(self.norms[0](rows)).view(len(rows), 3 * self._num_heads, self._size)
        rows = self._out.linear.forward(seen_within(heads, plan, plan.whole)).add_(rows)
        wide = functional.gelu(self._up.linear.forward(self.norms[1](rows)), approximate="tanh")
        return self._down.linear.forward(wide).add_(rows)


class Merger:
    """From patches to tokens for one layer of the language model.

    Args:
        weights, config, form: the model's.
        prefix: of its stored names.
        norms_tokens: whether the norm is over the patches of a token together, else over each.
    """

    def __init__(
        self, weights: Weights, config: DeepVisionConfig, form: Format, prefix: str, *, norms_tokens: bool
    ) -> None:
        self._norms_tokens = norms_tokens
        self._wide = config.hidden_size * config.spatial_merge_size**2
        self.norm = Norm(weights, form, f"{prefix}norm")
        self.products = tuple(
            product(weights, form, prefix, [name], bias=True) for name in ("linear_fc1", "linear_fc2")
        )

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (n, d) as tokens (t, size of the language model)."""
        if self._norms_tokens:
            tokens = self.norm(rows.view(-1, self._wide))
        else:
            tokens = self.norm(rows).view(-1, self._wide)
        first, second = (each.linear for each in self.products)
        return second.forward(functional.gelu(first.forward(tokens)))


class DeepTower:
    """From patches to tokens, and to what the layers behind the first add to them.

    Args:
        weights, config, form: the model's.
    """

    def __init__(self, weights: Weights, config: DeepVisionConfig, form: Format) -> None:
        self.config = config
        patches = weights.take("visual.patch_embed.proj.weight", dtype=form.dtype)
        bias = weights.take("visual.patch_embed.proj.bias", dtype=form.dtype)
        self._patch_shape = patches.shape
        self.patches: Linear = Format(form.dtype, "none").linear(patches.flatten(1), bias)
        self._table = weights.take("visual.pos_embed.weight", dtype=form.dtype)
        self.blocks = [DeepBlock(weights, config, form, number) for number in range(config.depth)]
        self._last = Merger(weights, config, form, "visual.merger.", norms_tokens=False)
        self._deep = {
            layer: Merger(weights, config, form, f"visual.deepstack_merger_list.{number}.", norms_tokens=True)
            for number, layer in enumerate(config.deepstack_visual_indexes)
        }
        self.mergers = [each for merger in (self._last, *self._deep.values()) for each in merger.products]

    def plan(self, grid: tuple[int, int, int]) -> Plan:
        """What is worked out of patches (t, h, w) alone."""
        plan = plan_of(self.config, grid)
        return replace(plan, learned=interpolated(self._table, plan, grid).to(self._table.dtype))

    def run(
        self, pixels: Sequence[torch.Tensor], plans: Sequence[Plan]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Tokens (t, d) of clips end to end, each of which sees itself alone; their patches (n, values).

        Returns:
            Tokens, and for each of the first layers what is added to them behind it.
        """
        plan = joined(plans)
        values = pixels[0] if len(pixels) == 1 else torch.cat(list(pixels))
        rows, deep = self.patches.forward(values).add_(plan.learned), []  # type: ignore[arg-type]
        for number, block in enumerate(self.blocks):
            rows = block(rows, plan)
            if number in self._deep:
                deep.append(self._deep[number](rows))
        return self._last(rows), deep

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Its tensors by stored names."""
        yield "visual.patch_embed.proj.weight", self.patches.dense().view(self._patch_shape)
        yield "visual.patch_embed.proj.bias", self.patches.state_dict()["bias"]
        yield "visual.pos_embed.weight", self._table
        norms = [norm for block in self.blocks for norm in block.norms]
        norms += [merger.norm for merger in (self._last, *self._deep.values())]
        for norm in norms:
            yield from norm.state()
        products = [each for block in self.blocks for each in block.products]
        for each in (*products, *self.mergers):
            yield from each.state().items()
