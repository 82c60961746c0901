"""The window rule against a token-by-token reading of the specification."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.model.window import (
    Span,
    SpanKind,
    TokenRange,
    WindowLimits,
    evict,
    merged,
    middle_cut,
)

K = SpanKind


def opening(num_text: int) -> list[Span]:
    return [
        Span(K.SYSTEM, -1, 11),
        Span(K.PREVIOUS_HEAD, -1, 4),
        Span(K.PREVIOUS_TEXT, -1, num_text),
        Span(K.PREVIOUS_TAIL, -1, 2),
    ]


def turn_spans(turn: int, num_words: int, num_tail: int, grid: tuple[int, int, int]) -> list[Span]:
    return [
        Span(K.TURN_HEAD, turn, 3),
        Span(K.TIME, turn, 10),
        Span(K.VISION_START, turn, 1),
        Span(K.VIDEO, turn, grid[0] * grid[1] * grid[2], grid),
        Span(K.VISION_END, turn, 1),
        Span(K.QUERY, turn, 2 + (5 if turn == 0 else 0)),
        Span(K.ANSWER_HEAD, turn, 3),
        Span(K.WORDS, turn, num_words),
        Span(K.ANSWER_TAIL, turn, num_tail),
    ]


class Reading:
    """The five rules of the specification, applied to single named tokens."""

    def __init__(self, num_text: int, limits: WindowLimits) -> None:
        self.limits = limits
        self.front = [("system", i) for i in range(11)] + [("head", i) for i in range(4)]
        self.text = [("text", i) for i in range(num_text)]
        self.close = [("close", i) for i in range(2)]
        self.turns: dict[int, list[tuple]] = {}

    def add(self, turn: int, num_words: int, num_tail: int, num_video: int) -> None:
        def named(role: str, count: int) -> list[tuple]:
            return [(turn, role, i) for i in range(count)]

        self.turns[turn] = [
            *named("head", 3),
            *named("time", 10),
            *named("vision", num_video + 2),
            *named("query", 2 + (5 if turn == 0 else 0)),
            *named("answer", 3),
            *named("words", num_words),
            *named("tail", num_tail),
        ]

    def evict(self, turn: int) -> None:
        silent, blind = turn - self.limits.rounds, turn - self.limits.vision_turns
        if silent in self.turns:
            self.text += [token for token in self.turns[silent] if token[1] == "words"]
            self.turns[silent] = [t for t in self.turns[silent] if t[1] in ("head", "vision", "query")]
        if blind in self.turns:
            self.turns[blind] = [t for t in self.turns[blind] if t[1] != "vision"]
        self.turns = {i: t for i, t in self.turns.items() if i > silent or i > blind}
        if len(self.text) > self.limits.sink + self.limits.text_window:
            tail = self.text[len(self.text) - self.limits.text_window :]
            self.text = self.text[: self.limits.sink] + tail

    def tokens(self) -> list[tuple]:
        return [*self.front, *self.text, *self.close, *(t for i in sorted(self.turns) for t in self.turns[i])]


limits_strategy = st.builds(
    WindowLimits,
    sink=st.integers(0, 12),
    text_window=st.integers(0, 12),
    vision_turns=st.integers(1, 6),
    rounds=st.integers(1, 6),
)
answers = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3)), min_size=1, max_size=16)


@settings(max_examples=300, deadline=None)
@given(limits=limits_strategy, num_text=st.integers(0, 30), said=answers)
def test_kept_tokens_are_those_of_the_specification(limits, num_text, said):
    reading = Reading(num_text, limits)
    spans: tuple[Span, ...] = tuple(opening(num_text))
    named = reading.tokens()
    for turn, (num_words, num_tail) in enumerate(said):
        reading.evict(turn)
        eviction = evict(spans, turn, limits)
        spans = eviction.spans
        named = [named[i] for piece in eviction.kept for i in range(piece.start, piece.end)]
        assert named == reading.tokens()
        assert sum(span.num_tokens for span in spans) == len(named)
        reading.add(turn, num_words, num_tail, 6)
        spans += tuple(turn_spans(turn, num_words, num_tail, (1, 2, 3)))
        named = reading.tokens()


@given(limits=limits_strategy, said=answers)
def test_layout_is_bounded_whatever_is_said(limits, said):
    spans: tuple[Span, ...] = tuple(opening(8))
    for turn, (num_words, num_tail) in enumerate(said * 3):
        spans = evict(spans, turn, limits).spans
        text = next(span for span in spans if span.kind is K.PREVIOUS_TEXT)
        assert text.num_tokens <= limits.sink + limits.text_window
        assert sum(span.kind is K.VIDEO for span in spans) <= limits.vision_turns - 1
        assert sum(span.kind is K.WORDS for span in spans) <= limits.rounds - 1
        spans += tuple(turn_spans(turn, num_words, num_tail, (1, 1, 2)))


def test_layout_order_is_opening_then_turns():
    spans = [*opening(3), *turn_spans(0, 2, 1, (1, 1, 2)), *turn_spans(1, 2, 1, (1, 1, 2))]
    kept = evict(spans, 2, WindowLimits(9, 9, 2, 1)).spans
    assert [span.kind for span in kept[:4]] == [K.SYSTEM, K.PREVIOUS_HEAD, K.PREVIOUS_TEXT, K.PREVIOUS_TAIL]
    assert kept[2].num_tokens == 3 + 2 + 2
    assert [span.turn for span in kept[4:]] == [1] * 5


@pytest.mark.parametrize(
    ("num_tokens", "sink", "text_window", "ranges"),
    [
        (10, 4, 4, [(0, 4), (6, 10)]),
        (8, 4, 4, [(0, 8)]),
        (5, 0, 3, [(0, 0), (2, 5)]),
        (5, 3, 0, [(0, 3), (5, 5)]),
        (5, 0, 0, [(0, 0), (5, 5)]),
        (5, 10**9, 0, [(0, 5)]),
    ],
)
def test_middle_cut(num_tokens, sink, text_window, ranges):
    kept = middle_cut(num_tokens, WindowLimits(sink, text_window, 1, 1))
    assert [(piece.start, piece.end) for piece in kept] == ranges


def test_merged_joins_neighbours_only():
    pieces = [(0, 2), (2, 5), (5, 5), (7, 8), (3, 4)]
    assert merged(pieces) == (TokenRange(0, 5), TokenRange(7, 8), TokenRange(3, 4))


@pytest.mark.parametrize("limits", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)])
def test_limits_out_of_range_are_refused(limits):
    with pytest.raises(ValueError, match="out of range"):
        WindowLimits(*limits)


def test_spans_are_checked():
    with pytest.raises(ValueError, match="does not hold"):
        Span(K.VIDEO, 0, 5, (1, 2, 3))
    with pytest.raises(ValueError, match="video spans alone"):
        Span(K.TIME, 0, 6, (1, 2, 3))
    with pytest.raises(ValueError, match="no previous text"):
        evict([Span(K.SYSTEM, -1, 3)], 1, WindowLimits(1, 1, 1, 1))
