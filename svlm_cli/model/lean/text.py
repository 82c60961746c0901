"""The language model of Qwen2.5-VL and Qwen3-VL, over one stream's cache or the tails of several.

Shape legend: m = new tokens, n = tokens held, d = hidden size, h = query heads, H = key/value heads,
D = head size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from svlm_cli.model.attention import Shares, grouped_attention, last_of
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.lean.config import TextConfig
from svlm_cli.model.lean.layers import Format, gated, normed, product, turned
from svlm_cli.model.lean.weights import Weights
from svlm_cli.model.vision.frames import DeepFeatures

_HEAD_NORMS = "q_norm", "k_norm"


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """Cosines and sines (m, 1, D / 2) of new tokens."""

    cos: torch.Tensor
    sin: torch.Tensor


class RotaryEmbedding:
    """M-RoPE: each frequency turns by one of the three rows of positions.

    Args:
        config: the model's.
        dtype: the number format of cosines and sines.
    """

    rope_type = "default"

    def __init__(self, config: TextConfig, dtype: torch.dtype) -> None:
        size = config.head_dim
        self.inv_freq = 1.0 / (config.rope_theta ** (torch.arange(0, size, 2, dtype=torch.float) / size))
        sections = config.mrope_section
        if config.is_third:
            self._rows = torch.zeros(size // 2, dtype=torch.long)
            for row in (1, 2):
                self._rows[row : 3 * sections[row] : 3] = row
        else:
            self._rows = torch.arange(3).repeat_interleave(torch.tensor(sections))
        self._dtype = dtype

    def angles(self, positions: torch.Tensor) -> Angles:
        """Of positions (3, m), float32."""
        angles = (positions.index_select(0, self._rows).t() * self.inv_freq)[:, None]
        return Angles(angles.cos().to(self._dtype), angles.sin().to(self._dtype))


class Embedding:
    """Rows of a table that stays where it is stored.

    Args:
        weight: (v, d), in any number format.
        dtype: the number format of the rows that are given out.
    """

    def __init__(self, weight: torch.Tensor, dtype: torch.dtype) -> None:
        self.weight = weight
        self._dtype = dtype

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """Of ids (m,): (m, d)."""
        return self.weight.index_select(0, ids).to(self._dtype)


class TextLayer:
    """Attention and MLP, each behind a norm and beside the residual stream.

    Args:
        weights, config, form: the model's.
        number: the layer's.
    """

    is_causal = True
    training = False

    def __init__(self, weights: Weights, config: TextConfig, form: Format, number: int) -> None:
        prefix = f"text.layers.{number}."
        self.layer_idx = number
        self.config = config
        self._heads, self._kv_heads, self._size = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self._epsilon = config.rms_norm_eps
        self._norms = [
            weights.take(f"{prefix}{name}.weight", dtype=form.dtype)
            for name in ("input_layernorm", "post_attention_layernorm")
        ]
        attention = ("q_proj", "k_proj", "v_proj")
        self._qkv = product(weights, form, f"{prefix}self_attn.", attention, bias=not config.is_third)
        self._head_norms: torch.Tensor | None = None
        if config.is_third:
            own = [weights.take(f"{prefix}self_attn.{name}.weight", dtype=form.dtype) for name in _HEAD_NORMS]
            numbers = torch.tensor([self._heads, self._kv_heads])
            self._head_norms = torch.stack(own).repeat_interleave(numbers, dim=0)
        self._out = product(weights, form, f"{prefix}self_attn.", ["o_proj"], bias=False)
        self._gate_up = product(weights, form, f"{prefix}mlp.", ["gate_proj", "up_proj"], bias=False)
        self._down = product(weights, form, f"{prefix}mlp.", ["down_proj"], bias=False)
        self.products = (self._qkv, self._out, self._gate_up, self._down)

    def __call__(
        self,
        rows: torch.Tensor,
        angles: Angles,
        cache: StreamingCache | None,
        shares: Shares | None,
        wanted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Rows (m, d) behind this layer; written over.

        Args:
            rows: the rows before the layer.
            angles: the angles of their positions.
            cache: takes their states, unless ``shares`` does.
            shares: where the rows are of several streams.
            wanted: the last row of each stream, int64, where only these are; (s, d) then.
        """
        seen = self._attended(normed(rows, self._norms[0], self._epsilon), angles, cache, shares, wanted)
        if wanted is not None:
            rows = rows.index_select(0, wanted)
        rows = self._out.linear.forward(seen).add_(rows)
        wide = self._gate_up.linear.forward(normed(rows, self._norms[1], self._epsilon))
        return self._down.linear.forward(gated(wide)).add_(rows)

    def _attended(
        self,
        rows: torch.Tensor,
        angles: Angles,
        cache: StreamingCache | None,
        shares: Shares | None,
        wanted: torch.Tensor | None,
    ) -> torch.Tensor:
        """What normed rows (m, d) see: (m, h * D), of the wanted ones alone where some are."""
        turning = self._heads + self._kv_heads
        heads = self._qkv.linear.forward(rows).view(len(rows), turning + self._kv_heads, self._size)
        moving = heads[:, :turning]
        if self._head_norms is not None:
            moving = normed(moving, self._head_norms, self._epsilon)
        rotated = turned(moving, angles.cos, angles.sin)
        query, key, value = (
            each.transpose(0, 1)[None]
            for each in (rotated[:, : self._heads], rotated[:, self._heads :], heads[:, turning:])
        )
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)
        if wanted is not None:
            query = query.index_select(2, wanted)
        seen, _ = grouped_attention(self, query, key, value, None, scaling=self._size**-0.5, shares=shares)  # type: ignore[arg-type]
        return seen.reshape(query.shape[2], self._heads * self._size)

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Its tensors by stored names."""
        prefix = f"text.layers.{self.layer_idx}."
        yield f"{prefix}input_layernorm.weight", self._norms[0]
        yield f"{prefix}post_attention_layernorm.weight", self._norms[1]
        if self._head_norms is not None:
            for name, row in zip(_HEAD_NORMS, (0, self._heads), strict=True):
                yield f"{prefix}self_attn.{name}.weight", self._head_norms[row]
        for each in self.products:
            yield from each.state().items()


class TextModel:
    """Embeddings, layers, norm.

    Args:
        weights, config, form: the model's.
    """

    has_sliding_layers = False

    def __init__(self, weights: Weights, config: TextConfig, form: Format) -> None:
        self.config = config
        weights.check("text.embed_tokens.weight")
        self.embed_tokens = Embedding(weights.view("text.embed_tokens.weight"), form.dtype)
        self.rotary_emb = RotaryEmbedding(config, form.dtype)
        self.layers = [TextLayer(weights, config, form, number) for number in range(config.num_hidden_layers)]
        self._norm = weights.take("text.norm.weight", dtype=form.dtype)

    def run(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        cache: StreamingCache | None = None,
        shares: Shares | None = None,
        deep: DeepFeatures | None = None,
    ) -> torch.Tensor:
        """Feed embeddings (m, d) at positions (3, m), float32.

        Args:
            cache: the cache of the one stream that they belong to; takes their states at its tail.
            shares: where they are of several.
            deep: what is added to tokens of frames behind the first layers.

        Returns:
            Normed rows, those of each stream's last token, (s, d).
        """
        angles, rows = self.rotary_emb.angles(positions), embeddings
        added: Sequence[torch.Tensor] = (
            () if deep is None else list(deep.layers[: len(self.layers)].to(rows.dtype))
        )
        last = last_of([len(rows)]) if shares is None else shares.last_rows
        is_free = len(added) < len(self.layers)
        for layer in self.layers[:-1] if is_free else self.layers:
            rows = layer(rows, angles, cache, shares)
            if deep is not None and layer.layer_idx < len(added):
                rows[deep.is_visual] += added[layer.layer_idx]
        if is_free:
            rows = self.layers[-1](rows, angles, cache, shares, last)
        elif last is not None:
            rows = rows.index_select(0, last)
        return normed(rows, self._norm, self.config.rms_norm_eps)

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Its tensors by stored names."""
        yield "text.embed_tokens.weight", self.embed_tokens.weight.to(self._norm.dtype)
        yield "text.norm.weight", self._norm
        for layer in self.layers:
            yield from layer.state()
