"""The words of a video with their times, as the commands pass them on: ``DIR/transcripts/ID.json``."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from svlm_cli import values
from svlm_cli.documents import MalformedError, read_json
from svlm_cli.errors import SourceError, boundary
from svlm_cli.files import whole_file

FOLDER = "transcripts"
TIME_TOLERANCE_SECONDS = 1e-6
MOST_BYTES = 1 << 27
MOST_WORDS = 2_000_000
LONGEST_CLIP_SECONDS = 3600
_MOST = 1e12  # of a figure


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A spoken word, in seconds of its video.

    Args:
        text: without blanks around it.
        start_seconds, end_seconds: when.
        probability: the recogniser's, from 0 to 1; None where there was none.
    """

    text: str
    start_seconds: float
    end_seconds: float
    probability: float | None = None

    @property
    def second(self) -> int:
        """The second (s, s + 1] it ends in."""
        return math.ceil(self.end_seconds - TIME_TOLERANCE_SECONDS) - 1


Utterance = tuple[TimedWord, ...]
"""Words that were recognised, or shown as a caption, together; never empty."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Words that were left out.

    Args:
        reason: why.
        start_seconds, end_seconds: from the beginning of the first of them to the end of the last.
        text: what they were.
        num_words: how many.
    """

    reason: str
    start_seconds: float
    end_seconds: float
    text: str
    num_words: int

    @classmethod
    def of(cls, reason: str, words: Sequence[TimedWord]) -> Dropped:
        """Name the reason why these words are left out."""
        first, last = words[0].start_seconds, words[-1].end_seconds
        return cls(reason, first, last, text_of(words), len(words))


