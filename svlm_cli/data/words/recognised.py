"""Transcripts as JSON: whisper and its kin, OpenAI, SoccerNet-Echoes, YouTube, and our own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from svlm_cli import values
from svlm_cli.cue_text import plain_text
from svlm_cli.data.words.filters import word_key
from svlm_cli.data.words.spoken import spoken, spread
from svlm_cli.data.words.timed_xml import YoutubeEvent, youtube_cues
from svlm_cli.data.words.transcript import MOST_BYTES, MOST_WORDS, TimedWord, Utterance
from svlm_cli.documents import MalformedError

# Words without segments are parted where nobody speaks for so long, and after a sentence.
_PAUSE_SECONDS = 1.0
_ENDS_SENTENCE = re.compile(r"[.?!][\"')\]]*$")
_KINDS = ("segments", "words", "word_segments", "events")


def read_document(document: Any) -> Iterable[Utterance]:
    """The utterances of a JSON document of any known form, empty ones among them.

    Raises:
        MalformedError: it is of none; says where.
    """
    document = _as_whisper(document)
    segments, words, aligned, events = (document.get(name) for name in _KINDS)
    if isinstance(events, list):
        return spoken(youtube_cues(_json3(events)))
    if isinstance(segments, dict):
        return [_echo(each, f"segment {number}") for number, each in sorted(_numbered(segments).items())]
    segments = None if segments is None else values.sequence(segments, "segments")
    words = words if isinstance(words, list) else aligned
    has_words = any(isinstance(each, dict) and each.get("words") for each in segments or ())
    if isinstance(words, list) and words and not has_words:
        return _words_alone(words, segments or (), _said(document.get("text"), "text", MOST_BYTES))
    if isinstance(segments, list):
        return [_whisper(each, f"segment {number}") for number, each in enumerate(segments)]
    if isinstance(words, list):
        return []
    raise MalformedError("it holds neither segments nor words")


def _as_whisper(document: Any) -> Any:
    """A document as whisper has it, from forms that differ: a bare list, transformers, whisper.cpp."""
    if isinstance(document, list) and document:
        return {"segments": [_with_end(each) for each in document]}
    if not isinstance(document, dict):
        return {}
    if isinstance(document.get("chunks"), list):
        chunks = values.mappings(document["chunks"], "chunks")
        words = [_chunk(each, f"chunk {number}") for number, each in enumerate(chunks)]
        if all(len(str(each["word"]).split()) < 2 for each in words):
            return {"words": words, "text": document.get("text")}
        return {"segments": [{**each, "text": each["word"]} for each in _between(words)]}
    if isinstance(document.get("transcription"), list):
        told = [values.mapping(each, "transcription") for each in document["transcription"]]
        spans = [values.mapping(each.get("offsets"), "offsets") for each in told]
        return {
            "segments": [
                {
                    "start": _thousandth(span.get("from")),
                    "end": _thousandth(span.get("to")),
                    "text": each.get("text"),
                }
                for each, span in zip(told, spans, strict=True)
            ]
        }
    return document


def _between(segments: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Segments; one without times lies between its neighbours."""
    end = next((each["start"] for each in segments if each["start"] is not None), None)
    for number, each in enumerate(segments):
        if each["start"] is None and end is not None:
            behind = (later["start"] for later in segments[number + 1 :] if later["start"] is not None)
            yield {**each, "start": end, "end": max(end, next(behind, end))}
            continue
        end = each["end"]
        yield each


def _numbered(segments: Mapping[str, Any]) -> dict[int, Any]:
    """Segments by their numbers."""
    numbers = {key: values.digits(key, MOST_WORDS) for key in segments}
    odd = next((key for key, number in numbers.items() if number is None), None)
    if odd is not None:
        raise MalformedError(f"segments are not laid out by number: {values.short(odd)}")
    return {number: segments[key] for key, number in numbers.items() if number is not None}


