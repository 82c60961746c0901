"""The tokens of one stream: which are kept, their ids, and the positions they stand at.

Positions of kept tokens are contiguous from 0 up to a common ``base``. Attention sees differences
only, so when old turns leave, whichever side of the hole holds fewer tokens is moved and ``base``
takes up the rest; it returns to 0 before angles lose float32 accuracy.

Shape legend: n = tokens of the layout, fed or not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from svlm_cli.model import positions
from svlm_cli.model.prompt import Part
from svlm_cli.model.window import Eviction, Span, SpanKind, TokenRange, WindowLimits, evict
from svlm_cli.settings import StreamSettings

REBASE_POSITIONS = 4096.0
TOKENS_OF_MARKUP = 40
MAX_TURNS_RESERVED = 32
MAX_TEXT_RESERVED = 4096
Mark = tuple[tuple[Span, ...], np.ndarray, np.ndarray, np.ndarray, float]


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """What the cache must do after an eviction.

    Args:
        kept: ranges of the old layout that stay, in their new order.
        shifts: float64, shape (n,): how far each kept token stands behind where it was first fed.
    """

    kept: tuple[TokenRange, ...]
    shifts: np.ndarray


class Context:
    """Spans, ids and positions of the kept tokens, in layout order.

    Args:
        stride: positions between two temporal patches (``PatchSettings.stride``).
        rebase_positions: largest ``base`` before everything is rotated back to 0.
        grows: never move a token, so that positions grow with the stream.
    """

    def __init__(
        self, stride: float | None, rebase_positions: float = REBASE_POSITIONS, *, grows: bool = False
    ) -> None:
        self._stride = stride
        self._grows = grows
        self._fed_rows = np.zeros((3, 0))
        self._rebase_positions = rebase_positions
        self._spans: tuple[Span, ...] = ()
        self._ids = np.zeros(0, dtype=np.int64)
        self._origins = np.zeros(0)
        self._base = 0.0
        self._end = 0.0
        self._timed: tuple[tuple[Span, ...], np.ndarray] = (), np.zeros(0)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The layout."""
        return self._spans

    @property
    def ids(self) -> np.ndarray:
        """int64, shape (n,)."""
        return self._ids

    def num_tokens_of(self, kind: SpanKind) -> int:
        """Tokens of one role."""
        return sum(span.num_tokens for span in self._spans if span.kind is kind)

    @property
    def next_position(self) -> float:
        """Where the next token will stand, ``base`` included; the same in all three rows."""
        return self._base + self._end

    def snapshot(self) -> tuple[dict[str, object], dict[str, np.ndarray]]:
        """All that ``restore`` needs: what JSON can hold, and arrays."""
        spans = [[int(span.kind), span.turn, span.num_tokens, span.grid] for span in self._spans]
        plain: dict[str, object] = {"spans": spans, "base": self._base, "end": self._end}
        return plain, {"ids": self._ids, "origins": self._origins, "fed_rows": self._fed_rows}

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Become the context of which these are the snapshot."""
        self._spans = tuple(
            Span(SpanKind(kind), turn, num_tokens, None if grid is None else (grid[0], grid[1], grid[2]))
            for kind, turn, num_tokens, grid in plain["spans"]
        )
        self._base, self._end = float(plain["base"]), float(plain["end"])
        self._ids, self._origins, self._fed_rows = (
            arrays[name].copy() for name in ("ids", "origins", "fed_rows")
        )

    def mark(self) -> Mark:
        """Where the layout ends now, for ``back_to``; no copies."""
        return self._spans, self._ids, self._origins, self._fed_rows, self._end

    def back_to(self, mark: Mark) -> None:
        """Forget what was appended since; nothing else may have been done."""
        self._spans, self._ids, self._origins, self._fed_rows, self._end = mark

    def append(self, parts: Sequence[Part]) -> None:
        """Write parts at the end of the layout."""
        spans = [part.span for part in parts]
        rows = positions.rows(spans, self._stride, self.next_position)
        self._spans += tuple(spans)
        if self._grows:
            self._fed_rows = np.concatenate([self._fed_rows, rows], axis=1)
        self._ids = np.concatenate([self._ids, *(np.array(part.ids, dtype=np.int64) for part in parts)])
        self._origins = np.concatenate([self._origins, rows[0]])
        self._end += sum(positions.extent(span, self._stride) for span in spans)

    def rows(self) -> np.ndarray:
        """Positions counted from 0 over the kept tokens (all tokens, if they grow): float64, shape (3, n)."""
        if self._grows:
            return self._fed_rows
        return positions.rows(self._spans, self._stride)

    def _times(self) -> np.ndarray:
        """The first of ``rows`` where tokens move, worked out once for a layout."""
        if self._timed[0] is not self._spans:
            self._timed = self._spans, positions.time_row(self._spans, self._stride)
        return self._timed[1]

    def rows_from(self, num_fed: int) -> np.ndarray:
        """Positions, ``base`` included, of the tokens behind the first ``num_fed``."""
        first, start = 0, 0
        while first < len(self._spans) and start + self._spans[first].num_tokens <= num_fed:
            start += self._spans[first].num_tokens
            first += 1
        behind = self._spans[first:]
        length = sum(positions.extent(span, self._stride) for span in behind)
        rows = positions.rows(behind, self._stride, self.next_position - length)
        return rows[:, num_fed - start :]

    def evict(self, turn: int, limits: WindowLimits, *, rotate: bool = True) -> Move:
        """Apply the window rule before turn ``turn`` and say what the cache must do.

        Args:
            turn: number of the turn about to be written.
            limits: what to keep.
            rotate: False where every state will be computed afresh: positions restart from 0.
        """
        eviction = evict(self._spans, turn, limits)
        if self._grows:
            return self._close_ranks(eviction)
        before = self._times()
        self._spans = eviction.spans
        after = self._times()
        self._base = self._best_base(eviction.kept, before, after) if rotate else 0.0
        self._ids = _gathered(self._ids, eviction.kept)
        self._origins = _gathered(self._origins, eviction.kept)
        self._end = positions.span_starts(self._spans, self._stride)[-1]
        return Move(eviction.kept, after + self._base - self._origins)

    def _close_ranks(self, eviction: Eviction) -> Move:
        """Leave the hole between the positions of what is kept."""
        end = self.next_position
        self._spans = eviction.spans
        self._ids = _gathered(self._ids, eviction.kept)
        self._origins = _gathered(self._origins, eviction.kept)
        self._fed_rows = _gathered(self._fed_rows, eviction.kept)
        self._end = positions.span_starts(self._spans, self._stride)[-1]
        self._base = end - self._end
        return Move(eviction.kept, np.zeros(len(self._ids)))

    def refeed(self, num_fed: int) -> None:
        """Note that the tokens behind the first ``num_fed`` will be fed where they stand now."""
        if not self._grows:
            self._origins[num_fed:] = self._times()[num_fed:] + self._base

    def _best_base(self, kept: Sequence[TokenRange], before: np.ndarray, after: np.ndarray) -> float:
        """The base under which the most kept tokens need no rotation."""
        num_still: dict[float, int] = defaultdict(int)
        start = 0
        for piece in kept:
            num_still[round(before[piece.start] - after[start], 6)] += piece.num_tokens
            start += piece.num_tokens
        base = self._base + max(num_still, key=lambda drift: num_still[drift])
        return base if abs(base) <= self._rebase_positions else 0.0


def _gathered(array: np.ndarray, kept: Sequence[TokenRange]) -> np.ndarray:
    return np.concatenate([array[..., piece.start : piece.end] for piece in kept], axis=-1)


def tokens_to_reserve(settings: StreamSettings, num_video: int) -> int:
    """Tokens that a cache makes room for at first; growing is always possible, but not for nothing.

    Args:
        settings: the settings of the stream.
        num_video: tokens of one clip.
    """
    sampling = settings.sampling
    per_turn = TOKENS_OF_MARKUP + sampling.max_new_tokens
    keeping = settings.policy.keeping
    if keeping.evicts:
        text = min(settings.sink + settings.text_window, MAX_TEXT_RESERVED)
        turns = max(settings.vision_turns, settings.rounds)
        vision = (settings.vision_turns + 1) * num_video
        return text + turns * per_turn + vision + sampling.max_answer_tokens
    turns = settings.restart_turns if keeping.restarts else MAX_TURNS_RESERVED
    return turns * (per_turn + num_video)
