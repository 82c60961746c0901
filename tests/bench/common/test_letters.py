"""One rule for letters: replies that are made with a known meaning, for choices and for judges."""

from __future__ import annotations

import random

import pytest

from svlm_cli.bench.common.letters import ALPHABET, first_letter, letters_of, sure_letter
from svlm_cli.bench.judge.reading import read_letter

OPTIONS = ("a red cup", "the man in blue", "nobody at all", "two dogs", "it cannot be known", "on the left")
BARE = ("{}", "({})", "[{}]", "[[{}]]", "{}.", "{})", "**{}**", "**{}.**", "`{}`", '"{}"', "'{}'", " {}\n")
SAID = (
    "Answer: {}",
    "**Answer:** {}",
    "**Answer: {}**",
    "The answer is {}.",
    "The correct answer is: {}",
    "I think the answer is {}",
    "So the best option is {}.",
    "Based on the video, the answer is {}.",
    "Final answer: option {}",
    "Option {}",
    "Option {} is correct.",
    "{} is correct",
    "I choose {}.",
    "<answer>{}</answer>",
    "<think>Answer: X?</think>{}",
    "\\boxed{{{}}}",
    '{{"answer": "{}"}}',
    '```json\n{{"reason": "it fits", "answer": "{}"}}\n```',
    "Because of the cup.\nAnswer: {}",
    "Both may be right at first sight.\n\n{}",
    "Letter: {}",
    "Selected: {}",
    "Response: {}",
    "Result: {}",
    "Answer - {}",
    "I'd say {}",
    "I'd go with {}.",
    "答案是{}",
    "正确答案：{}。",
    "因此，答案是{}。",
    "选{}",
)
WITH_TEXT = ("{}. {}", "{}) {}", "({}) {}", "{}: {}", "{} - {}", "**{}.** {}", "Answer: ({}) {}", "{}\n{}")
WITHOUT = (
    "Based on the video, he runs",
    "Because of the cup",
    "A dog is running.",
    "A man and a Dog",
    "Definitely",
    "E-mail is sent",
    "C-3PO is shown",
    "D.C. is shown",
    "I cannot tell",
    "",
    "  ",
    "Cup",
    "ABCD",
    "Answer: A dog",
    "None of A, B, C",
    "both",
    "The answer is a clear cup",
    "Don't know",
    "Entirely Empty",
    "B2B",
    "I'd say A man runs.",
    "The result is A draw",
    "选手A",
)
TORN = (
    "{} or {}",
    "{} and {}",
    "{}, {}",
    "{}/{}",
    "Answer: {} or {}",
    "Answer: {}, {}",
    "{}. Answer: {}",
    "{}: one thing\n{}: another",
    "The answer is {}. The answer is {}.",
    "If the answer is {}, not {}",
)


@pytest.mark.parametrize("seed", range(3))
def test_what_a_reply_means(seed: int) -> None:
    draw = random.Random(seed)
    for form in (*BARE, *SAID):
        letters = letters_of(draw.choice((2, 4, 5, 7, 10)))
        letter = draw.choice(letters)
        plain = form.format(letter)
        assert sure_letter(plain, letters) == letter, plain
        around = form.format(draw.choice((f"({letter})", f"**{letter}**", letter)))
        assert sure_letter(around, letters) == letter, around
    for form in WITH_TEXT:
        letter = draw.choice("ABCDE")
        reply = form.format(letter, draw.choice(OPTIONS))
        assert sure_letter(reply) == letter, reply


def test_what_means_nothing() -> None:
    for reply in WITHOUT:
        assert sure_letter(reply) is None, reply
    draw = random.Random(7)
    for form in TORN:
        one, other = draw.sample("ABCDE", 2)
        assert sure_letter(form.format(one, other)) is None, form
    assert sure_letter("G") is None
    assert sure_letter("G", letters_of(7)) == "G"


def test_the_published_rule_beside_it() -> None:
    assert first_letter("Answer: C") == "A"
    assert sure_letter("Answer: C") == "C"
    assert first_letter("Based on it") == "B"
    assert sure_letter("Based on it") is None
    assert letters_of(3) == "ABCDE"
    assert letters_of(26) == ALPHABET


@pytest.mark.parametrize("letter", ["A", "B"])
def test_verdicts(letter: str) -> None:
    forms = (
        *BARE,
        *(form for form in SAID if "ption" not in form),
        "Candidate {}",
        "**Candidate {}**",
        "candidate {}.",
        '{{"winner":"{}"}}',
        '{{"winner": "Candidate {}", "reason": "A is a list, B too"}}',
        "Answer: ({})",
        "My final verdict is: [[{}]]",
        "The better commentary is {}.",
        "Candidate {} is better.",
        "Winner: {}",
        "<verdict>[[{}]]</verdict>",
        "I choose Candidate {} because it is live.",
        "Candidate {} wins over the other.",
        "Both are lively. Candidate {} is better.",
        "Output: {}",
    )
    for form in forms:
        reply = form.format(letter)
        assert read_letter(reply) == {"A": "first", "B": "second"}[letter], reply


@pytest.mark.parametrize(
    "reply",
    [
        "[[A]] vs [[B]]",
        "Candidate A, Candidate B",
        "Candidate A and Candidate B",
        "[[C]]",
        '{"winner": "tie"}',
        "Candidate A: 7\nCandidate B: 8",
        '{"A": 3, "B": 4}',
        "Neither A nor B",
        "A and B are equal",
        "",
        "A tie",
        "Answer: Candidate A or Candidate B",
        '{"winner": null}',
        "[[tie]]",
        "<answer></answer>",
    ],
)
def test_no_verdicts(reply: str) -> None:
    assert read_letter(reply) is None
