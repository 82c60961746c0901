"""Feeding several sessions at once: what they ask for lies end to end in one forward.

Linear layers, norms and the head see one matrix, so that a weight is read once for all; attention runs for
each session over its own cache. A lone run's numbers differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch

from svlm_cli.model.family.parts import language_part
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import deep_features, place_frames
from svlm_cli.stream.step.feeding import FeedPlan, PrefillPlan, WordPlan

if TYPE_CHECKING:
    from svlm_cli.model.hooks.shared_words import SharedWords

# Of one forward, unless a single plan has more: tokens, which bounds what it holds beside weights and caches;
# and on a CPU bytes of gates and values of its MLP, which are to stay in the last of the processor's caches.
MOST_ROWS, MOST_BYTES = 4096, 16 << 20

Fed = torch.Tensor | Exception


class SharedFeeder:
    """Feeds the plans of several sessions, as many as fit in each forward.

    Where the attention of the model is not svlm's own, each is fed in a forward of its own.

    Args:
        model: the model to run.
        most_rows: tokens of one forward, where more than one plan is in it; None: what goes fastest.
    """

    def __init__(self, model: VideoLanguageModel, most_rows: int | None = None) -> None:
        self._model = model
        self._most_rows = _most_rows(model) if most_rows is None else most_rows
        self._words = _shared_words(model)

    @torch.inference_mode()
    def feed(self, plans: Sequence[FeedPlan]) -> list[Fed]:
        """Feed every plan's tokens into its cache.

        Args:
            plans: plans of different sessions.

        Returns:
            For each plan the logits after its last token, shape (v,), good until the next call; or what it
            ran into, when its cache holds what it held.
        """
        return [fed for packed in self._packs(plans) for fed in self._fed(packed)]

    def _packs(self, plans: Sequence[FeedPlan]) -> Iterator[list[FeedPlan]]:
        """Plans in their order, as many at once as one forward takes."""
        pack: list[FeedPlan] = []
        num_rows = 0
        for plan in plans:
            if pack and (num_rows + _length(plan) > self._most_rows or not self._model.can_share):
                yield pack
                pack, num_rows = [], 0
            pack.append(plan)
            num_rows += _length(plan)
        if pack:
            yield pack

    def _fed(self, pack: list[FeedPlan]) -> list[Fed]:
        """One forward; where it fails, one for each, so that only those fail that would fail alone."""
        try:
            return list(self._forward(pack))
        except Exception as error:
            if len(pack) == 1:
                return [error]
            return [fed for plan in pack for fed in self._fed([plan])]

    def _forward(self, pack: list[FeedPlan]) -> Sequence[torch.Tensor]:
        words = [plan for plan in pack if isinstance(plan, WordPlan)]
        if self._words is not None and len(words) == len(pack):
            told = ([getattr(plan, name) for plan in words] for name in ("token", "position", "cache"))
            return self._words.feed(*told).unbind()
        lengths = [_length(plan) for plan in pack]
        frames = [
            replace(block, start=block.start + start)
            for plan, start in zip(pack, accumulate(lengths, initial=0), strict=False)
            if isinstance(plan, PrefillPlan)
            for block in plan.frames
        ]
        embeddings = self._model.embed(np.concatenate([_ids(plan) for plan in pack]).tolist())
        place_frames(embeddings, frames)
        positions = np.concatenate([_positions(plan) for plan in pack], axis=1)
        deep = deep_features(len(embeddings), frames)
        caches = [plan.cache for plan in pack]
        if len(pack) > 1:
            return self._model.forward_shared(embeddings, positions, caches, lengths, deep).unbind()
        before = caches[0].mark()
        try:
            return [self._model.forward(embeddings, positions, caches[0], deep)]
        except Exception:
            caches[0].back_to(before)
            raise


def _most_rows(model: VideoLanguageModel) -> int:
    if model.device.type != "cpu":
        return MOST_ROWS
    config = language_part(model.network).config
    width = 2 * getattr(config, "intermediate_size", 4 * config.hidden_size)
    return min(MOST_ROWS, int(MOST_BYTES // (width * model.dtype.itemsize)))


def _shared_words(model: VideoLanguageModel) -> SharedWords | None:
    """How words of several streams are fed where those of one are replayed as a graph, or in its shapes."""
    forward = model.word_forward
    if forward is None or not model.can_share or (forward.compiled and not forward.graphs):
        return None
    from svlm_cli.model.hooks.shared_words import SharedWords

    return SharedWords(model, graphs=forward.graphs)


def _ids(plan: FeedPlan) -> np.ndarray:
    return plan.ids if isinstance(plan, PrefillPlan) else np.array([plan.token])


def _positions(plan: FeedPlan) -> np.ndarray:
    return plan.positions if isinstance(plan, PrefillPlan) else np.full((3, 1), plan.position)


def _length(plan: FeedPlan) -> int:
    return len(plan.ids) if isinstance(plan, PrefillPlan) else 1
