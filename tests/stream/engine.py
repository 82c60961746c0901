"""Tools to look inside a stream: a model that records what it is fed, scripted speech, small clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pytest
import torch

from svlm_cli import Clip, StreamSession
from svlm_cli.media.source import VideoInfo
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Speech
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import DeepFeatures
from svlm_cli.stream.step import speech

INFO = VideoInfo(64, 64, 2.0, None, has_audio=False, codec="none", num_frames=None)


@dataclass(frozen=True, slots=True)
class Fed:
    """One forward: positions (3, m), logits (v,), first index of its tokens in the layout."""

    positions: np.ndarray
    logits: torch.Tensor
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class RecordingModel(VideoLanguageModel):
    fed: list[Fed] = field(default_factory=list)

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: np.ndarray,
        cache: StreamingCache,
        deep: DeepFeatures | None = None,
    ) -> torch.Tensor:
        start = cache.num_tokens
        # VideoLanguageModel is slotted, which rules out the zero-argument super().
        logits = VideoLanguageModel.forward(self, embeddings, positions, cache, deep)
        self.fed.append(Fed(positions, logits.clone(), start))
        return logits


def recording(model: VideoLanguageModel) -> RecordingModel:
    return RecordingModel(**{item.name: getattr(model, item.name) for item in fields(VideoLanguageModel)})


def clips(
    num_steps: int, *, fps: float = 2.0, step_seconds: float = 1.0, size=(56, 84), seed: int = 0
) -> list[Clip]:
    """Random pictures, one clip per step."""
    generator = np.random.default_rng(seed)
    num_frames = round(fps * step_seconds)
    return [
        Clip(
            index,
            index * step_seconds,
            (index + 1) * step_seconds,
            generator.integers(0, 256, (num_frames, *size, 3), dtype=np.uint8),
        )
        for index in range(num_steps)
    ]


class Script:
    """Stands in for ``speak``: says what it is told, asking for all but the last token to be fed."""

    def __init__(self, turns: Iterable[Sequence[int]]) -> None:
        self._turns = iter(turns)

    def __call__(self, logits, sampler, max_new_tokens, is_end) -> Speech:
        said = list(next(self._turns))
        for token in said[:-1]:  # noqa: UP028 - a list cannot be sent logits
            yield token
        return said


def follow(patch: pytest.MonkeyPatch, turns: Iterable[Sequence[int]]) -> None:
    """Let sessions say these turns."""
    patch.setattr(speech, "speak", Script(turns))


class KeyLedger:
    """Every held key as it was first fed, followed through evictions by plain list work."""

    def __init__(self, session: StreamSession) -> None:
        self.session = session
        self.keys: list[list[torch.Tensor]] = []
        self.fed_at: list[float] = []
        evict = session.context.evict

        def watched(*args, **kwargs):
            self.note()
            move = evict(*args, **kwargs)
            order = [i for piece in move.kept for i in range(piece.start, piece.end) if i < len(self.keys)]
            self.keys = [self.keys[i] for i in order]
            self.fed_at = [self.fed_at[i] for i in order]
            return move

        session.context.evict = watched

    def note(self) -> None:
        """Take down tokens fed since the last call; they have not been moved yet."""
        cache = self.session.cache
        start, end = len(self.keys), cache.num_tokens
        by_layer = [cache.held(layer)[0] for layer in range(cache.num_kv_layers)]
        self.keys += [[keys[i].clone() for keys in by_layer] for i in range(start, end)]
        self.fed_at += self.stands_at()[start:end]

    def stands_at(self) -> list[float]:
        """Where each token of the layout stands, the common base included (time row)."""
        context = self.session.context
        rows = context.rows()
        base = context.next_position - (rows.max() + 1.0)
        return (rows[0] + base).tolist()


def rotated(key: torch.Tensor, shift: float, inv_freq: torch.Tensor) -> torch.Tensor:
    """RoPE as complex multiplication in float64: shape (H, D); numbers past its frequencies stay."""
    half = len(inv_freq)
    as_complex = torch.complex(key[..., :half].double(), key[..., half : 2 * half].double())
    turned = as_complex * torch.polar(torch.ones(half, dtype=torch.float64), shift * inv_freq.double())
    return torch.cat([turned.real, turned.imag, key[..., 2 * half :].double()], dim=-1)
