"""What is no commentary: loops of a recogniser, hesitation, descriptions of sound, other languages.

Every function returns the words that stay and, with the reason, those that do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from svlm_cli.data.words.transcript import Dropped, TimedWord, Utterance, text_of, words_in

Filtered = tuple[list[Utterance], list[Dropped]]

# A phrase of so many words is a loop when it comes at least so often in a row. People do say "goal" seven
# times, and "come on" four.
_LEAST_REPEATS = {1: 8, 2: 5}
_LEAST_REPEATS_OF_LONGER = 4
_LONGEST_PHRASE = 24
# A transcript of which this share is loops holds nothing worth keeping.
LOOPED_SHARE = 0.5
# Fewer letters than this do not tell a language: names alone look like any.
LANGUAGE_LETTERS = 400
FEWEST_LETTERS = 60
_LONGEST_DESCRIPTION = 8
_HESITATION = frozenset({"uh", "uhh", "um", "umm", "uhm", "er", "erm", "hm", "hmm", "mm", "mmm", "mhm"})
# What Whisper writes over silence: the ends of the videos it learnt from.
_INVENTED = frozenset(
    {
        "thanks for watching",
        "thank you for watching",
        "thank you very much for watching",
        "thanks for watching and see you next time",
        "please subscribe",
        "please subscribe to my channel",
        "like and subscribe",
        "subtitles by the amara org community",
        "transcription by castingwords",
        "subtitles by steamteamextra",
    }
)
_NOTES = frozenset("♪♫♬")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What the rules leave of a transcript.

    Args:
        kept: what stays, in order.
        dropped: what does not.
        refused: why nothing stays, as ``refusal`` says it; else empty.
    """

    kept: list[Utterance]
    dropped: list[Dropped]
    refused: str = ""


def clean_by_rules(utterances: Sequence[Utterance], language: str, *, only_loops: bool = False) -> Cleaned:
    """All that is done to a transcript before a language model reads it, wherever it came from.

    Args:
        utterances: as they were recognised or read.
        language: the transcript should be in, two letters.
        only_loops: leave in what was invented, filler, and stretches in another language.
    """
    kept, dropped = drop_loops(in_order(utterances))
    refused = refusal(kept, sum(each.num_words for each in dropped), language)
    if refused:
        return Cleaned([], [Dropped.of(refusal_parts(refused)[0], words_in(utterances))], refused)
    if not only_loops:
        for rule in (drop_invented, drop_filler, partial(drop_foreign, language=language)):
            kept, more = rule(kept)
            dropped += more
    return Cleaned(kept, dropped)


def drop_loops(utterances: Sequence[Utterance]) -> Filtered:
    """Of a phrase that a recogniser says over and over only the first time stays.

    Phrases of up to 24 words, within an utterance or over several.
    """
    words = words_in(utterances)
    keys = [word_key(word.text) for word in words]
    looped: set[int] = set()
    start = 0
    while start < len(keys):
        end = start
        for length in range(1, _LONGEST_PHRASE + 1):
            repeats = _repeats(keys, start, length)
            if repeats >= _LEAST_REPEATS.get(length, _LEAST_REPEATS_OF_LONGER):
                end = start + length * repeats
                looped.update(range(start + length, end))
                break
        start = max(end, start + 1)
    return _without(utterances, looped, "repeated")


def drop_invented(utterances: Sequence[Utterance]) -> Filtered:
    """Leave out what Whisper is known to invent over silence."""
    kept, dropped = [], []
    for words in utterances:
        text = " ".join(filter(None, (word_key(word.text) for word in words)))
        if text in _INVENTED:
            dropped.append(Dropped.of("invented over silence", words))
        else:
            kept.append(words)
    return kept, dropped


def drop_filler(utterances: Sequence[Utterance]) -> Filtered:
    """Leave out hesitation ("uh"), descriptions of sound ("[Music]", "(crowd cheers)") and empty words."""
    words = words_in(utterances)
    kept, dropped = _without(utterances, _described(words), "description of sound")
    hesitation = {k for k, word in enumerate(words_in(kept)) if word_key(word.text) in _HESITATION}
    kept, more = _without(kept, hesitation, "filler")
    empty = {k for k, word in enumerate(words_in(kept)) if not word_key(word.text)}
    kept, rest = _without(kept, empty, "empty")
    return kept, [*dropped, *more, *rest]


