"""How a prompt is written: the one home of the chat markup, in streaming and in training.

Every part is tokenised alone and the ids are concatenated: joined text would merge across parts
("\\n" + "\\n" is one token of Qwen's vocabulary).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from svlm_cli.model.family.markup import Markup, Tokenizer, token_ids
from svlm_cli.model.window import Span, SpanKind, TokenRange
from svlm_cli.text import encodable

SYSTEM_TEXT = "You are a helpful assistant."
PREVIOUS_ROLE = "previous text"
SILENCE = " ..."
NO_THOUGHTS = "<think>\n\n</think>\n\n"  # as Qwen3.5's chat template writes them with thinking off


@dataclass(frozen=True, slots=True)
class Part:
    """A span and its token ids."""

    span: Span
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was generated in one turn, cut into its roles.

    Args:
        words: ids that move to "previous text" later.
        tail: the closing " ..." (if there), end tokens; never moved.
        text: what the user sees.
        reply: what was said first, to a question; empty where none was asked.
        num_reply_tokens: the number of tokens of the reply, its line break included.
    """

    words: tuple[int, ...]
    tail: tuple[int, ...]
    text: str
    reply: str = ""
    num_reply_tokens: int = 0


def time_text(start_seconds: float, end_seconds: float) -> str:
    """The time of a turn as the model reads it, seconds with one decimal."""
    return f"Time={start_seconds:.1f}-{end_seconds:.1f}s"


def unknown_words_text(words: Sequence[str]) -> str:
    """What is told of words from ``PromptWriter.unknown_words``."""
    return f"the model's vocabulary lacks: {', '.join(words)}; it reads them as unknown"


