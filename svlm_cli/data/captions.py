"""Transcripts made elsewhere: VTT, SRT, JSON of Whisper, of WhisperX, of SoccerNet-Echoes, and our own."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from svlm_cli.data.transcript import TimedWord, Utterance, spread_evenly
from svlm_cli.errors import SourceError, boundary

LATEST_SECONDS = 1e6  # eleven days
SUFFIXES = (".json", ".vtt", ".srt")
_HINT = "VTT, SRT, WhisperX JSON, SoccerNet-Echoes JSON and the files of svlm align are read"
_TIME_TAG = re.compile(r"<(?:(\d+):)?(\d+):(\d+\.\d+)>")
_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")
_SPEAKER = re.compile(r"^\s*(?:>>+|-)\s*")
_FLASH_SECONDS = 0.05


def read_utterances(path: Path) -> list[Utterance]:
    """Read a transcript of any known form; words without times are spread evenly over their segment.

    Returns:
        Utterances in the order of the file; empty ones are left out.

    Raises:
        SourceError: it cannot be read or is of no known form; says where.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SourceError(f"{path} is no transcript by its name", _HINT)
    try:
        if path.suffix.lower() != ".json":
            return _from_captions(path)
        found = _from_json(json.loads(path.read_text(encoding="utf-8-sig")), path)
        return [tuple(_encodable(word) for word in words) for words in found]
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        raise SourceError(f"the transcript {path} cannot be read: {error}", _HINT) from error


def _from_json(document: Any, path: Path) -> list[Utterance]:
    if isinstance(document, Mapping):
        if isinstance(document.get("segments"), Mapping):
            segments = document["segments"]
            numbers = sorted(segments, key=int)
            return _numbered([_echo(segments[number], path, number) for number in numbers])
        if isinstance(document.get("segments"), list):
            return _numbered([_whisper(each, path, k) for k, each in enumerate(document["segments"])])
        if isinstance(document.get("words"), list):
            return _numbered([_own(each, path, k) for k, each in enumerate(document["words"])])
    raise SourceError(f"{path} holds neither segments nor words", _HINT)


def _numbered(utterances: Sequence[Utterance]) -> list[Utterance]:
    return [words for words in utterances if words]


def _echo(segment: Any, path: Path, number: str) -> Utterance:
    """``[start, end, text]`` (SoccerNet-Echoes, arXiv 2405.07354)."""
    try:
        start, end, text = segment
        return spread_evenly(str(text or ""), *_span(start, end))
    except (TypeError, ValueError) as error:
        raise SourceError(f"{path}, segment {number}, is not [start, end, text]: {error}") from error


def _whisper(segment: Any, path: Path, number: int) -> Utterance:
    """``{"start", "end", "text", "words"}``: WhisperX, whisper, faster-whisper."""
    try:
        start, end = _span(segment["start"], segment["end"])
        words = segment.get("words") or []
        if not words:
            return spread_evenly(str(segment.get("text") or ""), start, end)
        return _with_times(words, start, end)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}, segment {number}, is no segment of Whisper's: {error!r}") from error


def _with_times(words: Sequence[Mapping[str, Any]], start: float, end: float) -> Utterance:
    """Words of a segment; those that could not be aligned share the time that is left between the others."""
    known = [(each.get("start"), each.get("end")) for each in words]
    placed: list[TimedWord] = []
    untimed: list[str] = []
    time = start
    for each, (begins, ends) in zip(words, known, strict=True):
        text = str(each.get("word") or each.get("text") or "").strip()
        if begins is None or ends is None:
            untimed.append(text)
            continue
        begins, ends = _span(begins, ends)
        placed += spread_evenly(" ".join(untimed), min(time, begins), begins)
        untimed, time = [], ends
        score = each.get("score", each.get("probability"))
        if text:
            placed.append(TimedWord(text, begins, ends, _probability(score)))
    placed += spread_evenly(" ".join(untimed), time, max(time, end))
    return tuple(placed)


def _own(word: Any, path: Path, number: int) -> Utterance:
    try:
        start, end = _span(word["start_seconds"], word["end_seconds"])
        text = str(word["text"] or "").strip()
        return (TimedWord(text, start, end, _probability(word.get("probability"))),) if text else ()
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}, word {number}, has no text and times: {error!r}") from error


def _encodable(word: TimedWord) -> TimedWord:
    """Without halves of surrogate pairs, which JSON can name and no file can hold."""
    return word if word.text.isascii() else replace(word, text=word.text.encode("utf-8", "replace").decode())


def _probability(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and 0 <= value <= 1
    return float(value) if is_number else None


def _span(start: Any, end: Any) -> tuple[float, float]:
    begins, ends = float(start), float(end)
    if not (math.isfinite(begins) and math.isfinite(ends)) or begins < 0 or ends > LATEST_SECONDS:
        raise ValueError(f"{start} to {end} is no span of time")
    return begins, max(begins, ends)


def _from_captions(path: Path) -> list[Utterance]:
    """Cues of VTT or SRT; of captions that roll, each line once."""
    import webvtt

    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        return []
    with boundary(f"the captions {path} cannot be read", SourceError, _HINT):
        captions = webvtt.from_string(text) if path.suffix.lower() == ".vtt" else webvtt.from_srt(str(path))
        cues = [
            (
                cue.start_in_seconds + _fraction(cue.start),
                cue.end_in_seconds + _fraction(cue.end),
                cue.raw_text,
            )
            for cue in captions
        ]
    rolls = _is_rolling([text for _, _, text in cues])
    utterances: list[Utterance] = []
    shown: list[str] = []
    for start, end, raw in cues:
        start, end = _span(start, end)
        if rolls and end - start < _FLASH_SECONDS:
            continue
        lines = [line for line in raw.splitlines() if _plain(line)]
        fresh = [line for line in lines if not rolls or _plain(line) not in shown[-2:]]
        shown += [_plain(line) for line in fresh]
        words = _timed_line(" ".join(fresh), start, end)
        utterances += [words] if words else []
    return utterances


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
