"""How a prompt is written: the one home of the chat markup, in streaming and in training.

Every part is tokenised alone and the ids are concatenated: joined text would merge across parts
("\\n" + "\\n" is one token of Qwen's vocabulary).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from svlm_cli.model.window import Span, SpanKind, TokenRange
from svlm_cli.text import encodable

SYSTEM_TEXT = "You are a helpful assistant."
PREVIOUS_ROLE = "previous text"
SILENCE = " ..."
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
MARKUP_TOKENS = (
    *(END_OF_TEXT, TURN_START, TURN_END, VISION_START, VISION_END),
    *("<|vision_pad|>", IMAGE_PAD, VIDEO_PAD),
)


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer the prompt needs."""

    unk_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool = False) -> list[int]:
        """Ids of ``text``; markup in it is plain text where special tokens are split."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Text of ``token_ids``."""

    def convert_tokens_to_ids(self, tokens: str) -> int | None:
        """Id of one token of the vocabulary."""


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
        num_reply_tokens: of the reply, its line break included.
    """

    words: tuple[int, ...]
    tail: tuple[int, ...]
    text: str
    reply: str = ""
    num_reply_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Markup:
    """Ids of the special tokens, taken from the tokenizer by name.

    ``end_of_text`` is None where the vocabulary has no ``<|endoftext|>``.
    """

    turn_start: int
    turn_end: int
    vision_start: int
    vision_end: int
    video_pad: int
    end_of_text: int | None

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        return (self.turn_end,) if self.end_of_text is None else (self.turn_end, self.end_of_text)


def find_markup(tokenizer: Tokenizer) -> Markup:
    """Look the markup up by name.

    Raises:
        KeyError: the vocabulary lacks one of the tokens; names it.
    """

    def find(token: str) -> int | None:
        ids = tokenizer.encode(token, add_special_tokens=False)
        return ids[0] if len(ids) == 1 and tokenizer.convert_tokens_to_ids(token) == ids[0] else None

    def need(token: str) -> int:
        found = find(token)
        if found is None:
            raise KeyError(token)
        return found

    return Markup(
        turn_start=need(TURN_START),
        turn_end=need(TURN_END),
        vision_start=need(VISION_START),
        vision_end=need(VISION_END),
        video_pad=need(VIDEO_PAD),
        end_of_text=find(END_OF_TEXT),
    )


def config_ids(tokenizer: Tokenizer) -> dict[str, int | None]:
    """Ids of the markup around pictures as a configuration of transformers names them."""
    names = {"video": VIDEO_PAD, "image": IMAGE_PAD, "vision_start": VISION_START, "vision_end": VISION_END}
    return {f"{role}_token_id": tokenizer.convert_tokens_to_ids(token) for role, token in names.items()}


def time_text(start_seconds: float, end_seconds: float) -> str:
    """The time of a turn as the model reads it, seconds with one decimal."""
    return f"Time={start_seconds:.1f}-{end_seconds:.1f}s"


def unknown_words_text(words: Sequence[str]) -> str:
    """What is told of words from ``PromptWriter.unknown_words``."""
    return f"the model's vocabulary lacks: {', '.join(words)}; it reads them as unknown"


class PromptWriter:
    """Writes the parts of a prompt and reads answers back.

    Args:
        tokenizer: of the checkpoint.
        markup: its special tokens.
    """

    def __init__(self, tokenizer: Tokenizer, markup: Markup) -> None:
        self._tokenizer = tokenizer
        self.markup = markup
        self._silence = self.encode(SILENCE)
        self._newline = self.encode("\n")
        self._turn_tail = self.encode(f"{TURN_END}\n")
        self._turn_head = self.encode(f"{TURN_START}user\n")
        self._answer_head = self.encode(f"{TURN_START}assistant\n")

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of one part of the prompt, tokenised alone."""
        return tuple(self._tokenizer.encode(encodable(text), add_special_tokens=False)) if text else ()

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Ids of text from outside: markup in it stays text and cannot end a turn, and it is encodable."""
        if not text:
            return ()
        fit = encodable(text)
        return tuple(self._tokenizer.encode(fit, add_special_tokens=False, split_special_tokens=True))

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
        return [
            _part(SpanKind.SYSTEM, -1, self.encode(f"{TURN_START}system\n{SYSTEM_TEXT}{TURN_END}\n")),
            _part(SpanKind.PREVIOUS_HEAD, -1, self.encode(f"{TURN_START}{PREVIOUS_ROLE}\n")),
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
            start_seconds, end_seconds: of the step.
            grid: merged grid (time, height, width) of its frames.
            query: stands after the frames (first turn only).
            question: stands after the time.
            places: tokens of the grid that are shown, None for all.
        """
        asked = f" {question}" if question else ""
        pads = (self.markup.video_pad,) * (grid[0] * grid[1] * grid[2] if places is None else len(places))
        return [
            _part(SpanKind.TURN_HEAD, turn, self._turn_head),
            _part(
                SpanKind.TIME,
                turn,
                self.encode(time_text(start_seconds, end_seconds)) + self.encode_plain(asked),
            ),
            _part(SpanKind.VISION_START, turn, (self.markup.vision_start,)),
            Part(Span(SpanKind.VIDEO, turn, len(pads), grid, places), pads),
            _part(SpanKind.VISION_END, turn, (self.markup.vision_end,)),
            _part(SpanKind.QUERY, turn, self.encode_plain(query) + self._turn_tail),
            _part(SpanKind.ANSWER_HEAD, turn, self._answer_head),
        ]

    def plain(self, grid: tuple[int, int, int], question: str) -> list[Part]:
        """A conversation of one turn about one video, as Qwen's own chat template writes it: no stream.

        Args:
            grid: merged grid of the video.
            question: stands after it.
        """
        system, *_ = self.opening("")
        head, _, *vision, end, answer = self.turn(0, 0.0, 0.0, grid, query=question)
        return [system, head, *vision, end, answer]

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
            generated_ids: of one turn.
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