@dataclass(frozen=True, slots=True)
class DenseClip:
    """A stretch of a video that speaks on without a pause, for the annealing stage.

    Args:
        start_seconds, end_seconds: whole seconds.
        num_words: the number of words that end in it.
        longest_silence_seconds: between two words of it.
        live_share: how much of it is live commentary, 0 to 1, in the judgement of a language model; None
            where none was asked.
    """

    start_seconds: int
    end_seconds: int
    num_words: int
    longest_silence_seconds: float
    live_share: float | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is known of a video's words.

    Args:
        words: the words, in order.
        origin: how they were made: settings by name; empty for a transcript that came with its video.
        dropped: what was left out.
        clips: stretches that may serve the annealing stage.
        refused: why a whole transcript was refused, in which case there are no words; else empty.
        figures: counts and shares by name.
        sound: what was listened to, where anything was: the track, why it was chosen, what else there was.
    """

    words: tuple[TimedWord, ...]
    origin: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    clips: tuple[DenseClip, ...] = ()
    refused: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    sound: Mapping[str, Any] = field(default_factory=dict)


def text_of(words: Iterable[TimedWord]) -> str:
    """The words with blanks between them."""
    return " ".join(word.text for word in words)


def dropped_words(transcript: Transcript) -> Counter[str]:
    """How many words were left out, by reason."""
    counts: Counter[str] = Counter()
    for each in transcript.dropped:
        counts[each.reason] += each.num_words
    outside = int(transcript.figures.get("words_outside_speech", 0))
    if outside:
        counts["no speech there"] += outside
    return counts


def words_in(utterances: Iterable[Utterance]) -> tuple[TimedWord, ...]:
    """All words, one after another."""
    return tuple(chain.from_iterable(utterances))


def spread_evenly(text: str, start_seconds: float, end_seconds: float) -> Utterance:
    """The words of a text, as long as each other, over a span of time; may be empty."""
    words = text.split()
    step = (end_seconds - start_seconds) / max(1, len(words))
    return tuple(
        TimedWord(word, start_seconds + k * step, start_seconds + (k + 1) * step)
        for k, word in enumerate(words)
    )


def lines_by_second(words: Sequence[TimedWord], start_second: int, end_second: int) -> list[str]:
    """What is said in each second of [start, end), empty when silent."""
    said: list[list[str]] = [[] for _ in range(end_second - start_second)]
    for word in words:
        if start_second <= word.second < end_second:
            said[word.second - start_second].append(word.text)
    return [" ".join(words) for words in said]


def transcript_path(folder: Path, video_id: str) -> Path:
    """Where the transcript of a video lies."""
    return folder / FOLDER / f"{video_id}.json"


def write_transcript(path: Path, transcript: Transcript) -> None:
    """Write a transcript, all of it or nothing.

    The file holds ``words`` (text, start_seconds, end_seconds, probability), ``seconds`` (what is said in
    each second, up to the last word), and what else ``Transcript`` has.
    """
    words = transcript.words
    last = max((word.second for word in words), default=-1)
    document = {
        "words": [asdict(word) for word in words],
        "seconds": lines_by_second(words, 0, last + 1),
        "origin": dict(transcript.origin),
        "dropped": [asdict(each) for each in transcript.dropped],
        "clips": [asdict(clip) for clip in transcript.clips],
        "refused": transcript.refused,
        "figures": dict(transcript.figures),
        "sound": dict(transcript.sound),
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def read_transcript(path: Path) -> Transcript | None:
    """Read what ``write_transcript`` wrote; all but ``words`` may be missing.

    Returns:
        The transcript; None where the file is JSON of another form, made elsewhere.

    Raises:
        SourceError: the file is missing, no JSON, or damaged.
    """
    with boundary(f"the transcript {path} cannot be read", SourceError):
        document = read_json(path, MOST_BYTES)
        return _parsed(document) if is_own(document) else None


def is_own(document: Any) -> bool:
    """Whether this is of the form that ``svlm align`` writes, and not one of the others."""
    if not isinstance(document, dict) or "words" not in document or "segments" in document:
        return False
    words = document["words"]
    first = words[0] if isinstance(words, list) and words else {}
    return not (isinstance(first, dict) and "start" in first)


def _parsed(document: Mapping[str, Any]) -> Transcript:
    get = document.get
    words = values.mappings(get("words"), "words")
    if len(words) > MOST_WORDS:
        raise MalformedError(f"it has more than {MOST_WORDS:,} words")
    figures = values.mapping(get("figures") or {}, "figures")
    return Transcript(
        tuple(parse_word(word, f"word {number}") for number, word in enumerate(words)),
        values.mapping(get("origin") or {}, "origin"),
        tuple(parse_dropped(each) for each in values.mappings(get("dropped") or [], "dropped")),
        tuple(_clip(each) for each in values.mappings(get("clips") or [], "clips")),
        values.text(get("refused") or "", "refused"),
        {name: values.number(value, f"figure {name}", -_MOST, _MOST) for name, value in figures.items()},
        values.mapping(get("sound") or {}, "sound"),
    )


def parse_word(word: Mapping[str, Any], where: str) -> TimedWord:
    """A word as it is stored; ``where`` it is, for people.

    Raises:
        MalformedError: a field is missing or out of bounds.
    """
    start, end = (
        values.seconds(word.get(name), f"{where}: {name}", -values.LATEST_SECONDS)
        for name in ("start_seconds", "end_seconds")
    )
    return TimedWord(values.text(word.get("text"), where), start, end, values.share(word.get("probability")))


def parse_dropped(stored: Mapping[str, Any]) -> Dropped:
    """What was left out, as it is stored.

    Raises:
        MalformedError: a field is missing or out of bounds.
    """
    start, end = (
        values.seconds(stored.get(name), f"dropped: {name}", -values.LATEST_SECONDS)
        for name in ("start_seconds", "end_seconds")
    )
    return Dropped(
        values.text(stored.get("reason"), "dropped: reason"),
        start,
        end,
        values.text(stored.get("text"), "dropped: text", MOST_BYTES),
        values.whole(stored.get("num_words"), "dropped: num_words", 0, MOST_WORDS),
    )


def _clip(stored: Mapping[str, Any]) -> DenseClip:
    latest = int(values.LATEST_SECONDS)
    start, end = (
        values.whole(stored.get(name), f"clip: {name}", 0, latest)
        for name in ("start_seconds", "end_seconds")
    )
    if not 0 < end - start <= LONGEST_CLIP_SECONDS:
        raise MalformedError(f"a clip lasts from {start} to {end} s")
    return DenseClip(
        start,
        end,
        values.whole(stored.get("num_words"), "clip: num_words", 0, MOST_WORDS),
        values.seconds(stored.get("longest_silence_seconds"), "clip: longest_silence_seconds"),
        values.share(stored.get("live_share")),
    )
