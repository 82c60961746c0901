"""What of a match is still in the cache when a question is asked: the layout of its stream, played again.

The stream's own functions write and evict it from what was said; no model runs. What was said is tokenised
again for it, which gives the arena's own model its tokens back.

Shape legend: n = tokens of the layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from svlm_cli.arena.asking.asked import AskedQuestion, Evidence, EvidencePlace
from svlm_cli.arena.asking.match import MatchQuestion
from svlm_cli.bench.arena.answers import YES_NO, AnswerOutcome, Where
from svlm_cli.model.family.markup import Markup, Tokenizer
from svlm_cli.model.prompt import Part, PromptWriter
from svlm_cli.model.window import SpanKind, TokenRange, WindowLimits
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.context import Context
from svlm_cli.stream.step.turns import TurnWriter

_OPENING_TURN = -1


@dataclass(frozen=True, slots=True)
class _Second:
    """A clip of a whole second with one token of frames: only whether there are some matters."""

    number: int
    grid: tuple[int, int, int] = (1, 1, 1)
    places: tuple[int, ...] | None = None

    @property
    def start_seconds(self) -> float:
        return float(self.number)

    @property
    def end_seconds(self) -> float:
        return float(self.number + 1)

    @property
    def video(self) -> _Second:
        return self


class KeptTokens:
    """The layout of a stream whose steps are whole seconds from 0 on.

    Args:
        tokenizer, markup: of the model that spoke.
        settings: of the stream, with its opening as previous text.
    """

    def __init__(self, tokenizer: Tokenizer, markup: Markup, settings: StreamSettings) -> None:
        self._writer = PromptWriter(tokenizer, markup)
        self._settings = settings
        self._limits = WindowLimits(
            settings.sink, settings.text_window, settings.vision_turns, settings.rounds
        )
        self._turn_writer = TurnWriter(settings, self._writer, self._limits)
        self._turn = 0
        self._told = [
            len(self._writer.encode_plain(settings.opening_text))
        ]  # words of the opening, of each turn
        self._left: dict[int, int] = {}  # the turn before which the first of a turn's words went
        self._begin_anew()

    def begin_turn(self, question: str = "") -> None:
        """Evict as the stream does before its next turn, and write that up to where the answer begins."""
        self._make_room()
        self._append(self._turn_writer.parts(self._turn, _Second(self._turn), self._context, question))

    def end_turn(self, text: str, reply: str = "") -> None:
        """What was said in it."""
        said = self._writer.said(text, reply)
        self._told.append(len(said.words))
        self._append(self._writer.answer_parts(self._turn, said))
        self._turn += 1

    @property
    def ids(self) -> np.ndarray:
        """The tokens of the layout but for frames: int64, shape (m,)."""
        ids: np.ndarray = self._context.ids[self._kinds != SpanKind.VIDEO]
        return ids

    def is_kept(self, evidence: Evidence) -> bool:
        """Whether all tokens of a piece of evidence are there.

        A second in which nothing was said has lost nothing: that a line was missed is the speaker's fault.
        """
        if evidence.place is EvidencePlace.FRAMES:
            shown = self._turns[self._kinds == SpanKind.VIDEO]
            return bool((shown == evidence.second).any())
        return not self._gone_of(evidence)

    def where(self, asked: AskedQuestion) -> Where:
        """Where the evidence of an answer lies; the first group of several says it."""
        missing = [group for group in asked.needs if not any(map(self.is_kept, group))]
        if missing:
            seen = [self._is_echoed(each) for group in missing for each in group]
            return Where.ECHO if any(seen) else Where.GONE
        first = [each for each in asked.needs[0] if self.is_kept(each)] if asked.needs else []
        if any(each.place is EvidencePlace.FRAMES for each in first):
            return Where.FRAMES
        return Where.TEXT if any(each.second >= 0 for each in first) else Where.SINK

    def _gone_of(self, evidence: Evidence) -> list[int]:
        """Turns whose words are evidence and not all there, -1 for the opening, in order."""
        ends = self._turn if evidence.place is EvidencePlace.SINCE else evidence.second + 1
        return [turn for turn in range(evidence.second, ends) if turn in self._left]

    def _is_echoed(self, evidence: Evidence) -> bool:
        """Whether states are there that were computed beside the first of it that is gone."""
        if evidence.place is EvidencePlace.FRAMES:
            turn, left = evidence.second, evidence.second + self._settings.vision_turns
            kind = SpanKind.VIDEO
        else:
            turn = self._gone_of(evidence)[0]
            left = self._left[turn]
            kind = SpanKind.PREVIOUS_TEXT if turn == _OPENING_TURN else SpanKind.WORDS
        beside = (self._born >= max(turn, 0)) & (self._born < left)
        own = (self._kinds == kind) & (self._turns == turn)
        return bool((beside & ~own & (self._turns != _OPENING_TURN)).any())

    def _begin_anew(self) -> None:
        self._context = Context(stride=1.0)
        self._kinds, self._turns, self._born = (np.zeros(0, dtype=np.int64) for _ in range(3))

    def _append(self, parts: Sequence[Part]) -> None:
        self._context.append(parts)
        spans = [part.span for part in parts]
        nums = [span.num_tokens for span in spans]
        kinds = np.repeat([int(span.kind) for span in spans], nums)
        turns = np.repeat(
            [_OPENING_TURN if span.kind is SpanKind.PREVIOUS_TEXT else span.turn for span in spans], nums
        )
        self._kinds = np.append(self._kinds, kinds)
        self._turns = np.append(self._turns, turns)
        self._born = np.append(self._born, np.full(len(kinds), self._turn))

    def _make_room(self) -> None:
        keeping, turn = self._settings.policy.keeping, self._turn
        if turn == 0:
            return
        if keeping.restarts:
            if turn % self._settings.restart_turns == 0:
                self._begin_anew()
        elif keeping.evicts:
            self._take(self._context.evict(turn, self._limits).kept)
            if keeping.recomputes:
                self._born[:] = turn
        else:
            return
        told = (self._kinds == SpanKind.WORDS) | (self._kinds == SpanKind.PREVIOUS_TEXT)
        there = np.bincount(self._turns[told] + 1, minlength=turn + 1)
        for place in np.flatnonzero(there < self._told).tolist():
            self._left.setdefault(place - 1, turn)

    def _take(self, kept: Sequence[TokenRange]) -> None:
        self._kinds, self._turns, self._born = (
            np.concatenate([array[piece.start : piece.end] for piece in kept])
            for array in (self._kinds, self._turns, self._born)
        )


def answer_outcomes(
    kept: KeptTokens, questions: Iterable[MatchQuestion], said: Sequence[str], replies: Mapping[int, str]
) -> tuple[AnswerOutcome, ...]:
    """Play a match's layout again and judge each reply by what was there.

    Args:
        kept: the layout of the stream, before its first turn.
        questions: of the match, at most one a second.
        said: the words of every second.
        replies: by the second of their question.

    Raises:
        ValueError: they are not the replies to these questions.
    """
    asked_in = {question.second: question.asked for question in questions}
    if asked_in.keys() != replies.keys():
        raise ValueError(f"{len(replies)} replies to {len(asked_in)} questions")
    found = []
    for second, text in enumerate(said):
        asked = asked_in.get(second)
        kept.begin_turn("" if asked is None else asked.text)
        if asked is not None:
            found.append(
                AnswerOutcome(
                    second=second,
                    name=YES_NO if asked.is_claim else asked.kind.value,
                    question=asked.text,
                    truth=asked.answer,
                    right=asked.right(kept.is_kept),
                    where=kept.where(asked),
                    reply=replies[second],
                )
            )
        kept.end_turn(text, replies.get(second, ""))
    return tuple(found)
