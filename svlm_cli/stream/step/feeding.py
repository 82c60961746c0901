"""What a session asks the model to compute, as values, and who computes it for a session that is alone.

A session asks for a prefill, then for one word after another, and goes on with the logits that it is given
(``StreamSession.plan``, ``fed``, ``finish``). Whoever feeds may gather what several sessions ask for and run
it as one forward: a plan names the cache that takes its states, and the session cannot tell.

Shape legend: n = tokens, d = hidden size, v = vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import PlacedFrames, VideoFeatures, deep_features, frames_of, place_frames
from svlm_cli.model.words import Words
from svlm_cli.stream.context import Context
from svlm_cli.stream.sight import SeenClip, Sight, SizedClip


@dataclass(frozen=True, slots=True, eq=False)
class PrefillPlan:
    """Tokens of the layout to be fed behind those that the cache holds; their last one's logits are wanted.

    Args:
        ids: int64, shape (n,).
        positions: float64, shape (3, n).
        frames: features that stand in the places of their tokens.
        cache: the cache of the session; has room for the states, which go to its tail.
    """

    ids: np.ndarray
    positions: np.ndarray
    frames: tuple[PlacedFrames, ...]
    cache: StreamingCache


@dataclass(frozen=True, slots=True, eq=False)
class WordPlan:
    """One drawn token to be fed; the logits after it are wanted.

    Args:
        token: its id.
        position: the position in all three M-RoPE rows.
        cache: as in ``PrefillPlan``.
    """

    token: int
    position: float
    cache: StreamingCache


FeedPlan = PrefillPlan | WordPlan


def unfed(context: Context, cache: StreamingCache, videos: Mapping[int, VideoFeatures]) -> PrefillPlan:
    """Every token of a layout that has no states yet; room for them is made.

    Args:
        context: the layout.
        cache: its states.
        videos: every video that has tokens among them, by turn.
    """
    num_fed = cache.num_tokens
    cache.reserve(len(context.ids))
    frames = frames_of(context.spans, videos, num_fed)
    return PrefillPlan(context.ids[num_fed:], context.rows_from(num_fed), frames, cache)


@torch.inference_mode()
def embedded(model: VideoLanguageModel, plan: PrefillPlan) -> torch.Tensor:
    """What a prefill feeds, shape (n, d): embeddings of its ids, frames' features in their places."""
    embeddings = model.embed(plan.ids.tolist())
    place_frames(embeddings, plan.frames)
    return embeddings


class Feeder(Protocol):
    """Computes what one session asks for, alone or with others."""

    def prepare(self, cache: StreamingCache) -> None:
        """Do ahead what the first word over this cache would wait for."""

    def feed(self, plan: FeedPlan) -> torch.Tensor:
        """Feed a plan's tokens into its cache; the logits after the last, good until the next call."""
        ...

    def look(self, sight: Sight, clip: SizedClip) -> SeenClip:
        """Run the vision tower over a clip."""
        ...


class LoneFeeder:
    """Feeds one session, each plan in a forward of its own.

    Args:
        model: the model to run.
    """

    def __init__(self, model: VideoLanguageModel) -> None:
        self._model = model
        self._cache: StreamingCache | None = None
        self._words: Words | None = None

    def look(self, sight: Sight, clip: SizedClip) -> SeenClip:
        """As ``Sight.look``."""
        return sight.look(clip)

    def prepare(self, cache: StreamingCache) -> None:
        """Do ahead what the first word over this cache would wait for: compile, capture."""
        if cache is not self._cache:
            self._words = self._model.words(cache)
            self._words.prepare()
            self._cache = cache

    def feed(self, plan: FeedPlan) -> torch.Tensor:
        """Feed a plan's tokens into its cache, within ``torch.inference_mode()``.

        Returns:
            The logits after the last, shape (v,); good until the next call.
        """
        if isinstance(plan, PrefillPlan):
            deep = deep_features(len(plan.ids), plan.frames)
            embeddings = embedded(self._model, plan)
            if deep is None:
                return self._model.forward(embeddings, plan.positions, plan.cache)
            return self._model.forward(embeddings, plan.positions, plan.cache, deep)
        self.prepare(plan.cache)
        assert self._words is not None
        return self._words.feed(plan.token, plan.position)
