"""The floor: what a step must multiply and read, at the best rates that this process reaches.

Multiplications of matrix products and attention by number format, over the rate of the fastest kernel for
that format (``rates.py``); plus weights, keys and values, read once a forward, over the measured bandwidth.
The head is counted on one row per word, the causal corner is half; norms, activations, rotations, sampling,
reading and upkeep are left out.

Shape legend: m = new tokens, n = cached tokens, h = query heads, H = key/value heads, D = head size.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from svlm_cli.bench.speed.rates import ProductShape, Rates, attention_format, product_format, weight_bytes
from svlm_cli.bench.speed.tower import SquareTower, square_tower
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.family.parts import language_part
from svlm_cli.model.family.table import recurrent_layers
from svlm_cli.model.lean.deep_tower import DeepBlock, DeepTower
from svlm_cli.model.lean.grid import Plan
from svlm_cli.model.lean.text import TextLayer
from svlm_cli.model.lean.tower import Block, Tower
from svlm_cli.model.patches import Patches
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.states.formats import head_size_of
from svlm_cli.model.vision.frames import DeepFeatures, VideoFeatures
from svlm_cli.model.words import Words


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
        grids: patch grids (t, h, w) the tower has seen, fed: forwards, shared: those of several streams at
            once, which whoever shares them takes down; all since the last ``forget``.
    """

    grids: list[tuple[int, int, int]] = field(default_factory=list)
    fed: list[Fed] = field(default_factory=list)
    shared: list[tuple[Fed, ...]] = field(default_factory=list)

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
        self.shared.clear()


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


@dataclass(slots=True)
class StageWork:
    """What a stage of a step cannot do without.

    Args:
        products: multiplications of a weight by an input, by number format.
        scores: those of attention, both of its products, by number format.
        num_bytes: of weights, keys and values, each once a forward.
        shapes: of the products.
    """

    products: Counter[str] = field(default_factory=Counter)
    scores: Counter[str] = field(default_factory=Counter)
    num_bytes: int = 0
    shapes: Counter[ProductShape] = field(default_factory=Counter)

    def multiply(self, number_format: str, num_rows: int, outputs: int, size: int, num_bytes: int) -> None:
        """One product with a weight (outputs, size)."""
        self.products[number_format] += num_rows * outputs * size
        self.shapes[ProductShape(number_format, num_rows, outputs, size)] += 1
        self.num_bytes += num_bytes


