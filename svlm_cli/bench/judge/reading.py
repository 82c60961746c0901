"""What a judge's reply says: a letter where it is sure, or LiveCC's sentence."""

from __future__ import annotations

import re

TIE = "tie"
_END = r"(?=\s*$|\s*[.,;:!)\]\n–—-]|\s+(?:because|since|over|than)\b)"
_SIDE = r"(?:(?:candidate|commentary|option)\s+)?"
_NOUN = r"(?:answer|winner|verdict|choice|decision|vote)"
# "A", "B - it follows the play", "A is better": the letter itself comes first.
_LEADING = re.compile(
    rf"([AB])(?:\s*\n|{_END}|\s+(?:is\s+(?:clearly\s+)?(?:the\s+)?(?:better|best|winner)|wins){_END})"
)
# "Answer: B", "My verdict: candidate A", "The winner is B": at the beginning of a sentence.
_NAMED = re.compile(
    r"(?:^|[.!?;\n])\s*(?:(?i:so|thus|therefore|hence),?\s+)?(?:(?i:the|my|final|overall|i)\s+)*"
    rf"(?:(?i:{_NOUN})\s*(?:(?i:is)\s*:?|[:=])|(?i:prefer|choose|pick|vote\s+for))\s*(?i:{_SIDE})([AB]){_END}"
)
# "A: lively. B: dull": a letter that heads a part of a list is no answer.
_HEADING = r"(?:^|[\s.,;(])%s\s*[):]"


def read_letter(reply: str) -> str | None:
    """``first`` or ``second`` from a reply that should be one letter; None where it is not sure of one.

    Sure are a letter alone, a capital that the reply begins with (before its end, a mark, or "is better"),
    and a capital that a sentence names as the answer, winner, verdict or choice; two that differ are none.
    """
    text = re.sub(r"[*_`\"'#]", "", reply).strip()
    alone = re.sub(r"[^A-Za-z]", "", text).upper()
    if alone in ("A", "B"):
        return _place(alone)
    text = re.sub(r"^\W+", "", text)
    named = [found[1] for found in _NAMED.finditer(text)]
    leading = _LEADING.match(text)
    if leading is not None:
        other = "B" if leading[1] == "A" else "A"
        if re.match(rf"\W*(?:or\s+|and\s+)?{other}\b(?!\s+\w)", text[1:]):
            return None
        if not re.search(_HEADING % other, text[1:]):
            named.append(leading[1])
        elif not named:
            return None
    return _place(named[0]) if len(set(named)) == 1 else None


def read_sentence(reply: str) -> str:
    """LiveCC's rule: ``Commentary A`` first, else ``Commentary B``, anywhere; neither is a tie."""
    if "Commentary A" in reply:
        return "first"
    return "second" if "Commentary B" in reply else TIE


def _place(letter: str) -> str:
    return "first" if letter == "A" else "second"
