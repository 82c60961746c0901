"""What the language model is fed: words, and the features of frames in their places.

Shape legend: n = tokens, v = those of frames among them, d = hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from svlm_cli.model.window import Span, SpanKind


@dataclass(frozen=True, slots=True, eq=False)
class VideoFeatures:
    """A clip as the language model reads it.

    Args:
        features: shape (v, d), one row per merged patch, time-major; behind them those of no place, in
            families that end a clip with one.
        grid: merged (time, height, width).
        places: which tokens of the grid are there, ascending; None for all.
        deep: shape (layers, v, d): what is added to the hidden states behind each of the first layers
            (DeepStack, arXiv 2406.04334); None in families without.
    """

    features: torch.Tensor
    grid: tuple[int, int, int]
    places: tuple[int, ...] | None = None
    deep: torch.Tensor | None = None

    def only(self, places: tuple[int, ...]) -> VideoFeatures:
        """The same with these tokens alone."""
        chosen = [*places, *range(math.prod(self.grid), len(self.features))]
        deep = None if self.deep is None else self.deep[:, chosen]
        return VideoFeatures(self.features[chosen], self.grid, places, deep)


@dataclass(frozen=True, slots=True, eq=False)
class DeepFeatures:
    """Features of frames for the layers behind the first.

    Args:
        is_visual: bool, shape (n,): the tokens they belong to.
        layers: shape (layers, v, d).
    """

    is_visual: torch.Tensor
    layers: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PlacedFrames:
    """One vision block among the tokens that are fed.

    Args:
        start: number of its first token.
        features: shape (v, d).
        deep: shape (layers, v, d), as in ``VideoFeatures``.
    """

    start: int
    features: torch.Tensor
    deep: torch.Tensor | None = None


def frames_of(
    spans: Sequence[Span], videos: Mapping[int, VideoFeatures], num_fed: int = 0
) -> tuple[PlacedFrames, ...]:
    """The features of every vision block behind the first ``num_fed`` tokens, none of which lies across.

    Args:
        spans: the whole layout.
        videos: every video that has blocks there, by turn.
        num_fed: tokens that have been fed.
    """
    start = -num_fed
    taken: dict[int, int] = {}
    found = []
    for span in spans:
        if span.kind is SpanKind.VIDEO:
            first = taken.get(span.turn, 0)
            rows = slice(first, first + span.num_tokens)
            taken[span.turn] = rows.stop
            if start >= 0:
                video = videos[span.turn]
                deep = None if video.deep is None else video.deep[:, rows]
                found.append(PlacedFrames(start, video.features[rows], deep))
        start += span.num_tokens
    return tuple(found)


def place_frames(embeddings: torch.Tensor, frames: Sequence[PlacedFrames]) -> None:
    """Write features over the embeddings (n, d) of their pads."""
    for block in frames:
        embeddings[block.start : block.start + len(block.features)] = block.features


def deep_features(num_tokens: int, frames: Sequence[PlacedFrames]) -> DeepFeatures | None:
    """What the layers behind the first are to add to ``num_tokens`` tokens, None where there is nothing."""
    blocks = [(block.start, block.deep) for block in frames if block.deep is not None]
    if not blocks:
        return None
    is_visual = torch.zeros(num_tokens, dtype=torch.bool)
    for start, deep in blocks:
        is_visual[start : start + deep.shape[1]] = True
    return DeepFeatures(is_visual, torch.cat([deep for _, deep in blocks], dim=1))


def video_tensors(videos: Mapping[int, VideoFeatures]) -> dict[str, torch.Tensor]:
    """The features of clips by name, for a saved state; ``stored_videos`` makes clips of them again."""
    plain = {f"video.{turn}": video.features for turn, video in videos.items()}
    return plain | {f"deep.{turn}": video.deep for turn, video in videos.items() if video.deep is not None}


def stored_videos(
    grids: Mapping[str, Sequence[int]], tensors: Mapping[str, torch.Tensor], device: torch.device
) -> dict[int, VideoFeatures]:
    """Clips by turn, from what ``video_tensors`` gave and their merged grids by turn."""
    found: dict[int, VideoFeatures] = {}
    for turn, (time, height, width) in grids.items():
        deep = tensors.get(f"deep.{turn}")
        features = tensors[f"video.{turn}"].to(device)
        found[int(turn)] = VideoFeatures(
            features, (time, height, width), deep=None if deep is None else deep.to(device)
        )
    return found
