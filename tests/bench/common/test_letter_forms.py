"""Replies made from forms whose meaning is known: sure ones are read, all others are nothing.

In ``forms`` a line is a reply: § (small: ß) is the letter that is meant, † ‡ ¤ ¢ are others, ⏎ is a new line.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from svlm_cli.bench.common.letters import letters_of, sure_letter
from svlm_cli.bench.judge.reading import read_letter
from tests.cpu_time import no_hang

FORMS = {path.stem: path.read_text().splitlines() for path in (Path(__file__).parent / "forms").iterdir()}
AROUND = (
    "{}",
    "  {}  ",
    "\n\n{}\n",
    "{}<|im_end|>",
    "{}</s>",
    "{}<|endoftext|>\n<|im_start|>user\nWhich, A or B?",
    "<think>Is it A? B! Answer: C</think>\n\n{}",
    "<|im_start|>assistant\n{}",
    "{}\n\n\n",
)
PIECES = (
    *(
        "A",
        "B",
        " ",
        ":",
        "-",
        "=",
        ">",
        "answer",
        "is",
        "the",
        "so",
        "option",
        "(",
        ")",
        "[",
        "]",
        ".",
        "\n",
    ),
    *(
        "<b>",
        "<think>",
        "not",
        "or",
        ",",
        "\\boxed{",
        "{",
        '"',
        "'",
        "*",
        "`",
        "?",
        "wait",
        "A.",
        "B)",
        "1. ",
    ),
)


def filled(form: str, draw: random.Random, letters: str) -> tuple[str, str]:
    """A reply, and the letter that is meant by it."""
    chosen = draw.sample(letters, min(5, len(letters)))
    for mark, letter in zip("§†‡¤¢", chosen, strict=False):
        form = form.replace(mark, letter)
    return form.replace("ß", chosen[0].lower()).replace("⏎", "\n"), chosen[0]


@pytest.mark.parametrize("seed", range(4))
def test_choices(seed: int) -> None:
    draw = random.Random(seed)
    for name in ("sure", "nothing"):
        for form in FORMS[name]:
            reply, letter = filled(form, draw, "ABCDE")
            reply = draw.choice(AROUND).format(reply) if "{" not in reply else reply
            assert sure_letter(reply) == (letter if name == "sure" else None), reply


@pytest.mark.parametrize("seed", range(4))
def test_verdicts(seed: int) -> None:
    draw = random.Random(seed)
    for name in ("verdicts", "no_verdicts"):
        for form in FORMS[name]:
            reply, letter = filled(form, draw, "AB")
            reply = draw.choice(AROUND).format(reply) if "{" not in reply else reply
            wanted = {"A": "first", "B": "second"}[letter] if name == "verdicts" else None
            assert read_letter(reply) == wanted, reply


def test_letters_behind_e_are_read_where_there_are_as_many_options() -> None:
    draw = random.Random(5)
    for form in FORMS["sure"]:
        reply, letter = filled(form, draw, "BCDEFGHJKL")
        assert sure_letter(reply, letters_of(12)) == letter, reply


@pytest.mark.parametrize("seed", range(12))
def test_any_text_is_read_at_once(seed: int) -> None:
    draw = random.Random(seed)
    pieces, joint = draw.sample(PIECES, draw.choice((1, 2, 5))), draw.choice(("", " "))
    reply = joint.join(pieces) * 30_000 if seed % 2 else joint.join(draw.choices(pieces, k=100_000))
    with no_hang():
        assert sure_letter(reply, is_choice=bool(seed % 3)) in (None, *"ABCDE")


@pytest.mark.parametrize(
    "piece",
    ["but A wins, ", "Candidate A better matches ", "my ", "the best ", "\n", "A is closer; ", "so A, or "],
)
def test_long_replies_take_no_second(piece: str) -> None:
    text = (piece * 100_000)[:99_990] + "\nA"
    with no_hang():
        read_letter(text)
        sure_letter(text)
