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
from svlm_cli.model.family.parts import language_part
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
        self.keys: torch.Tensor | None = None  # (layers, n, H, D)
        self.fed_at: list[float] = []
        evict = session.context.evict

        def watched(*args, **kwargs):
            self.note()
            move = evict(*args, **kwargs)
            pieces = ((piece.start, min(piece.end, len(self.fed_at))) for piece in move.kept)
            order = [i for start, end in pieces for i in range(start, end)]
            self.keys = self.keys[:, order]
            self.fed_at = [self.fed_at[i] for i in order]
            return move

        session.context.evict = watched

    def note(self) -> None:
        """Take down tokens fed since the last call; they have not been moved yet."""
        start, end = len(self.fed_at), self.session.cache.num_tokens
        fed = self._held()[:, start:]
        self.keys = fed if self.keys is None else torch.cat([self.keys, fed], dim=1)
        self.fed_at += self.stands_at()[start:end]

    def check(self) -> None:
        """Stored keys equal a fresh rotation of their originals, in every layer."""
        assert len(self.fed_at) == self.session.cache.num_tokens
        moved = [now - then for now, then in zip(self.stands_at(), self.fed_at, strict=False)]
        inv_freq = language_part(self.session.model.network).rotary_emb.inv_freq
        torch.testing.assert_close(
            self._held().double(), rotated(self.keys, moved, inv_freq), atol=1e-5, rtol=1e-5
        )

    def stands_at(self) -> list[float]:
        """Where each token of the layout stands, the common base included (time row)."""
        context = self.session.context
        rows = context.rows()
        base = context.next_position - (rows.max() + 1.0)
        return (rows[0] + base).tolist()

    def _held(self) -> torch.Tensor:
        cache = self.session.cache
        return torch.stack([cache.held(layer)[0] for layer in range(cache.num_kv_layers)])


def rotated(keys: torch.Tensor, shifts: float | Sequence[float], inv_freq: torch.Tensor) -> torch.Tensor:
    """RoPE as complex multiplication in float64; numbers past its frequencies stay.

    Args:
        keys: shape (..., H, D).
        shifts: of each (...), or one for all.
    """
    half = len(inv_freq)
    as_complex = torch.complex(keys[..., :half].double(), keys[..., half : 2 * half].double())
    angles = torch.tensor(shifts, dtype=torch.float64)[..., None, None] * inv_freq.double()
    turned = as_complex * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag, keys[..., 2 * half :].double()], dim=-1)
