"""The vision tower of Qwen2.5-VL.

Shape legend: n = patches, d = hidden size, h = heads, D = head size, t = tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional

from svlm_cli.model.kernels.attention import attend
from svlm_cli.model.kernels.native import native
from svlm_cli.model.lean.config import VisionConfig
from svlm_cli.model.lean.grid import Plan, joined, plan_of
from svlm_cli.model.lean.layers import Format, Linear, gated, normed, product, turned
from svlm_cli.model.lean.weights import Weights
from svlm_cli.model.vision.windows import windowed_attention

_EPSILON = 1e-6


def seen_within(heads: torch.Tensor, plan: Plan, bounds: torch.Tensor) -> torch.Tensor:
    """What patches see between two bounds, both ways: (n, h * D).

    Args:
        heads: (n, 3 h, D): queries, keys and values; those of the first two are turned by the plan's angles.
    """
    num_heads, scaling = heads.shape[1] // 3, heads.shape[2] ** -0.5
    rotated = turned(heads[:, : 2 * num_heads], plan.cos, plan.sin)
    query, key, value = (
        each.transpose(0, 1)[None] for each in (*torch.chunk(rotated, 2, 1), heads[:, 2 * num_heads :])
    )
    if (kernels := native()) is not None:
        seen = attend(kernels, query, key, value, scaling, is_causal=False, bounds=bounds)
    else:
        seen, _ = windowed_attention(None, query, key, value, scaling=scaling, cu_seq_lens_q=bounds)
    return seen.reshape(len(heads), -1)


class Block:
    """Attention within windows or frame pairs, and MLP.

    Args:
        weights, config, form: the model's.
        number: the block's.
    """

    def __init__(self, weights: Weights, config: VisionConfig, form: Format, number: int) -> None:
        prefix = f"visual.blocks.{number}."
        self._prefix, self._num_heads, self._size = prefix, config.num_heads, config.head_dim
        self.sees_whole = number in config.fullatt_block_indexes
        self._norms = [
            weights.take(f"{prefix}{name}.weight", dtype=form.dtype) for name in ("norm1", "norm2")
        ]
        self._qkv = product(weights, form, f"{prefix}attn.", ["qkv"], bias=True)
        self._out = product(weights, form, f"{prefix}attn.", ["proj"], bias=True)
        self._gate_up = product(weights, form, f"{prefix}mlp.", ["gate_proj", "up_proj"], bias=True)
        self._down = product(weights, form, f"{prefix}mlp.", ["down_proj"], bias=True)
        self.products = (self._qkv, self._out, self._gate_up, self._down)

    def __call__(self, rows: torch.Tensor, plan: Plan) -> torch.Tensor:
        """Rows (n, d) behind this block."""
        heads = self._qkv.linear.forward(normed(rows, self._norms[0], _EPSILON))
        heads = heads.view(len(rows), 3 * self._num_heads, self._size)
        seen = seen_within(heads, plan, plan.whole if self.sees_whole else plan.windows)
        rows = self._out.linear.forward(seen).add_(rows)
        wide = self._gate_up.linear.forward(normed(rows, self._norms[1], _EPSILON))
        return self._down.linear.forward(gated(wide)).add_(rows)

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Its tensors by stored names."""
        for number, norm in enumerate(self._norms, start=1):
            yield f"{self._prefix}norm{number}.weight", norm
        for each in self.products:
            yield from each.state().items()


class Tower:
    """From patches to tokens.

    Args:
        weights, config, form: the model's.
    """

    def __init__(self, weights: Weights, config: VisionConfig, form: Format) -> None:
        self.config = config
        self._merge = config.spatial_merge_size**2
        patches = weights.take("visual.patch_embed.proj.weight", dtype=form.dtype)
        self._patch_shape = patches.shape
        self.patches: Linear = Format(form.dtype, "none").linear(patches.flatten(1), None)
        self.blocks = [Block(weights, config, form, number) for number in range(config.depth)]
        self._norm = weights.take("visual.merger.ln_q.weight", dtype=form.dtype)
        self.mergers = [
            product(weights, form, "visual.merger.mlp.", [number], bias=True) for number in ("0", "2")
        ]

    def plan(self, grid: tuple[int, int, int]) -> Plan:
        """What is worked out of patches (t, h, w) alone."""
        return plan_of(self.config, grid)

    def run(self, pixels: Sequence[torch.Tensor], plans: Sequence[Plan]) -> tuple[torch.Tensor, None]:
        """Tokens (t, d) of clips end to end, each of which sees itself alone; their patches (n, values).

        Returns:
            Tokens, and nothing for deeper layers.
        """
        plan = joined(plans)
        values = pixels[0] if len(pixels) == 1 else torch.cat(list(pixels))
        rows = self.patches.forward(values)
        rows = rows.view(-1, self._merge, rows.shape[1])[plan.order].flatten(0, 1)
        for block in self.blocks:
            rows = block(rows, plan)
        tokens = normed(rows, self._norm, _EPSILON).view(len(plan.order), -1)
        first, second = (each.linear for each in self.mergers)
        return second.forward(functional.gelu(first.forward(tokens)))[plan.back], None

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Its tensors by stored names."""
        yield "visual.patch_embed.proj.weight", self.patches.dense().view(self._patch_shape)
        yield "visual.merger.ln_q.weight", self._norm
        for block in self.blocks:
            yield from block.state()
        for each in self.mergers:
            yield from each.state().items()