class Floor:
    """The floor of a model's steps.

    Args:
        model: its linear layers are counted in the formats that they are in.
        clock: as the engine's, for the CPU; on CUDA device events measure.
    """

    def __init__(self, model: VideoLanguageModel, clock: Callable[[], float] = time.perf_counter) -> None:
        self._model = model
        self._rates = Rates(model.device, clock)
        self._lengths: dict[tuple[tuple[int, int, int], str], list[int]] = {}
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
            model: with the shapes of one step.
            cache: that step's, for the formats of keys and values.
        """
        work = self.work(model, cache)
        shapes = sum((each.shapes for each in work.values()), Counter[ProductShape]())
        found = {}
        for stage, each in work.items():
            multiplied = each.products + each.scores
            found[stage] = each.num_bytes / self._rates.bandwidth() + sum(
                count / self._rates.best(number_format, shapes) for number_format, count in multiplied.items()
            )
        return found

    def work(self, model: WatchedModel, cache: StreamingCache) -> dict[str, StageWork]:
        """The same step in multiplications and bytes."""
        found = {stage: StageWork() for stage in ("vision", "prefill", "decode")}
        for grid in model.grids:
            self._vision(grid, found["vision"])
        for streams in [*((fed,) for fed in model.fed), *model.shared]:
            is_of_words = all(fed.stage == "decode" for fed in streams)
            self._forward(streams, cache, found["decode" if is_of_words else "prefill"])
        return found

    def _vision(self, grid: tuple[int, int, int], work: StageWork) -> None:
        if self._squares is not None:
            self._vision_of_squares(self._squares, grid[0], work)
            return
        visual = self._model.network.model.visual
        num_patches = grid[0] * grid[1] * grid[2]
        if isinstance(visual, Tower | DeepTower):
            _product(visual.patches, num_patches, work)
        else:
            _multiply(visual.patch_embed.proj.weight.flatten(1), num_patches, work)
        whole = getattr(visual.config, "fullatt_block_indexes", range(len(self._blocks)))
        for number, block in enumerate(self._blocks):
            for linear in block:
                _product(linear, num_patches, work)
            bounds = "cu_seqlens" if number in whole else "cu_window_seqlens"
            owner = visual.config if isinstance(visual, Tower | DeepTower) else visual.blocks[number].attn
            self._see(self._sequences(grid, bounds), owner.num_heads, owner.head_dim, work)
        for linear in self._mergers:
            _product(linear, num_patches // visual.config.spatial_merge_size**2, work)

    def _vision_of_squares(self, tower: SquareTower, num_frames: int, work: StageWork) -> None:
        _multiply(tower.patch, num_frames * tower.num_patches, work)
        for block in tower.blocks:
            for linear in block:
                _product(linear, num_frames * tower.num_seen, work)
            self._see([tower.num_seen] * num_frames, tower.num_heads, tower.head_size, work)
        for linear in tower.mergers:
            _product(linear, num_frames * tower.num_merged, work)

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

    def _see(self, lengths: Sequence[int], num_heads: int, size: int, work: StageWork) -> None:
        """Attention within sequences of a block."""
        number_format = attention_format(self._model.dtype, self._model.device)
        work.scores[number_format] += 2 * num_heads * size * sum(length**2 for length in lengths)

    def _forward(self, streams: Sequence[Fed], cache: StreamingCache, work: StageWork) -> None:
        """Products see the rows of all streams, attention those of each."""
        kept = iter(range(cache.num_kv_layers))
        num_new = sum(fed.num_new for fed in streams)
        for number, layer in enumerate(self._layers):
            for linear in layer:
                _product(linear, len(streams) if linear in self._behind_keys else num_new, work)
            for experts in self._experts[number]:
                _mix(experts, num_new, work)
            if number not in self._recurrent:
                is_last = number + 1 == len(self._layers) and self._behind_keys
                keys = cache.storage(next(kept))[0]
                for fed in streams:
                    self._attend(fed, keys, 1 if is_last else fed.num_new, work)
        _product(self._model.network.lm_head, len(streams), work)

    def _attend(self, fed: Fed, keys: torch.Tensor, num_rows: int, work: StageWork) -> None:
        """The last rows of the new tokens, which see what is cached and those before them."""
        num_heads = self._model.network.config.text_config.num_attention_heads
        held = fed.num_cached + fed.num_new
        seen = num_rows * held - num_rows * (num_rows - 1) // 2
        number_format = attention_format(keys.dtype, self._model.device)
        work.scores[number_format] += 2 * num_heads * seen * head_size_of(keys)
        work.num_bytes += 2 * held * keys.shape[1] * keys.shape[3] * keys.element_size()


def _product(linear: torch.nn.Module, num_rows: int, work: StageWork) -> None:
    outputs: int = linear.out_features  # type: ignore[assignment]
    size: int = linear.in_features  # type: ignore[assignment]
    number_format = product_format(linear)
    work.multiply(number_format, num_rows, outputs, size, weight_bytes(number_format, outputs, size))


def _multiply(weight: torch.Tensor, num_rows: int, work: StageWork) -> None:
    number_format = str(weight.dtype).removeprefix("torch.")
    outputs, size = weight.shape
    work.multiply(number_format, num_rows, outputs, size, weight.numel() * weight.element_size())


def _mix(experts: _Experts, num_rows: int, work: StageWork) -> None:
    """A router and its experts, rows spread over them evenly."""
    _multiply(experts.router, num_rows, work)
    num_asked = num_rows * experts.num_used
    num_experts = min(len(experts.router), num_asked)
    for number in range(num_experts):
        share = num_asked // num_experts + (number < num_asked % num_experts)
        for weight in experts.weights:
            _multiply(weight[number], share, work)


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
