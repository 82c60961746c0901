"""A tokenizer of whole words for small models trained from nothing, with Qwen's markup by name.

A word carries its leading blank (" Lions"), so that parts of a prompt that are tokenised alone and
concatenated read back as they were written. Whole pieces of markup ("user\\n") are one token each, and
times are written in groups of two digits, so no hour of a stream is out of vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers

from svlm_cli.model.family.dialect import TURN_END
from svlm_cli.model.family.markup import END_OF_TEXT, MARKUP_TOKENS
from svlm_cli.model.prompt import PREVIOUS_ROLE, SILENCE, SYSTEM_TEXT

UNKNOWN = "<unk>"
_MARKUP = ("user\n", "assistant\n", "system\n", f"{PREVIOUS_ROLE}\n", SYSTEM_TEXT, "Time=")
_TIMES = (".0-", ".0s")
_NUMBERS = (*_TIMES, ".", "-", "s", *(str(n) for n in range(10)), *(f"{n:02d}" for n in range(100)))
_WHOLE = "|".join(piece.replace(".", r"\.").replace("\n", r"\n") for piece in (*_MARKUP, *_TIMES))
_PATTERN = rf"{_WHOLE}|[0-9]{{1,2}}| ?\.\.\.| ?[A-Za-z]+|\n|[\s\S]"


def word_tokenizer(
    words: Sequence[str], first_words: Sequence[str] = ()
) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer that knows ``words`` and the markup; anything else is ``<unk>``.

    Args:
        words: letters only; each is known with a leading blank.
        first_words: known without one too (the first word of a text).
    """
    pieces = [
        *MARKUP_TOKENS,
        UNKNOWN,
        "\n",
        SILENCE,
        *_MARKUP,
        *_NUMBERS,
        *first_words,
        *(f" {w}" for w in words),
    ]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(_PATTERN), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(list(MARKUP_TOKENS))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=UNKNOWN,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
