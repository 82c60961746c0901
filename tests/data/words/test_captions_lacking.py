"""Transcripts in which something is missing that others of their form have."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.transcript import words_in


@pytest.mark.parametrize("seed", range(4))
def test_srt_without_numbers_or_blank_lines(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    text, expected = dice.choice(["", "\ufeff", "\n\n"]), []
    for number in range(12):
        said = dice.choice(["goal", "2-1", "the keeper", "saves"]) + f" n{number}"
        index = f"{number}\n" if dice.random() < 0.5 else ""
        text += f"{index}00:00:{2 * number:02d},000 --> 00:00:{2 * number + 1:02d}.500\n{said}\n"
        text += dice.choice(["", "\n", "\n\n", "\r\n"])
        expected += said.split()
    path = tmp_path / "a.srt"
    path.write_text(text)
    words = words_in(read_utterances(path))
    assert [word.text for word in words] == expected
    assert {int(word.start_seconds) for word in words} == set(range(0, 24, 2)) | {
        int(word.start_seconds) for word in words if word.text.startswith("n")
    }


@pytest.mark.parametrize("seed", range(6))
def test_chunks_without_times_lie_between_their_neighbours(tmp_path: Path, seed: int) -> None:
    """transformers leaves out times of words and of sentences; all others keep theirs."""
    dice = random.Random(seed)
    many = seed % 2 + 1
    chunks: list[dict[str, object]] = []
    for number in range(dice.randrange(2, 12)):
        span = dice.choice([[number, number + 0.5], [number, None], [None, number + 0.5], [None, None], None])
        chunks.append({"text": " goal" * many, "timestamp": span})
    chunks.append({"text": " there" * many, "timestamp": [20.0, 21.0]})
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"chunks": chunks}))
    words = words_in(read_utterances(path))
    assert [word.text for word in words] == " ".join(str(each["text"]) for each in chunks).split()
    starts = [word.start_seconds for word in words[::many]]
    for at, each in zip(starts, chunks, strict=True):
        span = each["timestamp"]
        if isinstance(span, list) and span[0] is not None:
            assert at == span[0]
