"""Words of several streams in one forward whose shapes never change: a row for each stream, spoken or not.

A turn of one stream ends before that of another, so the words of several streams come in rows of every
number. Here every stream that is there keeps its row: one that has no word to feed computes something that
nobody reads and writes nothing. No shape and no number in the host's hands changes from word to word, so that
CUDA captures the forward once and replays it until a stream comes, goes, or outgrows its storage.

Shape legend: S = rows, h = query heads, H = key/value heads, C = capacity in tokens, D = head size,
v = vocabulary.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from svlm_cli.model.attention import over_slots
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.device import to_device
from svlm_cli.model.family.parts import language_part
from svlm_cli.model.hooks.fixed_words import captured
from svlm_cli.model.words import no_states

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel

Storage = tuple[torch.Tensor, torch.Tensor]


class SharedWords:
    """Feeds words of several streams of one model, over the whole storage of each.

    Args:
        model: every layer attends itself (``can_share``).
        graphs: capture the forward as a CUDA graph.
    """

    def __init__(self, model: VideoLanguageModel, *, graphs: bool) -> None:
        self._model = model
        self._graphs = graphs
        self._streams: list[weakref.ref[StreamingCache]] = []
        self._rows: _Rows | None = None
        self._run: Callable[[], torch.Tensor] | None = None

    def feed(
        self, tokens: Sequence[int], positions: Sequence[float], caches: Sequence[StreamingCache]
    ) -> torch.Tensor:
        """Feed one token to each of some streams.

        Args:
            tokens: an id for each.
            positions: the position in all three M-RoPE rows of each.
            caches: the streams' caches, all different; they take the new states.

        Returns:
            The logits after each token, shape (len(caches), v); good until the next call.

        Raises:
            ModelError: CUDA refuses to capture; the caches hold what they held.
        """
        rows = self._ready(caches)
        places = rows.write(caches, tokens, positions)
        assert self._run is not None
        logits = self._run().index_select(0, places)
        for cache in caches:
            cache.advance(1)
        return logits

    def _ready(self, caches: Sequence[StreamingCache]) -> _Rows:
        """A row for every stream; made anew where one came, went, or has another storage."""
        for cache in caches:
            cache.reserve(cache.num_tokens + 1)
            cache.allocate(*no_states(self._model.network))
        there = [held for stream in self._streams if (held := stream()) is not None]
        new = [cache for cache in caches if all(cache is not each for each in there)]
        is_same = len(there) == len(self._streams) and not new
        if self._rows is None or not is_same or not self._rows.fit(there):
            self._run = None  # what a graph holds is free before another is captured
            there += new
            self._rows = _Rows(self._model, there)
            self._run = captured(self._rows.run, self._model.device) if self._graphs else self._rows.run
            self._streams = [weakref.ref(cache) for cache in there]
        return self._rows


class _Rows:
    """The forward over one set of storages, and the tensors that say what it feeds."""

    def __init__(self, model: VideoLanguageModel, caches: Sequence[StreamingCache]) -> None:
        self._model = model
        self._keys = [id(cache) for cache in caches]
        self._storages = [[cache.storage(layer) for layer in range(cache.num_kv_layers)] for cache in caches]
        size, device = len(caches), model.device
        self._tokens = torch.zeros(size, dtype=torch.long, device=device)
        self._positions = torch.zeros(3, 1, size, device=device)
        self._slots = torch.zeros(size, dtype=torch.long, device=device)
        self._is_fed = torch.zeros(size, dtype=torch.bool, device=device)

    def fit(self, caches: Sequence[StreamingCache]) -> bool:
        """Whether these streams, one for each row, lie where they lay."""
        return all(
            cache.storage(0)[0].data_ptr() == own[0][0].data_ptr()
            for cache, own in zip(caches, self._storages, strict=True)
        )

    def write(
        self, caches: Sequence[StreamingCache], tokens: Sequence[int], positions: Sequence[float]
    ) -> torch.Tensor:
        """Say what the next run feeds to which streams, and nothing to the others; their rows, int64."""
        device = self._tokens.device
        places, ids, slots = (
            to_device(torch.tensor(numbers), device)
            for numbers in (
                [self._keys.index(id(cache)) for cache in caches],
                tokens,
                [cache.num_tokens for cache in caches],
            )
        )
        self._is_fed.zero_().index_fill_(0, places, True)
        self._tokens.index_copy_(0, places, ids)
        self._slots.index_copy_(0, places, slots)
        turned = to_device(torch.tensor(positions, dtype=torch.float32), device)
        self._positions.index_copy_(2, places, turned.expand(3, 1, -1))
        return places

    def run(self) -> torch.Tensor:
        """The logits of every row, (S, v)."""
        model = self._model
        embeddings = language_part(model.network).embed_tokens(self._tokens)
        output = model.language(embeddings, self._positions, use_cache=False, shares=self)
        return model.network.lm_head(output.last_hidden_state[0])  # type: ignore[no-any-return]

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
    ) -> torch.Tensor:
        """Write new states to their owners and attend to each one's own: (1, S, h, D); see ``Shares``."""
        seen = []
        for row, storage in enumerate(self._storages):
            keys, values = storage[layer]
            slot = self._slots[row : row + 1]
            for held, new in ((keys, key), (values, value)):
                kept = held.index_select(2, slot)
                held.index_copy_(2, slot, torch.where(self._is_fed[row], new[:, :, row : row + 1], kept))
            is_seen = torch.arange(keys.shape[2], device=slot.device) <= slot
            seen.append(
                over_slots(query[:, :, row : row + 1], keys, values, is_seen[None, None, None], scaling)
            )
        return torch.cat(seen, dim=2).transpose(1, 2).contiguous()