def _chunk(chunk: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``{"text", "timestamp": [start, end]}`` (transformers), the last of them perhaps without its end.

    One without a start has no times.
    """
    span = values.sequence(chunk.get("timestamp") or [None, None], f"{where}: timestamp")
    if len(span) != 2:
        raise MalformedError(f"{where}: its timestamp is not laid out as [start, end]: {values.short(span)}")
    if span[0] is None:
        return {"word": chunk.get("text"), "start": None, "end": None}
    start, end = _span(span[0], span[0] if span[1] is None else span[1], where)
    return {"word": chunk.get("text"), "start": start, "end": end}


def _with_end(segment: Any) -> Any:
    if isinstance(segment, dict) and "end" not in segment and "duration" in segment:
        start = values.seconds(segment.get("start"), "start")
        return {**segment, "end": start + values.seconds(segment["duration"], "duration")}
    return segment


def _json3(events: Sequence[Any]) -> Iterator[YoutubeEvent]:
    for number, event in enumerate(events):
        get = values.mapping(event, f"event {number}").get
        parts = values.mappings(get("segs") or [], f"event {number}: segs")
        pieces = [(_said(part.get("utf8"), f"event {number}"), part.get("tOffsetMs")) for part in parts]
        if any("tOffsetMs" in part and part["tOffsetMs"] is None for part in parts):
            raise MalformedError(f"event {number}: its tOffsetMs is no time in milliseconds")
        yield YoutubeEvent(get("tStartMs", 0), get("dDurationMs"), [each for each in pieces if each[0]])


def _echo(segment: Any, where: str) -> Utterance:
    """``[start, end, text]`` (SoccerNet-Echoes, arXiv 2405.07354)."""
    if not isinstance(segment, list) or len(segment) != 3:
        raise MalformedError(f"{where} is not [start, end, text]: {values.short(segment)}")
    start, end, text = segment
    return spread(_said(text, where), *_span(start, end, where))


def _whisper(segment: Any, where: str) -> Utterance:
    """``{"start", "end", "text", "words"}``: WhisperX, whisper, faster-whisper."""
    get = values.mapping(segment, where).get
    start, end = _span(get("start"), get("end"), where)
    words = values.mappings(get("words") or [], f"{where}: words")
    if words:
        return _with_times(words, start, end, where)
    return spread(_said(get("text"), where), start, end)


def _with_times(words: Sequence[Mapping[str, Any]], start: float, end: float, where: str) -> Utterance:
    """Words of a segment; those that could not be aligned share the time that is left between the others."""
    placed: list[TimedWord] = []
    untimed: list[str] = []
    time = start
    for each in words:
        begins, ends = (each.get(name, each.get(f"{name}_seconds")) for name in ("start", "end"))
        text = _said(each.get("word") or each.get("text"), where).strip()
        if begins is None or ends is None:
            untimed.append(text)
            continue
        begins, ends = _span(begins, ends, where)
        placed += spread(" ".join(untimed), min(time, begins), begins)
        untimed, time = [], ends
        score = each.get("score", each.get("probability"))
        if text:
            placed.append(TimedWord(text, begins, ends, values.share(score)))
    placed += spread(" ".join(untimed), time, max(time, end))
    return tuple(placed)


def _words_alone(words: Any, segments: Sequence[Any], text: str) -> list[Utterance]:
    """Words beside segments, or alone: OpenAI's ``verbose_json``, WhisperX's ``word_segments``, our own.

    The words come without the marks that the text of their segment has, and get them where both say the same.
    """
    told = values.mappings(words, "words")
    ends = [each.get("end", each.get("end_seconds")) for each in told]
    starts = [each.get("start", each.get("start_seconds")) for each in told]
    if not any(start is not None and end is not None for start, end in zip(starts, ends, strict=True)):
        raise MalformedError("words: none of them has a time")
    begin = min((start for start in starts if isinstance(start, (int, float))), default=0.0)
    last = max((end for end in ends if isinstance(end, (int, float))), default=0.0)
    timed = _with_times(told, begin, last, "words")
    if not segments:
        return _parted(_marked(timed, text) or timed)
    found: list[Utterance] = []
    first = 0
    for number, segment in enumerate(segments):
        get = values.mapping(segment, f"segment {number}").get
        _, end = _span(get("start"), get("end"), f"segment {number}")
        said = _said(get("text"), f"segment {number}")
        marked = _marked(timed[first : first + len(said.split())], said)
        behind = first + len(marked)
        if not marked:
            while behind < len(timed) and timed[behind].start_seconds + timed[behind].end_seconds < 2 * end:
                behind += 1
        found.append(marked or timed[first:behind])
        first = behind
    return [*found, timed[first:]]


def _marked(words: Utterance, text: str) -> Utterance:
    """The words as a text writes them; none where it does not say the same."""
    texts = text.split()
    if [word_key(word.text) for word in words] != [word_key(each) for each in texts]:
        return ()
    return tuple(replace(word, text=each) for word, each in zip(words, texts, strict=True))


def _parted(words: Utterance) -> list[Utterance]:
    """Words by sentences and pauses."""
    found: list[list[TimedWord]] = []
    for word in words:
        last = found[-1][-1] if found else None
        is_first = last is None or _ENDS_SENTENCE.search(last.text)
        if last is None or is_first or word.start_seconds - last.end_seconds > _PAUSE_SECONDS:
            found.append([])
        found[-1].append(word)
    return [tuple(each) for each in found]


def _said(value: Any, where: str, longest: int = values.LONGEST_TEXT) -> str:
    """Text; a recogniser may leave it out, or write a number as one."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (
        "" if value is None else plain_text(values.text(str(value) if is_number else value, where, longest))
    )


def _thousandth(value: Any) -> Any:
    return value / 1000 if isinstance(value, (int, float)) else value


def _span(start: Any, end: Any, where: str) -> tuple[float, float]:
    try:
        begins, ends = values.seconds(start, "start"), values.seconds(end, "end")
    except MalformedError as error:
        told = f"{values.short(start)} to {values.short(end)}"
        raise MalformedError(f"{where}: {told} is no span of time") from error
    return begins, max(begins, ends)
