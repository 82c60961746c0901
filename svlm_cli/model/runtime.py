"""A loaded checkpoint as the streaming engine sees it.

Shape legend: n = tokens, d = hidden size, v = vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from svlm_cli.model.attention import GROUPED, Shares
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.device import to_device
from svlm_cli.model.family.markup import Markup
from svlm_cli.model.family.parts import language_part
from svlm_cli.model.family.table import family_of, has_rows, recurrent_layers
from svlm_cli.model.kernels.last_row import ASKED
from svlm_cli.model.lean.network import LeanNetwork
from svlm_cli.model.patches import Patches, PatchSettings
from svlm_cli.model.states.rotation import Rotation
from svlm_cli.model.vision.frames import DeepFeatures, VideoFeatures
from svlm_cli.model.vision.packs import packs_of
from svlm_cli.model.vision.squares import see_squares
from svlm_cli.model.words import PlainWords, Words, no_states
from svlm_cli.settings import PromptFormat

if TYPE_CHECKING:
    from svlm_cli.model.hooks.fixed_words import WordForward

SAMPLES_PER_TENSOR = 256
NO_MASK = {"full_attention": None}


@dataclass(frozen=True, slots=True, eq=False)
class VideoLanguageModel:
    """A Hugging Face model with what is needed to stream through it.

    Args:
        name: as the user gave it; ``bundled`` for the one that ships with svlm.
        is_bundled: the small arena model that ships with svlm.
        network: the Hugging Face model, in eval mode on its device.
        tokenizer: its tokenizer.
        markup: ids of the chat markup.
        patches: how frames become patches.
        tokens_per_second: the rate of the time row of M-RoPE, None where the family counts patches.
        adapter: the adapter whose update is in the weights, as the user gave it; None for none.
        quantize: ``none``, or the format of its linear layers.
        kv_cache: the number format of keys and values in a stream's cache; None for the model's.
        word_forward: the compiled or captured way to feed a word; None for the plain one.
        prompt_format: the format that it was trained on, None where its files do not say.
        suggested_questions: what it was trained to answer, where its files name some.
        vision_plans: what the vision tower works out of a grid, by grid; filled as they come.
    """

    name: str
    is_bundled: bool
    network: Any
    tokenizer: Any
    markup: Markup
    patches: PatchSettings
    tokens_per_second: float | None
    adapter: str | None = None
    quantize: str = "none"
    kv_cache: torch.dtype | None = None
    word_forward: WordForward | None = None
    prompt_format: PromptFormat | None = None
    suggested_questions: tuple[str, ...] = ()
    vision_plans: dict[tuple[int, int, int], Any] = field(default_factory=dict, repr=False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device(self.network.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and what is computed with them."""
        return torch.empty(0, dtype=self.network.dtype).dtype

    @property
    def kv_dtype(self) -> torch.dtype:
        """Of keys and values in a stream's cache."""
        return self.kv_cache or self.dtype

    @property
    def attention(self) -> str:
        """The attention kernel, e.g. ``sdpa``."""
        return str(self.network.config._attn_implementation)

    def fingerprint(self) -> str:
        """16 hexadecimal digits from the configuration and evenly spaced numbers of every tensor."""
        is_lean = isinstance(self.network, LeanNetwork)
        config = self.network.config_text() if is_lean else self.network.config.to_json_string()
        digest = hashlib.sha256(config.encode())
        digest.update(str((self.patches, self.tokens_per_second, self.markup)).encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            flat = tensor.detach().flatten()
            sample = flat[:: max(1, flat.numel() // SAMPLES_PER_TENSOR)]
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(sample.float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def new_cache(self, capacity: int) -> StreamingCache:
        """An empty cache with room for ``capacity`` tokens."""
        language = language_part(self.network)
        config = self.network.config
        rotation = Rotation(language.rotary_emb.inv_freq, family_of(config).pairs)
        recurrent = recurrent_layers(config)
        return StreamingCache(len(language.layers), rotation, capacity, recurrent, self.kv_dtype)

    def words(self, cache: StreamingCache) -> Words:
        """How the words of the stream with this cache are fed."""
        if self.word_forward is None:
            return PlainWords(self, cache)
        from svlm_cli.model.hooks.fixed_words import FixedWords

        return FixedWords(self.word_forward, cache)

    def encode_video(self, patches: Patches) -> VideoFeatures:
        """Run the vision tower once over all frames of a clip."""
        return self.encode_videos([patches])[0]

    @torch.inference_mode()
    def encode_videos(self, clips: Sequence[Patches]) -> list[VideoFeatures]:
        """Run the vision tower once over all frames of several clips, each of which sees itself alone."""
        if self.patches.square is not None:
            seen = see_squares(
                self.network, [clip.pixel_values.to(self.device, self.dtype) for clip in clips]
            )
            return [VideoFeatures(rows, clip.grid_thw) for rows, clip in zip(seen, clips, strict=True)]
        merge = self.patches.merge_size
        found = [self.see_pack(pack) for pack in packs_of(clips, self.device)]
        rows = found[0][0] if len(found) == 1 else torch.cat([each for each, _ in found])
        deep = None if found[0][1] is None else torch.cat([each for _, each in found if each is not None], 1)
        grids = [
            (time, height // merge, width // merge)
            for time, height, width in (clip.grid_thw for clip in clips)
        ]
        lengths = [math.prod(grid) for grid in grids]
        features = torch.split(rows, lengths)
        deeper = [None] * len(clips) if deep is None else torch.split(deep, lengths, 1)
        return [
            VideoFeatures(rows, grid, deep=below)
            for rows, grid, below in zip(features, grids, deeper, strict=True)
        ]

    def see_pack(self, clips: Sequence[Patches]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One call of the tower: features (v, d) of all clips; (layers, v, d) where it has deeper ones."""
        plans = [self._plan(clip.grid_thw) for clip in clips]
        pixels = [clip.pixel_values.to(self.device, self.dtype) for clip in clips]
        tokens, deep = self._seen(pixels, plans)
        return tokens, torch.stack(deep) if deep else None

    def _plan(self, grid: tuple[int, int, int]) -> Any:
        found = self.vision_plans.get(grid)
        if found is None:
            visual = self.network.model.visual
            if isinstance(self.network, LeanNetwork):
                found = visual.plan(grid)
            else:
                from svlm_cli.model.vision.plan import vision_plan

                found = vision_plan(visual, grid, self.device)
            self.vision_plans[grid] = found
        return found

    def _seen(self, pixels: list[torch.Tensor], plans: list[Any]) -> tuple[torch.Tensor, Any]:
        """What the tower makes of clips: tokens end to end, and what is for deeper layers."""
        visual = self.network.model.visual
        if isinstance(self.network, LeanNetwork):
            return visual.run(pixels, plans)  # type: ignore[no-any-return]
        from svlm_cli.model.vision.plan import joined_plans

        seen = (
            visual(pixels[0], **plans[0])
            if len(plans) == 1
            else visual(torch.cat(pixels), **joined_plans(plans))
        )
        return seen.pooler_output, getattr(seen, "deepstack_features", None)

    @torch.inference_mode()
    def embed(self, ids: Sequence[int]) -> torch.Tensor:
        """Embeddings of token ids, shape (n, d)."""
        table = language_part(self.network).embed_tokens
        return table(to_device(torch.tensor(ids, dtype=torch.long), table.weight.device))  # type: ignore[no-any-return]

    @torch.inference_mode()
    def forward(
        self,
        embeddings: torch.Tensor,
        positions: np.ndarray,
        cache: StreamingCache,
        deep: DeepFeatures | None = None,
    ) -> torch.Tensor:
        """Feed tokens and return the logits after the last one.

        Args:
            embeddings: shape (n, d).
            positions: float64, shape (3, n), explicit for every token.
            cache: takes the new states at its tail.
            deep: what the layers behind the first add to tokens of frames.

        Returns:
            Shape (v,): the head runs on one row only.
        """
        if isinstance(self.network, LeanNetwork):
            places = torch.from_numpy(positions).float()
            rows = self.network.model.language_model.run(embeddings, places, cache, deep=deep)
            return self.network.lm_head(rows)[0]  # type: ignore[no-any-return]
        from svlm_cli.model.hooks.cache import cache_of

        how: dict[str, Any] = {"past_key_values": cache_of(cache.layers), "use_cache": True}
        output = self.language(embeddings, self._places(positions), deep, **how, **self._asked(deep))
        return self.network.lm_head(output.last_hidden_state[:, -1])[0]  # type: ignore[no-any-return]

    def _places(self, positions: np.ndarray) -> torch.Tensor:
        """Positions (3, n) as the language model takes them, (3, 1, n)."""
        return to_device(torch.from_numpy(positions).float(), self.device)[:, None]

    def language(
        self, embeddings: torch.Tensor, places: torch.Tensor, deep: DeepFeatures | None = None, **how: Any
    ) -> Any:
        """What transformers' language model gives for embeddings (n, d) at places, float32 (3, 1, n)."""
        language = language_part(self.network)
        if deep is not None:
            is_visual = to_device(deep.is_visual, embeddings.device)[None]
            how |= {"visual_pos_masks": is_visual, "deepstack_visual_embeds": list(deep.layers)}
        return language(
            inputs_embeds=embeddings[None],
            attention_mask=NO_MASK if _needs_no_mask(language) else None,
            position_ids=places if has_rows(self.network.config) else places[0],
            **how,
        )

    def _asked(self, deep: DeepFeatures | None) -> dict[str, bool]:
        """That the last layer see the last row alone, unless features of frames are added behind it."""
        is_free = deep is None or len(deep.layers) < len(language_part(self.network).layers)
        return {ASKED: True} if is_free and self.attends_itself else {}

    @property
    def attends_itself(self) -> bool:
        """Whether every cache of keys is read by svlm's own kernel."""
        return bool(language_part(self.network).config._attn_implementation == GROUPED)

    @property
    def reads_any_format(self) -> bool:
        """Whether its cache may be in another number format than the model: on the CPU, words fed plainly."""
        return self.attends_itself and self.word_forward is None and self.device.type == "cpu"

    @property
    def can_share(self) -> bool:
        """Whether ``forward_shared`` can run: every layer attends itself."""
        return self.attends_itself and not recurrent_layers(self.network.config)

    @torch.inference_mode()
    def forward_shared(
        self,
        embeddings: torch.Tensor,
        positions: np.ndarray,
        caches: Sequence[StreamingCache],
        lengths: Sequence[int],
        deep: DeepFeatures | None = None,
    ) -> torch.Tensor:
        """Feed tokens of several streams at once; each one's see its own cache alone.

        Where it fails, every cache holds what it held.

        Args:
            embeddings: shape (n, d), stream after stream.
            positions: float64, shape (3, n).
            caches: the streams' caches, all different.
            lengths: tokens of each; they add up to n.
            deep: as in ``forward``.

        Returns:
            The logits after the last token of each, shape (len(caches), v).
        """
        for cache in caches:
            cache.allocate(*no_states(self.network))
        shares = Shares([cache.tail(length) for cache, length in zip(caches, lengths, strict=True)])
        if isinstance(self.network, LeanNetwork):
            places = torch.from_numpy(positions).float()
            rows = self.network.model.language_model.run(embeddings, places, shares=shares, deep=deep)
        else:
            output = self.language(embeddings, self._places(positions), deep, use_cache=False, shares=shares)
            rows = output.last_hidden_state[0]
            if (last := shares.last_rows) is not None:
                rows = rows.index_select(0, to_device(last, rows.device))
        logits = self.network.lm_head(rows)
        for cache, length in zip(caches, lengths, strict=True):
            cache.advance(length)
        return logits  # type: ignore[no-any-return]


def _needs_no_mask(language: Any) -> bool:
    """Whether the new tokens of a stream need no mask, which transformers would find out at each forward.

    Text models that know no sliding layers take no masks by kind of layer.
    """
    is_ours = language.config._attn_implementation == GROUPED
    return is_ours and not getattr(language, "has_sliding_layers", True)
