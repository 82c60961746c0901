"""From turns to what a model is trained on, through the very functions that streaming writes with.

Shape legend: n = tokens of a sample, B = samples of a batch, N = tokens of its longest sample.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset

from svlm_cli.model import positions
from svlm_cli.model.patches import Patches
from svlm_cli.model.prompt import Part, PromptWriter
from svlm_cli.model.window import SpanKind, TokenRange

IGNORED = -100
_ANSWER = frozenset({SpanKind.WORDS, SpanKind.ANSWER_TAIL})


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the vision tower made of a clip.

    Args:
        values: float32, shape (tokens, d).
        grid_thw: the patch grid (t, h, w) of the clip.
    """

    values: torch.Tensor
    grid_thw: tuple[int, int, int]


FeatureSource = Callable[[str, Callable[[], Sequence[Patches]]], Sequence[Features]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One second as it is trained on.

    Args:
        start_seconds, end_seconds: as the model reads them.
        line: what is said, may be empty.
        frames: its frames as patches or as features, None where ``symbols`` stand in their place.
        symbols: words that stand for the frames (text-only stages), each one token.
    """

    start_seconds: float
    end_seconds: float
    line: str
    frames: Patches | Features | None = None
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One training sequence.

    Args:
        input_ids: int64, shape (n,).
        labels: int64, shape (n,): the assistant's tokens, ``IGNORED`` elsewhere.
        position_ids: float32, shape (3, n).
        frames: of its video blocks, in order; of one kind in all samples of a batch.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    position_ids: np.ndarray
    frames: tuple[Patches | Features, ...] = field(default=())


class SampleWriter:
    """Writes samples for one model.

    Args:
        writer: of its prompts.
        merge_size: patches per side of a token.
        stride: positions between two temporal patches (``positions.time_stride``).
    """

    def __init__(self, writer: PromptWriter, merge_size: int, stride: float) -> None:
        self._writer = writer
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
            kept: ranges of the previous text to write, None for all.
            query: stands in the first turn.
            bare: leave out the user's and the assistant's headers and the times: video blocks and
                answers only. For the dense first stages of a model trained from nothing.
            trained: of the previous text's tokens that are written, which are trained on besides the
                answers; empty for none.
        """
        parts = self._writer.opening(previous_text, kept)
        for number, turn in enumerate(turns):
            written = [*self._user(number, turn, "" if number else query), *self._answer(number, turn)]
            if bare:
                written = [part for part in written if part.span.kind in _BARE]
            elif number:
                written.insert(0, self._writer.turn_break(number - 1))
            parts += written
        frames = [turn.frames for turn in turns if turn.frames is not None]
        return self._sample(parts, frames, np.array(trained, dtype=bool))

    def _user(self, number: int, turn: Turn, query: str) -> list[Part]:
        symbols = tuple(token for word in turn.symbols for token in self._writer.encode(word))
        grid = (1, 1, len(symbols)) if turn.frames is None else self._grid(turn.frames)
        parts = self._writer.turn(number, turn.start_seconds, turn.end_seconds, grid, query=query)
        if turn.frames is None:
            parts = [Part(part.span, symbols) if part.span.kind is SpanKind.VIDEO else part for part in parts]
        return parts

    def _answer(self, number: int, turn: Turn) -> list[Part]:
        answer = self._writer.read_answer(self._writer.spoken(turn.line))
        return self._writer.answer_parts(number, answer)

    def _grid(self, frames: Patches | Features) -> tuple[int, int, int]:
        time, height, width = frames.grid_thw
        return time, height // self._merge_size, width // self._merge_size

    def _sample(
        self, parts: Sequence[Part], frames: Sequence[Patches | Features], trained: np.ndarray
    ) -> Sample:
        ids = np.concatenate([np.array(part.ids, dtype=np.int64) for part in parts])
        newline = self._writer.encode("\n")

        def chosen(part: Part) -> np.ndarray:
            if part.span.kind is SpanKind.PREVIOUS_TEXT and len(trained):
                return trained
            return np.full(len(part.ids), part.span.kind in _ANSWER and part.ids != newline)

        spoken = np.concatenate([chosen(part) for part in parts])
        return Sample(
            input_ids=ids,
            labels=np.where(spoken, ids, IGNORED),
            position_ids=positions.rows([part.span for part in parts], self._stride).astype(np.float32),
            frames=tuple(frames),
        )


class MixedDataset(Dataset[Sample]):
    """Samples of several data sets in given shares.

    All samples of a group come from one of them.

    Args:
        parts: data sets and their weights; each is asked for a sample by the mixture's own number.
        seed: of the choice.
        num_samples: length.
        group: samples that are of one part.
    """

    def __init__(
        self, parts: Sequence[tuple[Dataset[Sample], float]], *, seed: int, num_samples: int, group: int
    ) -> None:
        self._parts = [part for part, _ in parts]
        self._weights = [weight for _, weight in parts]
        self._seed = seed
        self._num_samples = num_samples
        self._group = group

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> Sample:
        dice = random.Random(f"{self._seed} part {index // self._group}")
        return dice.choices(self._parts, self._weights)[0][index]


_BARE = frozenset(
    {SpanKind.VISION_START, SpanKind.VIDEO, SpanKind.VISION_END, SpanKind.WORDS, SpanKind.ANSWER_TAIL}
)


def collate(samples: Sequence[Sample], pad_id: int) -> dict[str, torch.Tensor]:
    """A batch, padded on the right; causal attention keeps padding out of what is before it.

    Returns:
        ``input_ids`` and ``labels`` (B, N), ``position_ids`` (3, B, N), and for samples with video
        ``pixel_values_videos`` and ``video_grid_thw`` as transformers' Qwen2.5-VL takes them, or
        ``video_features`` (rows, d).
    """
    longest = max(len(sample.input_ids) for sample in samples)

    def padded(rows: Sequence[np.ndarray], filler: float) -> np.ndarray:
        wide = [(0, 0)] * (rows[0].ndim - 1)
        return np.stack(
            [np.pad(row, [*wide, (0, longest - row.shape[-1])], constant_values=filler) for row in rows],
            axis=-2,
        )

    batch = {
        "input_ids": torch.from_numpy(padded([sample.input_ids for sample in samples], pad_id)),
        "labels": torch.from_numpy(padded([sample.labels for sample in samples], IGNORED)),
        "position_ids": torch.from_numpy(padded([sample.position_ids for sample in samples], 0)),
    }
    frames = [piece for sample in samples for piece in sample.frames]
    patches = [piece for piece in frames if isinstance(piece, Patches)]
    features = [piece for piece in frames if isinstance(piece, Features)]
    if patches:
        batch["pixel_values_videos"] = torch.cat([piece.pixel_values for piece in patches])
        batch["video_grid_thw"] = torch.tensor([piece.grid_thw for piece in patches])
    if features:
        batch["video_features"] = torch.cat([piece.values for piece in features])
    return batch
