"""Text and times of cues, as WebVTT and SubRip write them."""

from __future__ import annotations

import re

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC: titles, links
    r"|\x1b[ -/]*[0-~]"  # all others
)
TIME_TAG = re.compile(r"<(?:(\d+):)?(\d+):(\d+\.\d+)>")
"""When the words behind it are said, within a line of WebVTT; in linear time, also where none ever closes."""
# Controls that are no blanks, halves of surrogate pairs, and what turns the direction of writing.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str) -> str:
    """``text`` on one line and inert: no terminal escapes, no control characters, single blanks."""
    visible = _INVISIBLE.sub("", _ESCAPE_SEQUENCES.sub("", text))
    return re.sub(r"\s+", " ", visible).strip()


def timestamp(seconds: float, decimal_mark: str = ".") -> str:
    """``HH:MM:SS.mmm``, hours as wide as they need; ``decimal_mark`` is "," in SubRip."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{decimal_mark}{milliseconds:03d}"


def escape_vtt(text: str) -> str:
    """Cue text of WebVTT that shows exactly ``clean_text(text)``."""
    return clean_text(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_srt(text: str) -> str:
    """Cue text of SubRip, which has no escapes: what players would take for markup is spelled another way."""
    safe = re.sub(r"<([^<>]*)>", r"‹\1›", clean_text(text))
    safe = re.sub(r"<(?=[A-Za-z/])", "‹", safe)
    return re.sub(r"-{2,}(?=>)", "-", safe).replace("{\\", "{ \\")
