"""Transcripts made elsewhere: VTT, SRT, JSON of Whisper, of WhisperX, of SoccerNet-Echoes, and our own."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from svlm_cli import values
from svlm_cli.data.words.transcript import MOST_BYTES, MOST_WORDS, TimedWord, Utterance, spread_evenly
from svlm_cli.documents import MalformedError, read_json, read_text
from svlm_cli.errors import SourceError, boundary

SUFFIXES = (".json", ".vtt", ".srt")
_HINT = "VTT, SRT, WhisperX JSON, SoccerNet-Echoes JSON and the files of svlm align are read"
_TIME_TAG = re.compile(r"<(?:(\d+):)?(\d+):(\d+\.\d+)>")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # in linear time, also where none ever closes
_SPEAKER = re.compile(r"^\s*(?:>>+|-)\s*")
_FLASH_SECONDS = 0.05
_KINDS = ("segments", "words")


def read_utterances(path: Path) -> list[Utterance]:
    """Read a transcript of any known form; words without times are spread evenly over their segment.

    Returns:
        Utterances in the order of the file; empty ones are left out.

    Raises:
        SourceError: it cannot be read or is of no known form; says where.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SourceError(f"{path} is no transcript by its name", _HINT)
    with boundary(f"the transcript {path} cannot be read", SourceError, _HINT):
        if path.suffix.lower() == ".json":
            return _bounded(_from_json(read_json(path, MOST_BYTES)))
        return _bounded(_from_captions(read_text(path, MOST_BYTES), path.suffix.lower()))


def _bounded(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Those that are not empty, unless there are too many."""
    found, num_words = [], 0
    for words in utterances:
        num_words += len(words)
        if num_words > MOST_WORDS:
            raise MalformedError(f"it has more than {MOST_WORDS:,} words")
        found += [words] if words else []
    return found


def _from_json(document: Any) -> Iterable[Utterance]:
    segments, words = (document.get(name) if isinstance(document, dict) else None for name in _KINDS)
    if isinstance(segments, dict):
        return (_echo(segments[number], f"segment {number}") for number in sorted(segments, key=int))
    if isinstance(segments, list):
        return (_whisper(each, f"segment {number}") for number, each in enumerate(segments))
    if isinstance(words, list):
        return (_own(each, f"word {number}") for number, each in enumerate(words))
    raise MalformedError("it holds neither segments nor words")


def _echo(segment: Any, where: str) -> Utterance:
    """``[start, end, text]`` (SoccerNet-Echoes, arXiv 2405.07354)."""
    if not isinstance(segment, list) or len(segment) != 3:
        raise MalformedError(f"{where} is not [start, end, text]: {values.short(segment)}")
    start, end, text = segment
    return spread_evenly(_said(text, where), *_span(start, end, where))


def _whisper(segment: Any, where: str) -> Utterance:
    """``{"start", "end", "text", "words"}``: WhisperX, whisper, faster-whisper."""
    get = values.mapping(segment, where).get
    start, end = _span(get("start"), get("end"), where)
    words = values.mappings(get("words") or [], f"{where}: words")
    if words:
        return _with_times(words, start, end, where)
    return spread_evenly(_said(get("text"), where), start, end)


def _with_times(words: Sequence[Mapping[str, Any]], start: float, end: float, where: str) -> Utterance:
    """Words of a segment; those that could not be aligned share the time that is left between the others."""
    known = [(each.get("start"), each.get("end")) for each in words]
    placed: list[TimedWord] = []
    untimed: list[str] = []
    time = start
    for each, (begins, ends) in zip(words, known, strict=True):
        text = _said(each.get("word") or each.get("text"), where).strip()
        if begins is None or ends is None:
            untimed.append(text)
            continue
        begins, ends = _span(begins, ends, where)
        placed += spread_evenly(" ".join(untimed), min(time, begins), begins)
        untimed, time = [], ends
        score = each.get("score", each.get("probability"))
        if text:
            placed.append(TimedWord(text, begins, ends, values.share(score)))
    placed += spread_evenly(" ".join(untimed), time, max(time, end))
    return tuple(placed)


def _own(word: Any, where: str) -> Utterance:
    get = values.mapping(word, where).get
    start, end = _span(get("start_seconds"), get("end_seconds"), where)
    text = _said(get("text"), where).strip()
    return (TimedWord(text, start, end, values.share(get("probability"))),) if text else ()


def _said(value: Any, where: str) -> str:
    """Text; a recogniser may leave it out, or write a number as one."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if value is None else values.text(str(value) if is_number else value, where)


def _span(start: Any, end: Any, where: str) -> tuple[float, float]:
    try:
        begins, ends = values.seconds(start, "start"), values.seconds(end, "end")
    except MalformedError as error:
        told = f"{values.short(start)} to {values.short(end)}"
        raise MalformedError(f"{where}: {told} is no span of time") from error
    return begins, max(begins, ends)


def _from_captions(text: str, suffix: str) -> Iterable[Utterance]:
    """Cues of VTT or SRT; of captions that roll, each line once."""
    import webvtt

    if not text.strip():
        return
    captions = webvtt.from_buffer([text], format=suffix.removeprefix("."))
    cues = [
        (cue.start_in_seconds + _fraction(cue.start), cue.end_in_seconds + _fraction(cue.end), cue.raw_text)
        for cue in captions
    ]
    rolls = _is_rolling([text for _, _, text in cues])
    shown: list[str] = []
    for number, (start, end, raw) in enumerate(cues):
        start, end = _span(start, end, f"cue {number}")
        if rolls and end - start < _FLASH_SECONDS:
            continue
        lines = [line for line in raw.splitlines() if _plain(line)]
        fresh = [line for line in lines if not rolls or _plain(line) not in shown[-2:]]
        shown += [_plain(line) for line in fresh]
        yield _timed_line(values.text(" ".join(fresh), f"cue {number}"), start, end)


def _fraction(stamp: str) -> float:
    """The part of a time that webvtt-py cuts off from whole seconds."""
    return float(f"0.{stamp.replace(',', '.').rpartition('.')[2]}")


def _plain(line: str) -> str:
    return " ".join(_SPEAKER.sub("", html.unescape(_TAG.sub("", line))).split())


def _is_rolling(texts: Sequence[str]) -> bool:
    """Whether lines of a cue come again in the next one, as in captions that a machine wrote."""
    if any(_TIME_TAG.search(text) for text in texts):
        return True
    lines = [[_plain(line) for line in text.splitlines() if _plain(line)] for text in texts]
    again = sum(bool(a and b) and len(b) > 1 and a[-1] == b[0] for a, b in pairwise(lines))
    return 2 * again > len(texts)


def _timed_line(line: str, start: float, end: float) -> Utterance:
    """The words of a line; time tags within it say when each begins."""
    placed: list[TimedWord] = []
    pieces = _TIME_TAG.split(line)  # text, then (hours, minutes, seconds, text) for each tag
    times = [start]
    for hours, minutes, seconds in zip(pieces[1::4], pieces[2::4], pieces[3::4], strict=True):
        time = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
        times.append(min(max(times[-1], time), max(start, end)))
    times.append(max(times[-1], end))
    for text, (begins, ends) in zip([pieces[0], *pieces[4::4]], pairwise(times), strict=True):
        placed += spread_evenly(_plain(text), begins, ends)
    return tuple(placed)
