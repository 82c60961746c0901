"""Replies of judges, read only where they are sure."""

from __future__ import annotations

import pytest

from svlm_cli.bench.judge.reading import read_letter, read_sentence


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A", "first"),
        (" b.\n", "second"),
        ("**A**", "first"),
        ("(B)", "second"),
        ("Answer: B", "second"),
        ("The winner is candidate A.", "first"),
        ("My verdict: B", "second"),
        ("Candidate A is better, Candidate B is dull", None),
        ("A strict reading shows both fail.", None),
        ("neither", None),
        ("AB", None),
        ("B - it follows the play", "second"),
        ("B. Candidate A reads like a summary.", "second"),
        ("A is better", "first"),
        ("B is better than A.", "second"),
        ("A wins.", "first"),
        ("B\n\nIt sounds like a broadcast; A does not.", "second"),
        ("**Verdict:** B", "second"),
        ("Both are close. Final answer: **B**", "second"),
        ("I prefer B.", "second"),
        ("A: lively. B: dull. Answer: B", "second"),
        ("A: lively. B: dull.", None),
        ("A. Answer: B", None),
        ("A or B", None),
        ("A, B", None),
        ("A/B", None),
        ("Answer: A or B", None),
        ("A better commentary would name the players.", None),
        ("I prefer a more lively commentary, so B.", "second"),
        ("Candidate A is worse. B wins.", "second"),
        ("The answer is a clear B", None),
        ("Verdict: neither. The better commentary? A tie.", None),
        ("Verdict: a tie", None),
        ("Winner: A tie", None),
        ("The answer is not A.", None),
        ("If the answer is A, the reference is wrong.", None),
        ("Candidate A is not broadcast-like.", None),
    ],
)
def test_letters_are_read_only_where_they_are_sure(reply: str, choice: str | None) -> None:
    assert read_letter(reply) == choice


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Commentary A is better aligned with the human commentary", "first"),
        ("I think Commentary B.", "second"),
        ("Commentary B over Commentary A", "first"),  # LiveCC's rule looks for A first
        ("both are fine", "tie"),
        ("A", "tie"),
    ],
)
def test_sentences_are_read_as_livecc_does(reply: str, choice: str) -> None:
    assert read_sentence(reply) == choice