class PromptWriter:
    """Writes the parts of a prompt and reads answers back.

    Args:
        tokenizer: the tokenizer of the checkpoint.
        markup: its special tokens.
    """

    def __init__(self, tokenizer: Tokenizer, markup: Markup) -> None:
        self._tokenizer = tokenizer
        self.markup = markup
        self._silence = self.encode(SILENCE)
        self._newline = self.encode("\n")
        dialect = markup.dialect
        self._dialect = dialect
        self._turn_tail = self.encode(f"{dialect.turn_end}\n")
        self._turn_head = self.encode(dialect.header("user"))
        thoughts = NO_THOUGHTS if markup.ends_thoughts else ""
        self._answer_head = self.encode(f"{dialect.answer_head}{thoughts}")
        self._around_pads = self.encode(dialect.block_start), self.encode(dialect.block_end)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of one part of the prompt, tokenised alone."""
        return token_ids(self._tokenizer, encodable(text))

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Ids of text from outside: markup in it stays text and cannot end a turn, and it is encodable."""
        return token_ids(self._tokenizer, encodable(text), is_plain=True)

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` a small vocabulary cannot write, each once, in order."""
        unknown = self._tokenizer.unk_token_id
        if unknown is None:
            return []

        def is_unknown(word: str) -> bool:
            return all(unknown in self.encode_plain(form) for form in (word, f" {word}"))

        lacking = (word for word in text.split() if is_unknown(word))
        bare = ((word, word.strip(string.punctuation)) for word in lacking)
        return list(dict.fromkeys(core if core and is_unknown(core) else word for word, core in bare))

    def opening(self, previous_text: str, kept: Sequence[TokenRange] | None = None) -> list[Part]:
        """System and "previous text", up to the first turn.

        Args:
            previous_text: title, context or earlier commentary.
            kept: ranges of its tokens to write, None for all (``window.middle_cut``).
        """
        text = self.encode_plain(previous_text)
        if kept is not None:
            text = tuple(token for piece in kept for token in text[piece.start : piece.end])
        dialect = self._dialect
        system = f"{dialect.opening}{dialect.header('system')}{SYSTEM_TEXT}{dialect.turn_end}\n"
        return [
            _part(SpanKind.SYSTEM, -1, self.encode(system)),
            _part(SpanKind.PREVIOUS_HEAD, -1, self.encode(dialect.header(PREVIOUS_ROLE))),
            _part(SpanKind.PREVIOUS_TEXT, -1, text),
            _part(SpanKind.PREVIOUS_TAIL, -1, self._turn_tail),
        ]

    def turn(
        self,
        turn: int,
        start_seconds: float,
        end_seconds: float,
        grid: tuple[int, int, int],
        query: str = "",
        question: str = "",
        places: tuple[int, ...] | None = None,
    ) -> list[Part]:
        """The user's part of one turn and the assistant's header.

        Args:
            turn: its number, from 0.
            start_seconds, end_seconds: the start and end of the step.
            grid: merged grid (time, height, width) of its frames.
            query: stands after the frames (first turn only).
            question: stands after the time.
            places: tokens of the grid that are shown, None for all.
        """
        dialect = self._dialect
        time = self.encode(time_text(start_seconds, end_seconds))
        asked = self._asked(question)
        lead = self.encode(dialect.before_query if query else "")
        return [
            _part(SpanKind.TURN_HEAD, turn, self._turn_head),
            _part(SpanKind.TIME, turn, time + asked + self.encode(dialect.after_time)),
            *self._frames(turn, start_seconds, end_seconds, grid, places),
            _part(SpanKind.QUERY, turn, lead + self.encode_plain(query) + self._turn_tail),
            _part(SpanKind.ANSWER_HEAD, turn, self._answer_head),
        ]

    def bare_question(self, turn: int, question: str) -> list[Part]:
        """A question where ``turn`` has it, without the time; nothing where none is asked."""
        ids = self._asked(question)
        return [_part(SpanKind.TIME, turn, ids)] if ids else []

    def _asked(self, question: str) -> tuple[int, ...]:
        return self.encode_plain(f" {question}" if question else "")

    def _frames(
        self,
        turn: int,
        start_seconds: float,
        end_seconds: float,
        grid: tuple[int, int, int],
        places: tuple[int, ...] | None,
    ) -> list[Part]:
        """The vision block of a clip, or one for each of its temporal patches that has something to show."""
        if not self.markup.frames_per_stamp:
            return self._block(turn, grid, places)
        parts: list[Part] = []
        size, number = grid[1] * grid[2], 1
        for patch, seconds in enumerate(self._stamps(start_seconds, end_seconds, grid[0])):
            first = patch * size
            own = None
            if places is not None:
                own = tuple(place - first for place in places if first <= place < first + size)
            if own != ():
                stamp = self.encode(self._dialect.stamp_text(seconds, number))
                parts += self._block(turn, (1, *grid[1:]), own, stamp)
                number += 1
        return parts

    def _block(
        self,
        turn: int,
        grid: tuple[int, int, int],
        places: tuple[int, ...] | None,
        stamp: tuple[int, ...] = (),
    ) -> list[Part]:
        """One vision block; its stamp leaves with it."""
        pads = (self.markup.video_pad,) * (grid[0] * grid[1] * grid[2] if places is None else len(places))
        closing = Part(Span(SpanKind.VIDEO, turn, 1, (1, 1, 1)), (self.markup.video_pad,))
        start, end = self._around_pads
        return [
            _part(SpanKind.VISION_START, turn, stamp + start),
            Part(Span(SpanKind.VIDEO, turn, len(pads), grid, places), pads),
            *([closing] * self._dialect.num_closing),
            _part(SpanKind.VISION_END, turn, end),
        ]

    def _stamps(self, start_seconds: float, end_seconds: float, num_patches: int) -> list[float]:
        """The mean time of the first and the last frame of each temporal patch."""
        depth = self.markup.frames_per_stamp
        fps = num_patches * depth / (end_seconds - start_seconds)
        shown = [(start_seconds * fps + frame) / fps for frame in range(num_patches * depth)]
        return [(shown[first] + shown[first + depth - 1]) / 2 for first in range(0, len(shown), depth)]

    def plain(self, grid: tuple[int, int, int], question: str, seconds: float) -> list[Part]:
        """A conversation of one turn about one video, as the family's chat template writes it: no stream.

        Args:
            grid: merged grid of the video.
            question: stands after it.
            seconds: it lasts; times count from its first frame.
        """
        system, *_ = self.opening("")
        head, _, *vision, end, answer = self.turn(0, 0.0, seconds, grid, query=question)
        return [system, head, *vision, end, answer]

    @property
    def silence(self) -> int:
        """The token that a silent second begins with."""
        return self._silence[0]

    def turn_break(self, turn: int) -> Part:
        """The line break between turn ``turn`` and the next; it leaves with the answer of ``turn``."""
        return _part(SpanKind.ANSWER_TAIL, turn, self._newline)

    def ends_in_break(self, ids: Sequence[int]) -> bool:
        """Whether ``ids``, the end of what is kept, end in a line break already (R = 1)."""
        return tuple(ids[-len(self._newline) :]) == self._newline

    def said(self, text: str, reply: str = "") -> Answer:
        """A whole answer that says ``text`` (may be empty), as training writes it.

        The reply to a question comes first, and a line break after it.
        """
        replied = self.encode_plain(f" {reply}") + self._newline if reply else ()
        words = self.encode_plain(f" {text}") if text else ()
        tail = (*self._silence, self.markup.turn_end)
        return Answer(replied + words, tail, text, reply, len(replied))

    def spoken(self, text: str) -> tuple[int, ...]:
        """The ids of such an answer, without a reply."""
        answer = self.said(text)
        return answer.words + answer.tail

    def ends_line(self, token: int) -> bool:
        """Whether a token ends a line: what stands between the reply to a question and that second's words.

        Training writes a lone "\\n"; a model may as well say it in one token with a full stop.
        """
        return "\n" in self._decode([token])

    def read_answer(self, generated_ids: Sequence[int], *, is_asked: bool = False) -> Answer:
        """Cut generated ids (a closing ``<|im_end|>`` included) into words and tail.

        Args:
            generated_ids: the generated ids of one turn.
            is_asked: the turn held a question: all up to the first line break replies to it.
        """
        num_words = len(generated_ids)
        while num_words and generated_ids[num_words - 1] in self.markup.ends:
            num_words -= 1
        num_spoken = num_words - len(self._silence)
        if num_spoken >= 0 and tuple(generated_ids[num_spoken:num_words]) == self._silence:
            num_words = num_spoken
        num_reply = 0
        if is_asked:
            breaks = (k + 1 for k in range(num_words) if self.ends_line(generated_ids[k]))
            num_reply = next(breaks, num_words)
        return Answer(
            words=tuple(generated_ids[:num_words]),
            tail=tuple(generated_ids[num_words:]),
            text=self._shown(generated_ids[num_reply:]),
            reply=self._shown(generated_ids[:num_reply]),
            num_reply_tokens=num_reply,
        )

    def _shown(self, ids: Sequence[int]) -> str:
        return self._decode(ids).removesuffix(SILENCE).strip()

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def answer_parts(self, turn: int, answer: Answer) -> list[Part]:
        """The parts an answer adds to the layout."""
        return [
            _part(SpanKind.WORDS, turn, answer.words),
            _part(SpanKind.ANSWER_TAIL, turn, answer.tail),
        ]


def _part(kind: SpanKind, turn: int, ids: tuple[int, ...]) -> Part:
    return Part(Span(kind, turn, len(ids)), ids)
