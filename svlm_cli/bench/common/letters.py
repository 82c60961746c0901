"""A letter in a reply: one rule for all multiple choice and for judges, beside the published ones.

``sure_letter`` reads what a reply means and nothing where it is not sure. Published scores rest on rougher
rules, which stand beside it under their own names: ``anywhere`` (OVO-Bench) and ``first_letter``
(LongVideoBench).
"""

from __future__ import annotations

import re
from functools import cache

FEWEST_LETTERS = 5  # A to E are read whatever the number of options
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.S | re.I)
_BOXED = re.compile(r"\\boxed\s*\{(?:\\\w+\s*\{)?([^{}]*)\}+")
_OPENING, _CLOSING = re.compile(r"<(\w+)>"), re.compile(r"</\w+>")
_JSON = re.compile(r'[{,]\s*(?="[^"]*"\s*:)|}')
_QUOTED = re.compile(r"['‘’]([A-Z])['‘’]")
_MARKUP = re.compile(r"[*_`\"“”#$]")
_UNSURE = re.compile(r"\W*(?:if|unless|suppose|assuming|had|were|although|while|when)\b", re.I)
_SENTENCE = re.compile(r"(?<=[.!?;\n])\s*")

_SIDE = (
    r"(?i:(?:(?:the|better|winning)\s+)*"
    r"(?:candidate|commentary|option|choice|answer|letter|assistant|response)\s+)?"
)
_NOUN = (
    r"(?:answer|option|choice|winner|verdict|decision|vote|selection|selected|preferred|preference|letter|label|"
    r"response|result|output|prediction|pick|assistant|"
    r"(?:better|best|winning|stronger)(?:\s+(?:commentary|candidate|one|text))?)"
)
_FILLER = (
    r"(?:(?:so|thus|therefore|hence|the|my|our|final|overall|correct|right|best|most|likely|i['’]d|i|we|think|believe|"
    r"would|say|that)\b[,\s]*)*"
)
_END = (
    r"(?=[)\]}]*\s*(?:$|[,;!\n。，；！]|[.:](?!\w\b|\d))|[)\]}]"
    r"|\s+[-–—]+\s|\s+(?i:because|since|over|than)\b)"
)
_RIGHT = (
    r"\s+(?i:is|seems|wins)(?i:\s+(?:clearly|definitely))?(?i:\s+the)?"
    r"(?i:\s+(?:better|best|stronger|winner|correct|right)(?:\s+(?:answer|option|choice|one|commentary|candidate))?"
    r"|\s+answer)?(?=\s*$|\s*[.!\n]|\s+(?i:because|since|than|over)\b)"
)


@cache
def _leading(letters: str) -> re.Pattern[str]:
    """``C``, ``(C) a cup``, ``Option C.``, ``C is correct``: the letter itself comes first."""
    return re.compile(rf"{_SIDE}[(\[{{]*([{letters}])\b(?:{_END}|{_RIGHT})")


@cache
def _named(letters: str) -> re.Pattern[str]:
    """``Answer: C``, ``I think the correct option is (C)``, ``So I choose C``: a sentence says so."""
    return re.compile(
        rf"(?:^|[,:，])\s*(?i:{_FILLER}(?:{_NOUN}(?:\s+(?:here|option|letter))?\s*"
        rf"(?:(?:is|was|would\s+be|must\s+be|should\s+be|:|：|=|[-–—])\s*)+"
        rf"|(?:prefer|choose|pick|select|say|vote\s+for|go\s+with)\s+"
        rf"|(?:正确|最终|最佳)?(?:答案|选项)\s*(?:(?:应该|应)?[是为]|:|：)+\s*|(?:我|应该|应)*选择?\s*))"
        rf"{_SIDE}[(\[{{]*([{letters}])\b{_END}"
    )


@cache
def _judged(letters: str) -> re.Pattern[str]:
    """``Candidate B is better``: a sentence of its own."""
    return re.compile(rf"[^\w(\[{{]*{_SIDE}[(\[{{]*([{letters}])\b[)\]}}]*{_RIGHT}")


