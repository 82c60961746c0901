"""The floor: the matrix products and the attention that a step cannot do without, as bare kernels.

Run in the same process, on the same weights and the same cached keys, with the shapes of a step that the
engine has just run: what lies above is overhead. The head is counted on one row per word, key heads are not
repeated, the causal corner is half; norms, activations, rotations, sampling, reading and upkeep are left out.

Shape legend: m = new tokens, n = cached tokens, h = query heads, H = key/value heads, D = head size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from svlm_cli.bench.speed.tower import SquareTower, square_tower
from svlm_cli.model.attention import causal
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.family.parts import language_part
from svlm_cli.model.family.table import recurrent_layers
from svlm_cli.model.lean.deep_tower import DeepBlock, DeepTower
from svlm_cli.model.lean.grid import Plan
from svlm_cli.model.lean.text import TextLayer
from svlm_cli.model.lean.tower import Block, Tower
from svlm_cli.model.linear import Int8Linear, PlainLinear
from svlm_cli.model.patches import Patches
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.states.formats import head_size_of
from svlm_cli.model.vision.frames import DeepFeatures, VideoFeatures
from svlm_cli.model.words import Words
from svlm_cli.stream.trace import Stopwatch


@dataclass(frozen=True, slots=True)
class Fed:
    """One forward of the language model: ``num_new`` tokens over ``num_cached`` ones."""

    num_new: int
    num_cached: int

    @property
    def stage(self) -> str:
        """``decode`` for a word, else ``prefill``."""
        return "decode" if self.num_new == 1 else "prefill"


@dataclass(frozen=True, slots=True, eq=False)
class WatchedModel(VideoLanguageModel):
    """A model that takes down the shapes it is run with.

    Args:
        grids: patch grids (t, h, w) the tower has seen, fed: forwards, both since the last ``forget``.
    """

    grids: list[tuple[int, int, int]] = field(default_factory=list)
    fed: list[Fed] = field(default_factory=list)

    def encode_videos(self, clips: Sequence[Patches]) -> list[VideoFeatures]:
        """As ``VideoLanguageModel``, which is slotted: that rules out the zero-argument super()."""
        if self.patches.square is not None:  # one call of a tower that takes no packs
            self.grids.extend(clip.grid_thw for clip in clips)
        return VideoLanguageModel.encode_videos(self, clips)

    def see_pack(self, clips: Sequence[Patches]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As ``VideoLanguageModel``."""
        self.grids.extend(clip.grid_thw for clip in clips)
        return VideoLanguageModel.see_pack(self, clips)

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: np.ndarray,
        cache: StreamingCache,
        deep: DeepFeatures | None = None,
    ) -> torch.Tensor:
        """As ``VideoLanguageModel``."""
        self.fed.append(Fed(len(embeddings), cache.num_tokens))
        return VideoLanguageModel.forward(self, embeddings, positions, cache, deep)

    def words(self, cache: StreamingCache) -> Words:
        """As ``VideoLanguageModel``, whose plain way goes through ``forward``."""
        words = VideoLanguageModel.words(self, cache)
        return words if self.word_forward is None else _WatchedWords(words, self.fed, cache)

    def forget(self) -> None:
        """Start anew."""
        self.grids.clear()
        self.fed.clear()


@dataclass(frozen=True, slots=True, eq=False)
class _WatchedWords:
    words: Words
    fed: list[Fed]
    cache: StreamingCache

    def prepare(self) -> None:
        self.words.prepare()

    def feed(self, token: int, position: float) -> torch.Tensor:
        self.fed.append(Fed(1, self.cache.num_tokens))
        return self.words.feed(token, position)


SCALE_OF_BYTES = 16  # so that they are not all 0


