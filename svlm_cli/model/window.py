"""What the context keeps: the window rule of StreamingVLM over integer spans, without torch.

The context is a row of spans in the order of the layout ``[system][previous text][turn][turn]...``.
``evict`` takes that row before a turn is written and says which token ranges of it stay, in which
order. Everything else (slots, keys, positions) obeys this answer.

Source of the rule: StreamingVLM, arXiv 2510.09608, section 3.1, and its public reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class SpanKind(IntEnum):
    """The role of a span in the layout; a turn's kinds are in the order of the prompt."""

    SYSTEM = 0
    PREVIOUS_HEAD = 1
    PREVIOUS_TEXT = 2
    PREVIOUS_TAIL = 3
    TURN_HEAD = 4
    TIME = 5
    VISION_START = 6
    VIDEO = 7
    VISION_END = 8
    QUERY = 9
    ANSWER_HEAD = 10
    WORDS = 11
    ANSWER_TAIL = 12


VISION = frozenset({SpanKind.VISION_START, SpanKind.VIDEO, SpanKind.VISION_END})
SPOKEN = frozenset({SpanKind.TIME, SpanKind.ANSWER_HEAD, SpanKind.WORDS, SpanKind.ANSWER_TAIL})
# By kind: looked up for every span of every step, where sets of enum members cost ten times as much.
_IS_VISION = tuple(kind in VISION for kind in SpanKind)
_IS_SPOKEN = tuple(kind in SPOKEN for kind in SpanKind)


@dataclass(frozen=True, slots=True)
class Span:
    """A run of tokens with one role.

    Args:
        kind: its role.
        turn: the turn it belongs to, -1 for the opening.
        num_tokens: its length, 0 or more.
        grid: for ``VIDEO`` only: merged grid (time, height, width) with
            ``time * height * width == num_tokens``.
        places: for ``VIDEO`` only: which tokens of the grid are there, ascending, where some were left out.
    """

    kind: SpanKind
    turn: int
    num_tokens: int
    grid: tuple[int, int, int] | None = None
    places: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_tokens < 0:
            raise ValueError(f"a span cannot hold {self.num_tokens} tokens")
        if (self.grid is not None) != (self.kind is SpanKind.VIDEO):
            raise ValueError(f"a grid belongs to video spans alone, not to {self.kind.name}")
        size = 0 if self.grid is None else self.grid[0] * self.grid[1] * self.grid[2]
        if self.places is not None:
            if len(self.places) != self.num_tokens or not 0 <= self.places[0] <= self.places[-1] < size:
                raise ValueError(
                    f"{len(self.places)} places of grid {self.grid} for {self.num_tokens} tokens"
                )
        elif self.grid is not None and size != self.num_tokens:
            raise ValueError(f"grid {self.grid} does not hold {self.num_tokens} tokens")


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How much is kept.

    Args:
        sink: S, first tokens of "previous text"; 0 or more.
        text_window: T, last tokens of "previous text"; 0 or more.
        vision_turns: V, last turns whose frames are kept, the one about to be written included.
        rounds: R, last turns whose words stay in place, the one about to be written included.
    """

    sink: int
    text_window: int
    vision_turns: int
    rounds: int

    def __post_init__(self) -> None:
        if self.sink < 0 or self.text_window < 0 or self.vision_turns < 1 or self.rounds < 1:
            raise ValueError(f"limits out of range: {self}")


@dataclass(frozen=True, slots=True)
class TokenRange:
    """Tokens [start, end) of the layout before an eviction."""

    start: int
    end: int

    @property
    def num_tokens(self) -> int:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Eviction:
    """What stays.

    Args:
        spans: the layout afterwards.
        kept: ranges of the old layout in their new order; concatenated they are ``spans``.
    """

    spans: tuple[Span, ...]
    kept: tuple[TokenRange, ...]


def middle_cut(num_tokens: int, limits: WindowLimits) -> tuple[TokenRange, ...]:
    """The ranges of a "previous text" of ``num_tokens`` that sink and window keep."""
    if num_tokens <= limits.sink + limits.text_window:
        return (TokenRange(0, num_tokens),)
    return (TokenRange(0, limits.sink), TokenRange(num_tokens - limits.text_window, num_tokens))


def evict(spans: Sequence[Span], turn: int, limits: WindowLimits) -> Eviction:
    """Apply the window rule before turn ``turn`` is written.

    1. Turns up to ``turn - rounds`` lose their spoken part; its words move to the end of
       "previous text".
    2. Turns up to ``turn - vision_turns`` lose their vision block.
    3. A turn that has lost both goes whole.
    4. "Previous text" longer than sink + window is cut in the middle.

    Args:
        spans: the layout, opening first, with its ``PREVIOUS_TEXT`` span (which may be empty).
        turn: number of the turn about to be written.
        limits: what to keep.

    Raises:
        ValueError: ``spans`` holds no "previous text".
    """
    last_silent, last_blind = turn - limits.rounds, turn - limits.vision_turns
    last_bare = min(last_silent, last_blind)
    front: list[Span] = []
    rest: list[Span] = []
    text: list[TokenRange] = []
    front_kept: list[tuple[int, int]] = []
    rest_kept: list[tuple[int, int]] = []
    text_kind, words_kind, tail_kind = SpanKind.PREVIOUS_TEXT, SpanKind.WORDS, SpanKind.PREVIOUS_TAIL
    has_text = False
    end = 0
    for span in spans:
        start, end = end, end + span.num_tokens
        kind = span.kind
        if kind is text_kind or (kind is words_kind and span.turn <= last_silent):
            has_text = has_text or kind is text_kind
            text.append(TokenRange(start, end))
        elif kind < tail_kind:
            front.append(span)
            front_kept.append((start, end))
        elif kind is tail_kind or span.turn > (
            last_blind if _IS_VISION[kind] else last_silent if _IS_SPOKEN[kind] else last_bare
        ):
            rest.append(span)
            rest_kept.append((start, end))
    if not has_text:
        raise ValueError("the layout holds no previous text")
    pieces = _take(text, middle_cut(sum(piece.num_tokens for piece in text), limits))
    words = Span(text_kind, -1, sum(piece.num_tokens for piece in pieces))
    kept = [*front_kept, *((piece.start, piece.end) for piece in pieces), *rest_kept]
    return Eviction(spans=(*front, words, *rest), kept=merged(kept))


def _take(pieces: Iterable[TokenRange], wanted: Iterable[TokenRange]) -> list[TokenRange]:
    """The parts of ``pieces`` (laid end to end) that fall into the ``wanted`` ranges."""
    taken = []
    for want in wanted:
        offset = 0
        for piece in pieces:
            start = max(want.start - offset, 0)
            end = min(want.end - offset, piece.num_tokens)
            if start < end:
                taken.append(TokenRange(piece.start + start, piece.start + end))
            offset += piece.num_tokens
    return taken


def merged(pieces: Iterable[tuple[int, int]]) -> tuple[TokenRange, ...]:
    """The same tokens in the same order, neighbours joined and empty ranges left out."""
    joined: list[list[int]] = []
    for start, end in pieces:
        if start == end:
            continue
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return tuple(TokenRange(start, end) for start, end in joined)
