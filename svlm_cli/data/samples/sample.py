"""From turns to what a model is trained on, through the very functions that streaming writes with.

Shape legend: n = tokens of a sample, B = samples of a batch, N = tokens of its longest sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from svlm_cli.errors import SourceError
from svlm_cli.model import positions
from svlm_cli.model.family.livecc import opened
from svlm_cli.model.patches import Patches
from svlm_cli.model.prompt import Part, PromptWriter
from svlm_cli.model.window import SpanKind, TokenRange
from svlm_cli.settings import PromptFormat

IGNORED = -100
_ANSWER = frozenset({SpanKind.WORDS, SpanKind.ANSWER_TAIL})


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the vision tower made of a clip.

    Args:
        values: float32, shape (tokens, d).
        grid_thw: the patch grid (t, h, w) of the clip.
        deep: likewise (layers, tokens, d), for the layers behind the first; None in families without.
    """

    values: torch.Tensor
    grid_thw: tuple[int, int, int]
    deep: torch.Tensor | None = None


class FeatureStore(Protocol):
    """What the vision tower makes of clips, by key, computed once."""

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Numbers of the keys whose features are not there yet."""

    def add(self, keys: Sequence[str], clips: Sequence[Patches]) -> None:
        """Compute and keep the features of one clip for each key."""

    def read(self, key: str) -> Features:
        """Features of the clip under a key."""


def stored_features(
    store: FeatureStore, keys: Sequence[str], cut: Callable[[int, int], Sequence[Patches]]
) -> list[Features]:
    """Features of the clips of one window, each computed at most once.

    Args:
        store: the store that keeps them.
        keys: one for each clip, in order.
        cut: makes the clips of ``keys[first:last]``; asked only for what is not there yet.

    Raises:
        SourceError: ``cut`` has fewer clips than it was asked for.
    """
    if missing := store.missing(keys):
        first, last = missing[0], missing[-1] + 1
        clips = cut(first, last)
        if len(clips) < last - first:
            raise SourceError(f"the video ends {last - first - len(clips)} s early")
        store.add(keys[first:last], clips)
    return [store.read(key) for key in keys]


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that could not be read.

    Args:
        source: its data set.
        number: its place there.
        reason: what is wrong with it.
    """

    source: str
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One second as it is trained on.

    Args:
        start_seconds, end_seconds: as the model reads them.
        line: what is said, may be empty.
        frames: its frames as patches or as features, None where ``symbols`` stand in their place.
        symbols: words that stand for the frames (text-only stages), each one token.
        question: the question of this second; empty for none.
        reply: what is said to it, before the line.
        is_line_trained: whether the line is trained on; the reply is.
    """

    start_seconds: float
    end_seconds: float
    line: str
    frames: Patches | Features | None = None
    symbols: tuple[str, ...] = ()
    question: str = ""
    reply: str = ""
    is_line_trained: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One training sequence.

    Args:
        input_ids: int64, shape (n,).
        labels: int64, shape (n,): the assistant's tokens, ``IGNORED`` elsewhere.
        position_ids: float32, shape (3, n).
        frames: the frames of its video blocks, in order; of one kind in all samples of a batch.
        bad: samples that should have stood here and cannot be read.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    position_ids: np.ndarray
    frames: tuple[Patches | Features, ...] = ()
    bad: tuple[BadSample, ...] = ()


class SampleWriter:
    """Writes samples for one model.

    Args:
        writer: what writes its prompts.
        merge_size: patches per side of a token.
        stride: positions between two temporal patches (``PatchSettings.stride``).
        prompt_format: not ``auto``.
    """

    def __init__(
        self,
        writer: PromptWriter,
        merge_size: int,
        stride: float | None,
        prompt_format: PromptFormat = PromptFormat.SVLM,
    ) -> None:
        self._writer = writer
        self._prompt_format = prompt_format
        self._merge_size = merge_size
        self._stride = stride

    def write(
        self,
        previous_text: str,
        turns: Sequence[Turn],
        *,
        kept: Sequence[TokenRange] | None = None,
        query: str = "",
        bare: bool = False,
        trained: Sequence[bool] = (),
    ) -> Sample:
        """One chunk, laid out as streaming lays it out before anything is evicted.

        Args:
            previous_text: what the chunk is told: opening text and earlier commentary.
            turns: its seconds.
            kept: ranges of the previous text to write, None for all; LiveCC's prompt has all.
            query: stands in the first turn.
            bare: leave out the user's and the assistant's headers and the times: questions, video blocks
                and answers only. For the dense stages of a model trained from nothing.
            trained: which tokens of the previous text that is written are trained on besides the
                answers; empty for none.
        """
        parts, query = opened(self._writer, previous_text, query, self._prompt_format, kept)
        for number, turn in enumerate(turns):
            written = [*self._user(number, turn, "" if number else query), *self._answer(number, turn)]
            if bare:
                written = [part for part in written if part.span.kind in _BARE]
                written[:0] = self._writer.bare_question(number, turn.question)
            elif number:
                written.insert(0, self._writer.turn_break(number - 1))
            parts += written
        frames = [turn.frames for turn in turns if turn.frames is not None]
        replies = {number: turn.reply for number, turn in enumerate(turns) if not turn.is_line_trained}
        return self._sample(parts, frames, np.array(trained, dtype=bool), replies)

    def _user(self, number: int, turn: Turn, query: str) -> list[Part]:
        symbols = tuple(token for word in turn.symbols for token in self._writer.encode(word))
        grid = (1, 1, len(symbols)) if turn.frames is None else self._grid(turn.frames)
        parts = self._writer.turn(
            number, turn.start_seconds, turn.end_seconds, grid, query=query, question=turn.question
        )
        if turn.frames is None:
            parts = [Part(part.span, symbols) if part.span.kind is SpanKind.VIDEO else part for part in parts]
        return parts

    def _answer(self, number: int, turn: Turn) -> list[Part]:
        return self._writer.answer_parts(number, self._writer.said(turn.line, turn.reply))

    def _grid(self, frames: Patches | Features) -> tuple[int, int, int]:
        time, height, width = frames.grid_thw
        return time, height // self._merge_size, width // self._merge_size

    def _sample(
        self,
        parts: Sequence[Part],
        frames: Sequence[Patches | Features],
        trained: np.ndarray,
        replies: Mapping[int, str],
    ) -> Sample:
        """Put parts together; of turns in ``replies`` that alone is trained on."""
        ids = np.concatenate([np.array(part.ids, dtype=np.int64) for part in parts])
        newline = self._writer.encode("\n")

        def chosen(part: Part) -> np.ndarray:
            if part.span.kind is SpanKind.PREVIOUS_TEXT and len(trained):
                return trained
            if part.span.kind is SpanKind.WORDS and part.span.turn in replies:
                num_trained = self._writer.said("", replies[part.span.turn]).num_reply_tokens
                return np.arange(len(part.ids)) < num_trained
            return np.full(len(part.ids), part.span.kind in _ANSWER and part.ids != newline)

        spoken = np.concatenate([chosen(part) for part in parts])
        return Sample(
            input_ids=ids,
            labels=np.where(spoken, ids, IGNORED),
            position_ids=positions.rows([part.span for part in parts], self._stride).astype(np.float32),
            frames=tuple(frames),
        )


class MixedDataset(Dataset[Sample]):
    """Samples of several data sets in given shares, which hold for every stretch of it.

    All samples of a group come from one data set, the one that lags furthest behind its share. Each is asked
    for its samples in order, so that it comes to its end before it begins anew.

    Args:
        parts: data sets and their weights.
        num_samples: length.
        group: samples that are of one part.
    """

    def __init__(
        self, parts: Sequence[tuple[Dataset[Sample], float]], *, num_samples: int, group: int
    ) -> None:
        self._parts = [part for part, _ in parts]
        self._num_samples = num_samples
        self._group = group
        shares = np.array([weight for _, weight in parts]) / sum(weight for _, weight in parts)
        drawn = np.zeros(len(parts), dtype=np.int64)
        num_groups = -(-num_samples // group)
        self._of_group = np.empty((num_groups, 2), dtype=np.int64)
        for number in range(num_groups):
            chosen = int(np.argmax(shares * (number + 1) - drawn))
            self._of_group[number] = chosen, drawn[chosen]
            drawn[chosen] += 1

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> Sample:
        part, groups_before = self._of_group[index // self._group].tolist()
        sample: Sample = self._parts[part][groups_before * self._group + index % self._group]
        return sample


_BARE = frozenset(
    {SpanKind.VISION_START, SpanKind.VIDEO, SpanKind.VISION_END, SpanKind.WORDS, SpanKind.ANSWER_TAIL}
)


def collate(samples: Sequence[Sample], pad_id: int, *, packing: bool = False) -> dict[str, Any]:
    """A batch: one sample a row, padded on the right, or all samples end to end in one row.

    Causal attention keeps padding out of what is before it. In a packed row, a fourth row of positions that
    begins anew with each sample tells transformers where to cut attention.

    Args:
        samples: at least one.
        pad_id: a token to pad with.
        packing: lay them end to end.

    Returns:
        ``input_ids`` and ``labels`` (B, N), ``position_ids`` (3, B, N) or packed (4, 1, N), and
        ``logits_to_keep``, bool (B, N): the places before labels, the only rows the head has to run on; for
        samples with video ``pixel_values_videos`` and ``video_grid_thw`` as transformers' classes take them,
        or ``video_features`` (rows, d) and, where there are some, ``deep_features`` (layers, rows, d).
        ``bad_samples`` lists what could not be read; ``use_cache`` is False.
    """
    batch: dict[str, Any] = {**(_packed(samples) if packing else _padded(samples, pad_id))}
    trained = batch["labels"] != IGNORED
    batch["logits_to_keep"] = torch.cat([trained[:, 1:], torch.zeros_like(trained[:, :1])], dim=1)
    frames = [piece for sample in samples for piece in sample.frames]
    patches = [piece for piece in frames if isinstance(piece, Patches)]
    features = [piece for piece in frames if isinstance(piece, Features)]
    if patches:
        batch["pixel_values_videos"] = torch.cat([piece.pixel_values for piece in patches])
        batch["video_grid_thw"] = torch.tensor([piece.grid_thw for piece in patches])
    if features:
        batch["video_features"] = torch.cat([piece.values for piece in features])
        deep = [piece.deep for piece in features if piece.deep is not None]
        if deep:
            batch["deep_features"] = torch.cat(deep, dim=1)
    batch["bad_samples"] = [bad for sample in samples for bad in sample.bad]
    # Beside a KV cache, which a model begins by default, transformers does not look for packed samples.
    return batch | {"use_cache": False}


def _padded(samples: Sequence[Sample], pad_id: int) -> dict[str, torch.Tensor]:
    longest = max(len(sample.input_ids) for sample in samples)

    def padded(rows: Sequence[np.ndarray], filler: float) -> torch.Tensor:
        wide = [(0, 0)] * (rows[0].ndim - 1)
        even = [np.pad(row, [*wide, (0, longest - row.shape[-1])], constant_values=filler) for row in rows]
        return torch.from_numpy(np.stack(even, axis=-2))

    return {
        "input_ids": padded([sample.input_ids for sample in samples], pad_id),
        "labels": padded([sample.labels for sample in samples], IGNORED),
        "position_ids": padded([sample.position_ids for sample in samples], 0),
    }


def _packed(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    places = [np.arange(len(sample.input_ids), dtype=np.float32)[None] for sample in samples]
    rows = [np.concatenate([own, sample.position_ids]) for own, sample in zip(places, samples, strict=True)]
    firsts = np.cumsum([0, *(len(sample.input_ids) for sample in samples[:-1])])
    labels = np.concatenate([sample.labels for sample in samples])
    labels[firsts] = IGNORED  # no token before it in its own sample
    return {
        "input_ids": torch.from_numpy(np.concatenate([sample.input_ids for sample in samples]))[None],
        "labels": torch.from_numpy(labels)[None],
        "position_ids": torch.from_numpy(np.concatenate(rows, axis=-1))[:, None],
    }