@cache
def _last(letters: str) -> re.Pattern[str]:
    """A last line that is a letter and nothing else."""
    return re.compile(rf"\n\s*{_SIDE}[(\[{{]*([{letters}])[)\]}}.]*\s*$")


@cache
def _more(letters: str) -> re.Pattern[str]:
    """What makes the letter before it one of several: ``or B``, ``, C and D``."""
    joint = r"(?:or|and|vs|versus)"
    return re.compile(
        rf"\W*(?:{joint}\W+(?:\w+\W+)?)?{_SIDE}([{letters}])\b(?!\s+\w)|\W*{joint}\s+\w*\s*([{letters}])\b"
    )


@cache
def _heading(letters: str) -> re.Pattern[str]:
    """Letters that head the parts of a list."""
    return re.compile(rf"(?:^|[\s.,;(])([{letters}])\s*[):]")


@cache
def _standing(letters: str) -> re.Pattern[str]:
    """Letters that stand as answers would: before a mark, at the end, or joined to others."""
    return re.compile(
        rf"\b([{letters}])\b(?=\s*(?:[.):,;]|$|or\b|and\b|is\s+(?:right|correct)\b))"
        rf"|\b(?:or|and)\b\W*(?:\w+\W+)?([{letters}])\b"
    )


def letters_of(num_options: int) -> str:
    """The letters that are read where there are so many options."""
    return ALPHABET[: max(FEWEST_LETTERS, num_options)]


def sure_letter(reply: str, letters: str = "ABCDE", *, is_choice: bool = True) -> str | None:
    """The letter that a reply means; None where it is not sure of one.

    Sure are a capital that the reply begins with (alone, before a mark, or said to be right), one that a
    sentence names as the answer, and one alone in the last line; tags, JSON, boxes and emphasis around it do
    not matter. Two that differ are none; neither is an article ("A dog"), a list of letters, a part of a
    word or an initial.

    Args:
        reply: any text.
        letters: the letters that there are.
        is_choice: whether another letter that stands as an answer would speaks against a leading one; of two
            candidates the other one may be spoken of.
    """
    text = _plain(reply)
    named = []
    for sentence in _SENTENCE.split(text):
        if _UNSURE.match(sentence):
            continue
        judged = _judged(letters).match(sentence)
        named += [judged[1]] if judged else []
        for found in _named(letters).finditer(sentence):
            if _is_one_of(sentence[found.end(1) :], found[1], letters):
                return None
            named.append(found[1])
    if last := _last(letters).search(text):
        named.append(last[1])
    text = re.sub(r"^[^\w(\[{]+", "", text)
    leading = _leading(letters).match(text)
    if leading is not None:
        rest = text[leading.end(1) :]
        if _is_one_of(rest, leading[1], letters):
            return None
        unnamed = "".join(_named(letters).sub("", sentence) for sentence in _SENTENCE.split(rest))
        others = (_standing if is_choice else _heading)(letters).findall(unnamed)
        if {letter for each in others for letter in each if letter} - {leading[1]}:
            return named[0] if len(set(named)) == 1 else None
        named.append(leading[1])
    return named[0] if len(set(named)) == 1 else None


def anywhere(reply: str, truth: str) -> bool:
    """The rule of OVO-Bench: the right answer stands anywhere in the reply, inside a word too."""
    return truth in reply


def first_letter(reply: str, letters: str = "ABCDE") -> str | None:
    """The rule of LongVideoBench: the first capital of the letters, inside a word too; None without one."""
    found = re.search(f"[{letters}]", reply)
    return None if found is None else found[0]


def _is_one_of(rest: str, letter: str, letters: str) -> bool:
    """Whether another letter follows that is an answer as much as the one before."""
    found = _more(letters).match(rest)
    return found is not None and (found[1] or found[2]) != letter


def _plain(reply: str) -> str:
    """A reply without what models put around answers; tags and JSON become lines ``name: value``."""
    text = _BOXED.sub(r"\nanswer: \1\n", _THOUGHT.sub("", reply))
    text = _CLOSING.sub("\n", _OPENING.sub(r"\n\1: ", text))
    if '"' in text:
        text = _JSON.sub("\n", text)
    return _QUOTED.sub(r"\1", _MARKUP.sub("", text)).strip()
