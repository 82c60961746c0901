from __future__ import annotations

import json
from pathlib import Path

import pytest

import svlm_cli
from svlm_cli.arena.narrate import vocabulary
from svlm_cli.model.family.markup import MARKUP_TOKENS, find_markup
from svlm_cli.model.prompt import PromptWriter, time_text
from svlm_cli.train.learner import new_tokenizer


@pytest.fixture(scope="module")
def writer() -> PromptWriter:
    tokenizer = new_tokenizer()
    return PromptWriter(tokenizer, find_markup(tokenizer))


@pytest.mark.parametrize("line", ["pass by red Lions", "goal for red Lions two one", ""])
def test_a_spoken_line_reads_back(writer: PromptWriter, line: str) -> None:
    answer = writer.read_answer(writer.spoken(line))
    assert answer.text == line
    assert len(answer.words) == len(line.split())


def test_every_word_is_one_token() -> None:
    tokenizer = new_tokenizer()
    for word in vocabulary():
        ids = tokenizer.encode(f" {word}", add_special_tokens=False)
        assert len(ids) == 1
        assert ids[0] != tokenizer.unk_token_id


@pytest.mark.parametrize("start", [0.0, 7.0, 59.5, 3607.0, 123456.0])
def test_times_are_in_the_vocabulary(start: float) -> None:
    tokenizer = new_tokenizer()
    text = time_text(start, start + 1)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text


def test_an_unknown_word_is_unknown() -> None:
    tokenizer = new_tokenizer()
    assert tokenizer.encode(" zebra", add_special_tokens=False) == [tokenizer.unk_token_id]


def test_text_is_cut_and_marked_up_as_in_the_bundled_model() -> None:
    """Which an earlier build wrote."""
    bundled = Path(svlm_cli.__file__).parent / "assets" / "arena" / "tokenizer.json"
    stored = json.loads(bundled.read_text())
    made = json.loads(new_tokenizer().backend_tokenizer.to_str())
    assert made["pre_tokenizer"] == stored["pre_tokenizer"]
    assert made["added_tokens"] == stored["added_tokens"]
    assert [each["content"] for each in made["added_tokens"]][: len(MARKUP_TOKENS)] == list(MARKUP_TOKENS)
