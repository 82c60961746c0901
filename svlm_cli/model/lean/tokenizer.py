"""A tokenizer as its tokenizer.json writes it, by the library that transformers' own is built on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from svlm_cli.documents import read_json

_AS_WRITTEN = ("TokenizersBackend", "PreTrainedTokenizerFast")
_QWEN = ("Qwen2Tokenizer", "Qwen2TokenizerFast")
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
_MODEL = (
    *("byte_fallback", "dropout", "ignore_merges"),
    *("unk_token", "continuing_subword_prefix", "end_of_word_suffix"),
)
_QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class PlainTokenizer:
    """See ``family.markup.Tokenizer``.

    Args:
        tokenizer: a tokenizer that knows its special tokens.
        unk_token_id: what stands for what the vocabulary cannot write; None where it can write all.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, unk_token_id: int | None) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.unk_token_id = unk_token_id

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool = False) -> list[int]:
        """Ids of ``text``; markup in it is plain text where special tokens are split."""
        self._tokenizer.encode_special_tokens = split_special_tokens
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Text of ``token_ids``."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    def convert_tokens_to_ids(self, tokens: str) -> int | None:
        """Id of one token of the vocabulary; that of the unknown one where it is not there."""
        found = self._tokenizer.token_to_id(tokens)
        return self.unk_token_id if found is None else int(found)


def plain_tokenizer(folder: Path) -> PlainTokenizer | None:
    """The tokenizer of a checkpoint; None where transformers would make another of its files.

    Such are classes that build a tokenizer of their own, tokens that the configuration adds, and text that is
    tidied after decoding.
    """
    try:
        said = read_json(folder / "tokenizer_config.json")
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        written = _written(tokenizer)
        if not (_is_as_written(said, written) and _adds_nothing(said, written)):
            return None
        unknown = _unknown(said)
        return PlainTokenizer(tokenizer, None if unknown is None else tokenizer.token_to_id(unknown))
    except Exception:  # the library raises bare ones; transformers then says what is wrong
        return None


def _written(tokenizer: tokenizers.Tokenizer) -> dict[str, Any]:
    """What its file says but for the vocabulary, which as Python's objects would take a hundred MiB."""
    parts = {name: getattr(tokenizer, name) for name in ("normalizer", "pre_tokenizer", "decoder")}
    model = tokenizer.model
    return {
        **{name: None if part is None else json.loads(part.__getstate__()) for name, part in parts.items()},
        "model": {"type": type(model).__name__, **{name: getattr(model, name, None) for name in _MODEL}},
        "added_tokens": [
            {"content": token.content, "special": token.special}
            for token in tokenizer.get_added_tokens_decoder().values()
        ],
    }


def _is_as_written(said: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
    if said.get("tokenizer_class") in _AS_WRITTEN:
        return True
    return said.get("tokenizer_class") in _QWEN and _is_qwens(written)


def _is_qwens(written: Mapping[str, Any]) -> bool:
    """Whether it is what transformers' class for Qwen builds of the vocabulary."""
    pieces = written["pre_tokenizer"]["pretokenizers"]
    split = {"type": "Split", "pattern": {"Regex": _QWEN_PIECES}, "behavior": "Isolated", "invert": False}
    model = written["model"]
    return (
        written["normalizer"] == {"type": "NFC"}
        and len(pieces) == 2
        and pieces[0] == split
        and pieces[1]["type"] == "ByteLevel"
        and not pieces[1]["add_prefix_space"]
        and not pieces[1]["use_regex"]
        and written["decoder"]["type"] == "ByteLevel"
        and model["type"] == "BPE"
        and not (model.get("byte_fallback") or model.get("dropout") or model.get("ignore_merges"))
        and not any(
            model.get(key) for key in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix")
        )
    )


def _adds_nothing(said: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
    special = {token["content"] for token in written["added_tokens"] if token["special"]}
    plain = {token["content"] for token in written["added_tokens"] if not token["special"]}
    roles = {_text(said[role]) for role in _ROLES if said.get(role) is not None}
    extra = said.get("additional_special_tokens") or said.get("extra_special_tokens") or ()
    roles |= {_text(each) for each in (extra.values() if isinstance(extra, Mapping) else extra)}
    listed = (said.get("added_tokens_decoder") or {}).values()
    return (
        roles <= special
        and {each["content"] for each in listed if each.get("special")} <= special
        and {each["content"] for each in listed if not each.get("special")} <= plain
        and not said.get("clean_up_tokenization_spaces", False)
        and not said.get("add_prefix_space", False)
        and not said.get("split_special_tokens", False)
    )


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, Mapping) else token)


def _unknown(said: Mapping[str, Any]) -> str | None:
    default = "<|endoftext|>" if said.get("tokenizer_class") in _QWEN else None
    unknown = said.get("unk_token", default)
    return None if unknown is None else _text(unknown)
