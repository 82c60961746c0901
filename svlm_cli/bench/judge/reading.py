"""What a judge's reply says: a letter where it is sure, or LiveCC's sentence."""

from __future__ import annotations

from svlm_cli.bench.common.letters import sure_letter

TIE = "tie"
_SIDES = {"A": "first", "B": "second"}


def read_letter(reply: str) -> str | None:
    """``first`` or ``second`` from a reply that should be one letter; None where it is not sure of one.

    Sure are a letter alone, in any case, and what ``letters.sure_letter`` is sure of: ``[[B]]``,
    ``Candidate B``, ``Answer: (B)``, ``<answer>B</answer>``, ``{"winner": "B"}``, ``B is better``.
    """
    letter = sure_letter(reply, "AB", is_choice=False)
    return None if letter is None else _SIDES[letter]


def read_sentence(reply: str) -> str:
    """LiveCC's rule: ``Commentary A`` first, else ``Commentary B``, anywhere; neither is a tie."""
    if "Commentary A" in reply:
        return "first"
    return "second" if "Commentary B" in reply else TIE
