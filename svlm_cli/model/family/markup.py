"""The special tokens of a checkpoint, found by name, and how its family lays frames and answers out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from svlm_cli.model.family.dialect import (
    IMAGE_PAD,
    QWEN,
    TURN_END,
    TURN_START,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    Dialect,
)

END_OF_TEXT = "<|endoftext|>"
MARKUP_TOKENS = (
    *(END_OF_TEXT, TURN_START, TURN_END, VISION_START, VISION_END),
    *("<|vision_pad|>", IMAGE_PAD, VIDEO_PAD),
)


_ENCODING = threading.Lock()


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer the prompt needs."""

    unk_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool = False) -> list[int]:
        """Ids of ``text``; markup in it is plain text where special tokens are split. See ``token_ids``."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Text of ``token_ids``."""

    def convert_tokens_to_ids(self, tokens: str) -> int | None:
        """Id of one token of the vocabulary."""


def token_ids(tokenizer: Tokenizer, text: str, *, is_plain: bool = False) -> tuple[int, ...]:
    """Ids of ``text``, from any thread.

    Whether markup is split is a setting of the tokenizer, not of a call: without the lock a stream that opens
    would change how the text of another is read in the middle of it.

    Args:
        tokenizer: may be shared by threads, as long as all of them encode here.
        text: may be empty.
        is_plain: whether markup in ``text`` stays plain text.
    """
    if not text:
        return ()
    with _ENCODING:
        return tuple(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=is_plain))


@dataclass(frozen=True, slots=True)
class Markup:
    """Ids of the special tokens, taken from the tokenizer by name, and the dialect that they are written in.

    Args:
        vision_start, vision_end: around the pads of a vision block, the nearest to them; None where a family
            has no such tokens.
        video_pad: stands for one row of features.
        end_of_text: None where the vocabulary has no ``<|endoftext|>``.
        frames_per_stamp: frames of a temporal patch, each of which is a block of its own behind its time as
            text (``Family.has_stamps``); 0 where a clip is one block.
        ends_thoughts: whether empty thoughts stand before every answer, so that the model has none.
    """

    turn_start: int
    turn_end: int
    vision_start: int | None
    vision_end: int | None
    video_pad: int
    end_of_text: int | None
    frames_per_stamp: int = 0
    ends_thoughts: bool = False
    dialect: Dialect = QWEN

    def __repr__(self) -> str:
        """Without what is usual: fingerprints of models, and so keys of stored results, hold this."""
        told = [each for each in fields(self) if getattr(self, each.name) != each.default]
        return f"Markup({', '.join(f'{each.name}={getattr(self, each.name)!r}' for each in told)})"

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        return (self.turn_end,) if self.end_of_text is None else (self.turn_end, self.end_of_text)


def find_markup(
    tokenizer: Tokenizer, frames_per_stamp: int = 0, *, thinks: bool = False, dialect: Dialect = QWEN
) -> Markup:
    """Look the markup up by name.

    Args:
        tokenizer: the tokenizer of the checkpoint.
        frames_per_stamp: as ``Markup`` has it.
        thinks: whether the model would; where the vocabulary has no word for that, it does not.
        dialect: names the tokens.

    Raises:
        KeyError: the vocabulary lacks one of the tokens; names it.
    """

    def find(token: str) -> int | None:
        ids = token_ids(tokenizer, token)
        return ids[0] if len(ids) == 1 and tokenizer.convert_tokens_to_ids(token) == ids[0] else None

    def need(token: str) -> int:
        found = find(token)
        if found is None:
            raise KeyError(token)
        return found

    starts, ends = (special_tokens(text) for text in (dialect.block_start, dialect.block_end))
    found = [need(token) for token in (*starts, *ends)]
    return Markup(
        turn_start=need(dialect.turn_start),
        turn_end=need(dialect.turn_end),
        vision_start=found[len(starts) - 1] if starts else None,
        vision_end=found[len(starts)] if ends else None,
        video_pad=need(dialect.pad),
        end_of_text=find(END_OF_TEXT),
        frames_per_stamp=frames_per_stamp,
        ends_thoughts=thinks and find("<think>") is not None,
        dialect=dialect,
    )


def special_tokens(text: str) -> list[str]:
    """The special tokens that a text is made of."""
    return [f"{piece}>" for piece in text.split(">")[:-1]]


def config_ids(tokenizer: Tokenizer, dialect: Dialect = QWEN) -> dict[str, int | None]:
    """Ids of the markup around pictures as a configuration of transformers names them."""
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in dialect.config_ids.items()}
