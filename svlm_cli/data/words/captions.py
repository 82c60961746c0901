"""Transcripts made elsewhere, of any form: docs/data.md has the table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from svlm_cli.data.words.cues import read_cues
from svlm_cli.data.words.recognised import read_document
from svlm_cli.data.words.spoken import spoken
from svlm_cli.data.words.timed_xml import read_xml
from svlm_cli.data.words.transcript import MOST_BYTES, MOST_WORDS, Utterance
from svlm_cli.documents import MalformedError, read_bytes, read_json, read_text
from svlm_cli.errors import SourceError, boundary

_JSON = (".json", ".json3")
_TEXT = (".vtt", ".srt")
_XML = (".ttml", ".dfxp", ".itt", ".srv1", ".srv2", ".srv3", ".xml")
_FORMS = {".vtt": "VTT", ".srt": "SRT"}
SUFFIXES = (*_JSON, *_TEXT, *_XML)
"""Of the files that are read, the first ones rather than the last."""
_HINT = (
    "VTT, SRT, TTML, captions of YouTube, JSON of whisper and its kin and the files of svlm align are read"
)


def read_utterances(path: Path) -> list[Utterance]:
    """Read a transcript of any known form; words without times are spread evenly over their segment.

    Returns:
        Utterances in the order of the file, of captions in that of their times; empty ones are left out.

    Raises:
        SourceError: it cannot be read or is of no known form; says where.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SourceError(f"{path} is no transcript by its name", _HINT)
    with boundary(f"the transcript {path} cannot be read", SourceError, _HINT):
        try:
            return _bounded(_read(path, suffix))
        except (MalformedError, OSError, MemoryError):
            raise
        except Exception as error:  # words of a library, or of Python, about its own code
            raise MalformedError(f"it is not laid out as {_FORMS.get(suffix, 'a transcript')}") from error


def _read(path: Path, suffix: str) -> Iterable[Utterance]:
    if suffix in _JSON:
        return read_document(read_json(path, MOST_BYTES))
    if suffix in _XML:
        return spoken(read_xml(read_bytes(path, MOST_BYTES)))
    return spoken(read_cues(read_text(path, MOST_BYTES), suffix))


def read_webvtt(text: str) -> list[Utterance]:
    """As ``read_utterances``, of the text of a WebVTT file.

    Raises:
        MalformedError: it is none.
    """
    return _bounded(spoken(read_cues(text, ".vtt")))


def _bounded(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Those that are not empty, unless there are too many."""
    found, num_words = [], 0
    for words in utterances:
        num_words += len(words)
        if num_words > MOST_WORDS:
            raise MalformedError(f"it has more than {MOST_WORDS:,} words")
        found += [words] if words else []
    return found