class Floor:
    """Bare kernels over a model's weights.

    Args:
        model: its linear layers are run as they are, in its number format.
        clock: as the engine's, for the CPU; on CUDA device events measure.
    """

    def __init__(self, model: VideoLanguageModel, clock: Callable[[], float] = time.perf_counter) -> None:
        self._model = model
        self._clock = clock
        self._inputs: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        self._lengths: dict[tuple[tuple[int, int, int], str], list[int]] = {}
        self._has_run = False
        language = language_part(model.network)
        self._layers = [_linears(layer) for layer in language.layers]
        self._behind_keys = _behind_keys(language.layers[-1])
        self._recurrent = recurrent_layers(model.network.config)
        self._experts = [list(_experts(layer)) for layer in language.layers]
        self._squares = None if model.patches.square is None else square_tower(model)
        if self._squares is not None:
            return
        visual = model.network.model.visual
        self._blocks = [_linears(block) for block in visual.blocks]
        mergers = [visual] if isinstance(visual, Tower | DeepTower) else [visual.merger, *_deeper(visual)]
        self._mergers = [linear for merger in mergers for linear in _linears(merger)]

    @torch.inference_mode()
    def seconds(self, model: WatchedModel, cache: StreamingCache) -> dict[str, float]:
        """Seconds by stage (``vision``, ``prefill``, ``decode``) of what ``model`` has taken down.

        Args:
            model: a model with the shapes of one step.
            cache: that step's cache, whose keys and values are read.
        """
        if not self._has_run:
            self._has_run = True
            self._step(model, cache)  # draws what is multiplied and wakes the kernels
        laps = self._step(model, cache).laps
        return {stage: laps.get(stage, 0.0) for stage in ("vision", "prefill", "decode")}

    def _step(self, model: WatchedModel, cache: StreamingCache) -> Stopwatch:
        watch = Stopwatch(self._model.device, self._clock)
        for grid in model.grids:
            self._vision(grid)
        watch.lap("vision")
        for fed in sorted(model.fed, key=lambda each: each.stage, reverse=True):
            self._forward(fed, cache)
            watch.lap(fed.stage)
        return watch

    def _vision(self, grid: tuple[int, int, int]) -> None:
        if self._squares is not None:
            self._vision_of_squares(self._squares, grid[0])
            return
        visual = self._model.network.model.visual
        num_patches = grid[0] * grid[1] * grid[2]
        if isinstance(visual, Tower | DeepTower):
            self._product(visual.patches, num_patches)
        else:
            weight = visual.patch_embed.proj.weight.flatten(1)
            functional.linear(self._input(num_patches, weight.shape[1]), weight)
        whole = getattr(visual.config, "fullatt_block_indexes", range(len(self._blocks)))
        for number, block in enumerate(self._blocks):
            for linear in block:
                self._product(linear, num_patches)
            bounds = "cu_seqlens" if number in whole else "cu_window_seqlens"
            owner = visual.config if isinstance(visual, Tower | DeepTower) else visual.blocks[number].attn
            self._see(self._sequences(grid, bounds), owner.num_heads, owner.head_dim)
        for linear in self._mergers:
            self._product(linear, num_patches // visual.config.spatial_merge_size**2)

    def _vision_of_squares(self, tower: SquareTower, num_frames: int) -> None:
        functional.linear(self._input(num_frames * tower.num_patches, tower.patch.shape[1]), tower.patch)
        for block in tower.blocks:
            for linear in block:
                self._product(linear, num_frames * tower.num_seen)
            self._see([tower.num_seen] * num_frames, tower.num_heads, tower.head_size)
        for linear in tower.mergers:
            self._product(linear, num_frames * tower.num_merged)

    def _sequences(self, grid: tuple[int, int, int], bounds: str) -> list[int]:
        """Lengths of the sequences of a block, asked of the device once per grid."""
        if (grid, bounds) not in self._lengths:
            plan = self._model.vision_plans[grid]
            if isinstance(plan, Plan):
                found = plan.whole if bounds == "cu_seqlens" else plan.windows
            else:
                found = plan[bounds]
            self._lengths[grid, bounds] = found.diff().tolist()
        return self._lengths[grid, bounds]

    def _see(self, lengths: list[int], num_heads: int, size: int) -> None:
        """Attention within sequences of a block, those of one length at once."""
        for length in sorted(set(lengths)):
            shape = (lengths.count(length), num_heads, length, size)
            states = self._input(shape[0] * shape[1] * length, size).view(shape)
            functional.scaled_dot_product_attention(states, states, states)

    def _forward(self, fed: Fed, cache: StreamingCache) -> None:
        kept = iter(range(cache.num_kv_layers))
        for number, layer in enumerate(self._layers):
            for linear in layer:
                self._product(linear, 1 if linear in self._behind_keys else fed.num_new)
            for experts in self._experts[number]:
                self._mix(experts, fed.num_new)
            if number not in self._recurrent:
                is_last = number + 1 == len(self._layers) and self._behind_keys
                self._attend(fed, *cache.storage(next(kept)), num_rows=1 if is_last else fed.num_new)
        self._product(self._model.network.lm_head, 1)

    def _attend(self, fed: Fed, keys: torch.Tensor, values: torch.Tensor, num_rows: int) -> None:
        """The cached part over packed heads and the corner of the new tokens; on a CPU the engine's."""
        config = self._model.network.config.text_config
        if self._model.device.type == "cpu":
            shape = (1, config.num_attention_heads, num_rows, head_size_of(keys))
            held = slice(fed.num_cached + fed.num_new)
            query = self._input(shape[1] * num_rows, shape[3]).view(shape)
            causal(query, keys[:, :, held], values[:, :, held], None)
            return
        num_heads, size = keys.shape[1], keys.shape[3]
        group = config.num_attention_heads // num_heads
        rows = self._input(fed.num_new * config.num_attention_heads, size)
        packed = rows.view(1, num_heads, group * fed.num_new, size)
        first = fed.num_cached + (1 if fed.num_new == 1 else 0)
        if first:
            functional.scaled_dot_product_attention(packed, keys[:, :, :first], values[:, :, :first])
        if fed.num_new > 1:
            corner = slice(fed.num_cached, fed.num_cached + fed.num_new)
            functional.scaled_dot_product_attention(
                rows.view(1, num_heads * group, fed.num_new, size),
                keys[:, :, corner],
                values[:, :, corner],
                is_causal=True,
                enable_gqa=group > 1,
            )

    def _product(self, linear: torch.nn.Module, num_rows: int) -> None:
        size: int = linear.in_features  # type: ignore[assignment]
        if isinstance(linear, Int8Linear):
            torch._int_mm(self._input(num_rows, size, torch.int8), linear.weight.t())
        elif type(linear) in (torch.nn.Linear, PlainLinear):
            functional.linear(self._input(num_rows, size), linear.weight, linear.bias)  # type: ignore[arg-type]
        else:
            linear(self._input(num_rows, size))

    def _mix(self, experts: _Experts, num_rows: int) -> None:
        """A router and its experts, rows spread over them evenly."""
        functional.linear(self._input(num_rows, experts.router.shape[1]), experts.router)
        num_asked = num_rows * experts.num_used
        num_experts = min(len(experts.router), num_asked)
        for number in range(num_experts):
            share = num_asked // num_experts + (number < num_asked % num_experts)
            for weight in experts.weights:
                functional.linear(self._input(share, weight.shape[2]), weight[number])

    def _input(self, num_rows: int, size: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Numbers to compute with, shape (num_rows, size): a part of those kept for this size."""
        dtype = dtype or self._model.dtype
        found = self._inputs.get((size, dtype))
        if found is None or len(found) < num_rows:
            drawn = torch.randn(2 * num_rows, size, device=self._model.device)
            scale = SCALE_OF_BYTES if dtype is torch.int8 else 1
            found = self._inputs[size, dtype] = (drawn * scale).to(dtype)
        return found[:num_rows]


@dataclass(frozen=True, slots=True, eq=False)
class _Experts:
    """A mixture of experts: router (E, d), their weights (E, out, in), and how many each row asks."""

    router: torch.Tensor
    weights: tuple[torch.Tensor, ...]
    num_used: int


def _deeper(visual: Any) -> Sequence[Any]:
    """Mergers of the layers of which the first of the language model take something."""
    return getattr(visual, "deepstack_merger_list", ())


def _experts(layer: Any) -> Iterator[_Experts]:
    if not isinstance(layer, torch.nn.Module):
        return
    for mixture in layer.modules():
        experts, router = getattr(mixture, "experts", None), getattr(mixture, "gate", None)
        if experts is not None and router is not None:
            yield _Experts(router.weight, (experts.gate_up_proj, experts.down_proj), router.top_k)


def _behind_keys(layer: Any) -> set[torch.nn.Module]:
    """Products of the last layer that see one row of a prefill: those behind its keys, or its attention."""
    if isinstance(layer, TextLayer):
        return set(_linears(layer)[1:])
    return set(_linears(layer)) - set(_linears(getattr(layer, "self_attn", layer)))


def _linears(module: Any) -> list[torch.nn.Module]:
    """Every layer with a matrix product, quantised ones too."""
    if isinstance(module, TextLayer | Block | DeepBlock):
        return [each.linear for each in module.products]
    return (
        [each.linear for each in module.mergers]
        if isinstance(module, Tower | DeepTower)
        else list(_walk(module))
    )


def _walk(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    return (
        each for each in module.modules() if hasattr(each, "in_features") and hasattr(each, "out_features")
    )


def watched(model: VideoLanguageModel) -> WatchedModel:
    """The same model, taking down shapes."""
    own = {name: getattr(model, name) for name in VideoLanguageModel.__dataclass_fields__}
    return WatchedModel(**own)
