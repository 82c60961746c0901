"""A letter in a reply: one rule for all multiple choice and for judges, beside the published ones.

``sure_letter`` reads what a reply means and nothing where it is not sure. Published scores rest on rougher
rules, which stand beside it under their own names: ``anywhere`` (OVO-Bench) and ``first_letter``
(LongVideoBench). docs/bench.md has the rule as a table.
"""

from __future__ import annotations

import re

from svlm_cli.bench.common.letter_grammar import (
    ASPECT,
    CLAUSE,
    CONDITION,
    CONDITIONAL,
    DECISIVE,
    DENIED,
    DISCLAIMED,
    ENDS,
    HEDGE,
    INITIAL,
    JUDGED,
    NEGATION,
    NONE_OF_THESE,
    OWN_DOUBT,
    REASON,
    REPORTED,
    SENTENCE,
    TAKEN_BACK,
    VERB,
    grammar_of,
)
from svlm_cli.bench.common.replies import plain
from svlm_cli.bench.common.verdict_grammar import ACCURATE, BARE, ECHO, FIRST_LOOK, RIVAL, SCORE, TURNED

FEWEST_LETTERS = 5  # A to E are read whatever the number of options
_REACH = 500  # letters of a sentence before and behind a claim that can deny it
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letters_of(num_options: int) -> str:
    """The letters that are read where there are so many options."""
    return ALPHABET[: max(FEWEST_LETTERS, num_options)]


def sure_letter(reply: str, letters: str = "ABCDE", *, is_choice: bool = True) -> str | None:
    """The letter that a reply means; None where it is not sure of one.

    Sure are a letter that the reply begins with (alone, before a mark, or said to be right), one that a
    sentence names as the answer, and one alone in a line or at the end; tags, JSON, boxes, special tokens
    and emphasis around it do not matter. Two that differ are none; neither is one that is denied, doubted,
    asked for or taken back, an article ("A dog"), a list of letters, a part of a word or an initial.

    Args:
        reply: any text.
        letters: the letters that there are.
        is_choice: whether the letters are of options, with texts; of two candidates (False) the other one
            may be spoken of, and ``A > B`` is said.
    """
    return _Meaning(plain(reply), letters, is_choice=is_choice).letter()


def anywhere(reply: str, truth: str) -> bool:
    """The rule of OVO-Bench: the right answer stands anywhere in the reply, inside a word too."""
    return truth in reply


def first_letter(reply: str, letters: str = "ABCDE") -> str | None:
    """The rule of LongVideoBench: the first capital of the letters, inside a word too; None without one."""
    found = re.search(f"[{letters}]", reply)
    return None if found is None else found[0]