def drop_foreign(utterances: Sequence[Utterance], language: str) -> Filtered:
    """Leave out stretches in another language; a stretch is as many utterances as it takes to tell."""
    kept: list[Utterance] = []
    dropped = []
    for piece in _pieces(utterances):
        found = language_of(text_of(words_in(piece)))
        if found in (None, language):
            kept += piece
        else:
            dropped.append(Dropped.of(f"foreign language: {found}", words_in(piece)))
    return kept, dropped


def refusal(utterances: Sequence[Utterance], num_looped: int, language: str) -> str:
    """Why a whole transcript should be refused, or nothing: a kind of reason, a colon, figures.

    Args:
        utterances: the utterances that are left.
        num_looped: words that were dropped as loops.
        language: it should be in.
    """
    num_kept = len(words_in(utterances))
    if num_looped and num_looped >= LOOPED_SHARE * (num_kept + num_looped):
        return f"a phrase is said over and over: {num_looped} of {num_kept + num_looped} words"
    pieces = [language_of(text_of(words_in(piece))) for piece in _pieces(utterances)]
    known = [each for each in pieces if each is not None]
    foreign = [each for each in known if each != language]
    if 2 * len(foreign) > len(known):
        most = max(set(foreign), key=foreign.count)
        return f"it is not in {language} but in {most}: {foreign.count(most)} of {len(known)} parts"
    return ""


def refusal_parts(refused: str) -> tuple[str, str]:
    """The reason without its figures, to count by, and the figures."""
    kind, _, figures = refused.partition(": ")
    return kind, figures


def in_order(utterances: Iterable[Utterance]) -> list[Utterance]:
    """The same words, none beginning before the one before it ends, none ending before it begins."""
    time = 0.0
    ordered = []
    for words in sorted(utterances, key=lambda words: words[0].start_seconds):
        placed = []
        for word in words:
            start = max(word.start_seconds, time)
            time = max(word.end_seconds, start)
            placed.append(TimedWord(word.text, round(start, 3), round(time, 3), word.probability))
        ordered.append(tuple(placed))
    return ordered


def language_of(text: str) -> str | None:
    """Two letters (ISO 639-1) for what a text is written in, None where it is too short to tell."""
    if sum(letter.isalpha() for letter in text) < FEWEST_LETTERS:
        return None
    return str(_identifier().classify(text)[0])


@cache
def _identifier() -> Any:
    import py3langid

    return py3langid


def _pieces(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Stretches long enough to tell a language, the last one with what is left over."""
    pieces: list[list[Utterance]] = []
    letters = LANGUAGE_LETTERS
    for words in utterances:
        if letters >= LANGUAGE_LETTERS:
            pieces.append([])
            letters = 0
        pieces[-1].append(words)
        letters += sum(len(word.text) for word in words)
    if len(pieces) > 1 and letters < LANGUAGE_LETTERS:
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    return pieces


def word_key(word: str) -> str:
    """A word as it is compared: its letters and digits in lower case."""
    return re.sub(r"[^\w]|_", "", word).lower()


def _repeats(keys: Sequence[str], start: int, length: int) -> int:
    """How often the phrase of this length at ``start`` stands there in a row, the last time maybe in part."""
    end = start + length
    while end < len(keys) and keys[end] == keys[end - length]:
        end += 1
    return (end - start) // length


def _described(words: Sequence[TimedWord]) -> set[int]:
    """Places of words within brackets, or among notes of music."""
    found: set[int] = set()
    opened: int | None = None
    for place, word in enumerate(words):
        if set(word.text) & _NOTES:
            found.add(place)
        if opened is None and word.text[:1] in ("[", "("):
            opened = place
        if opened is not None and place - opened >= _LONGEST_DESCRIPTION:
            opened = None
        if opened is not None and word.text.rstrip(".,!?:;")[-1:] in ("]", ")"):
            found.update(range(opened, place + 1))
            opened = None
    return found


def _without(utterances: Sequence[Utterance], places: set[int], reason: str) -> Filtered:
    """Split words off by their places among all; neighbours are one entry."""
    kept: list[Utterance] = []
    dropped: list[Dropped] = []
    run: list[TimedWord] = []
    place = 0
    for words in utterances:
        staying = []
        for word in words:
            if place in places:
                run.append(word)
            else:
                staying.append(word)
                dropped += [Dropped.of(reason, run)] if run else []
                run = []
            place += 1
        if staying:
            kept.append(tuple(staying))
    return kept, dropped + ([Dropped.of(reason, run)] if run else [])