class _Meaning:
    """What one reply means, sentence by sentence.

    Args:
        text: plain.
        letters, is_choice: see ``sure_letter``.
    """

    def __init__(self, text: str, letters: str, *, is_choice: bool) -> None:
        self._grammar = grammar_of(letters)
        self._is_choice = is_choice
        self._text = text
        self._aspects: set[str] = set()  # candidates that are said to be better in one way
        self._is_decided = is_choice
        self._named = {*self._grammar.any_one.findall(text)}
        self._has_rival = RIVAL.search(text) is not None
        self._turns_at = max((found.start() for found in TURNED.finditer(text)), default=-1)

    def letter(self) -> str | None:
        """What is sure."""
        claims: list[str] = []
        leading: str | None = None
        echo = ECHO.search(self._text)
        is_list = echo is not None and (not self._is_choice or f"{echo[1]}{echo[3]}".upper() == "AB")
        is_both = not self._is_choice and len(self._named) > 1 and BARE.fullmatch(self._text)
        if is_list or is_both or any(map(self._is_echo, self._text.split("\n"))):
            return None
        lines = [line for line in self._text.split("\n") if line.strip()]
        listed: set[str] = set()
        for number, line in enumerate(lines):
            sentences, is_last = self._sentences(line), number == len(lines) - 1
            for place, sentence in enumerate(sentences):
                said = self._said(sentence)
                heading, is_bare = self._heading(sentence)
                is_doubted = TAKEN_BACK.search(sentence) or OWN_DOUBT.search(sentence)
                is_option = bool(claims) and self._is_choice and NONE_OF_THESE.fullmatch(sentence)
                if (
                    DISCLAIMED.match(sentence)
                    and not is_option
                    and (claims or said or not self._rejects(sentence))
                ):
                    return None
                if said is None or (is_doubted and (claims or leading or self._begins(sentence))):
                    return None
                claims += said
                if heading and number == place == 0 and not (is_bare and len(sentences) == 1):
                    leading = heading
                elif (
                    heading
                    and heading not in said
                    and self._is_last_word(place, sentences, is_last=is_last, is_bare=is_bare)
                ):
                    if is_bare and listed and heading not in listed:
                        return None
                    claims += [heading] if is_bare or not listed else []
                    self._is_decided |= is_bare
            listed |= self._listed(line)
        if leading and not self._others(leading):
            claims.append(leading)
            self._is_decided = True
        return self._agreed(claims)

    def _agreed(self, claims: list[str]) -> str | None:
        """The letter of all claims, or of one aspect; none where another is offered or praised."""
        said = set(claims) or self._aspects
        praised = {letter for each in self._grammar.praised.findall(self._text) for letter in each if letter}
        others = {
            letter for each in self._grammar.alternative.findall(self._text) for letter in each if letter
        }
        if len(said) != 1 or others - said or (not self._is_decided and praised - said):
            return None
        return said.pop()

    @staticmethod
    def _rejects(sentence: str) -> bool:
        """Whether what seems to disclaim an answer sets single letters aside."""
        return re.search(r"(?<!\w)[B-HJ-Z](?!\w)", sentence) is not None

    def _is_echo(self, line: str) -> bool:
        """Whether what a line names as the answer is the first of a list of options."""
        found = self._grammar.named.search(line)
        if found is None or not self._is_choice:
            return False
        mark = re.match(r"\s*([.):])\s*\S", line[found.end("letter") :])
        others = self._listed(line[found.end() :]) if mark else set()
        return mark is not None and any(
            re.search(
                rf"(?<!option)(?<!choice)[\s,;(]{each}\s*{re.escape(mark[1])}\s*\w", line[found.end() :], re.I
            )
            for each in others - {found["letter"].upper()}
        )

    @staticmethod
    def _is_last_word(place: int, sentences: list[str], *, is_last: bool, is_bare: bool) -> bool:
        """Whether a letter that heads a sentence is alone in its line, at the end, or heads the last line."""
        is_first, is_end = place == 0, is_last and place == len(sentences) - 1
        return (is_bare and (is_first or is_end)) or (is_first and is_last)

    def _begins(self, sentence: str) -> bool:
        """Whether a sentence begins with a letter, whatever comes of it."""
        found = self._grammar.heading.match(sentence)
        return found is not None and bool(found["close"] or not re.match(r"\s+\w", sentence[found.end() :]))

    def _listed(self, text: str) -> set[str]:
        """Letters that head the parts of a list."""
        return set(self._grammar.listed.findall(self._grammar.denied.sub("", text)))

    def _sentences(self, line: str) -> list[str]:
        """The sentences of a line; a heading stays with what it heads."""
        found: list[str] = []
        for part in SENTENCE.split(line):
            if found and self._grammar.head.fullmatch(found[-1]):
                found[-1] += f" {part}"
            elif part:
                found.append(part)
        return found

    def _said(self, sentence: str) -> list[str] | None:
        """The letters that a sentence names; None where it names several at once, or takes one back."""
        claims: list[str] = []
        if _is_question(sentence):
            return []
        for pattern in (
            self._grammar.named,
            self._grammar.behind,
            self._grammar.right,
            *self._grammar.concluded,
        ):
            for found in pattern.finditer(sentence):
                if not self._is_meant(sentence, found) or not (
                    pattern in (self._grammar.right, *self._grammar.concluded)
                    or self._stands(found, sentence[found.end() :])
                ):
                    continue
                if self._is_one_of(sentence[found.end("letter") :], found["letter"].upper()):
                    return None
                letter, text = found["letter"].upper(), found[0]
                is_decisive = DECISIVE.search(text) or re.search(r"\boverall\b", sentence, re.I)
                self._is_decided |= is_decisive is not None
                if self._is_choice or is_decisive or not ASPECT.search(text):
                    claims.append(letter)
                elif not ACCURATE.search(text) and not self._is_turned(sentence, found):
                    self._aspects.add(letter)
        if not self._is_choice:
            given = [letter for each in self._grammar.given.findall(sentence) for letter in each if letter]
            self._is_decided |= bool(given)
            claims += [] if HEDGE.search(sentence) else given
            self._aspects.update(self._grammar.praised_alone.findall(sentence))
            self._aspects.update(self._of_one(sentence))
            for found in self._grammar.better.finditer(sentence):
                claims.append(found[1] or found[5])
                self._is_decided = True
        return claims

    def _of_one(self, sentence: str) -> list[str]:
        """The candidate that a sentence praises where no other is named, and nothing is said against it."""
        if len(self._named) != 1:
            return []
        for found in self._grammar.of_one.finditer(sentence):
            if self._is_meant(sentence, found):
                return [] if self._is_turned(sentence, found) else [found["letter"].upper()]
        return []

    def _is_turned(self, sentence: str, found: re.Match[str]) -> bool:
        """Whether praise of the one candidate that is named is taken back, or shared with the other."""
        ends_at = self._text.find(sentence) + found.end()
        return len(self._named) == 1 and (self._has_rival or ends_at <= self._turns_at)

    def _heading(self, sentence: str) -> tuple[str | None, bool]:
        """The letter that a sentence begins with as an answer does, and whether it is all of it."""
        found = self._grammar.heading.match(sentence)
        if found is None or _is_question(sentence) or not self._is_meant(sentence, found):
            return None, False
        rest = sentence[found.end() :]
        letter = found["letter"].upper()
        is_initial = rest.startswith(".") and INITIAL.match(rest[1:]) is not None
        if is_initial or not self._stands(found, rest) or self._is_one_of(rest, letter):
            return None, False
        return letter, re.search(r"\w", rest) is None

    def _is_meant(self, sentence: str, found: re.Match[str]) -> bool:
        """Whether nothing before or behind a letter denies, doubts or conditions it."""
        begins_at, ends_at, letter_at = found.start(), found.end(), found.start("letter")
        far = max(0, begins_at - _REACH)
        before, rest = sentence[far:letter_at], sentence[ends_at : ends_at + _REACH]
        begun = CLAUSE.match(sentence, begins_at)
        earlier = "" if begun else CLAUSE.split(sentence[far:begins_at])[-1]
        clause = earlier + sentence[begun.end() if begun else begins_at : letter_at]
        reason = REASON.search(rest)
        behind = rest[: reason.start()] if reason else rest
        if found["letter"].islower() and not self._is_marked(sentence, found):
            return False
        return not (
            CONDITIONAL.match(sentence)
            or NEGATION.search(clause)
            or REPORTED.search(clause)
            or CONDITION.search(clause)
            or HEDGE.search(before)
            or (not self._is_choice and FIRST_LOOK.search(before))
            or HEDGE.search(behind)
            or re.search(r"\b(?:if|unless)\b", behind)
            or TAKEN_BACK.search(rest)
        )

    def _stands(self, found: re.Match[str], rest: str) -> bool:
        """Whether a letter stands alone before ``rest``, or before the text of its option."""
        other = self._grammar.other.match(rest)
        if other is not None and other["letter"] != found["letter"].upper():
            return True  # "B, not A"
        is_score = not self._is_choice and SCORE.fullmatch(rest)
        if is_score or DENIED.match(rest) or JUDGED.match(rest):
            return False
        if ENDS.match(rest):
            return True
        if not found["close"]:
            return False
        return not VERB.match(rest) if self._is_choice else re.match(r"\s+[A-Z]", rest) is not None

    def _is_marked(self, sentence: str, found: re.Match[str]) -> bool:
        """Whether a small letter is no word: in brackets, alone, before a mark, or behind one or a noun."""
        if found["open"] or found["close"] or re.match(r"\s*[.:]\s", sentence[found.end() :]):
            return True
        before, rest = sentence[: found.start("letter")].rstrip(), sentence[found.end() :]
        if re.search(r"\b(?:answer|option|choice|letter)\s+is$", before, re.I):
            return re.fullmatch(r"\s*[.!]\s*" if found["letter"] == "a" else r"[^\w?]*", rest) is not None
        is_alone = not re.search(r"\w", before + rest)
        return (
            is_alone
            or re.search(r"(?:[:=>]|\b(?:option|choice|letter|candidate))$", before, re.I) is not None
        )

    def _is_one_of(self, rest: str, letter: str) -> bool:
        """Whether another letter follows that is an answer as much as the one before."""
        if self._grammar.other.match(rest):
            return False
        found = self._grammar.several.match(rest)
        return found is not None and (found[1] or found[2]) != letter

    def _others(self, leading: str) -> set[str]:
        """Letters besides a leading one that head parts of a list or, of options, stand as answers would."""
        text = self._grammar.denied.sub("", self._grammar.named.sub("", self._text))
        found = self._listed(self._text)
        if self._is_choice:
            found |= {letter for each in self._grammar.standing.findall(text) for letter in each if letter}
        return found - {leading}


def _is_question(sentence: str) -> bool:
    return sentence.rstrip(" )]}").endswith("?")
