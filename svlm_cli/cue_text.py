"""Text and times of cues, as WebVTT and SubRip write them."""

from __future__ import annotations

import html
import re

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC: titles, links
    r"|\x1b[ -/]*[0-~]"  # all others
)
TIME_TAG = re.compile(r"<(?:([0-9]+):)?([0-9]+):([0-9]+\.[0-9]+)>")
"""When the words behind it are said, within a line of WebVTT; in linear time, also where none ever closes."""
# Captions are escaped again by programs on their way; a bare "&" is one.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_MOST_ESCAPES = 4
_BREAK = re.compile(r"<br\s*/?\s*>", re.IGNORECASE)
_MARKUP = re.compile(r"</?(?:i|b|u|s|em|strong|font|span|c|v|ruby|rt|lang)\b[^<>]*>", re.IGNORECASE)
# Controls that are no blanks, halves of surrogate pairs, and what turns the direction of writing.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str) -> str:
    """``text`` on one line and inert: no terminal escapes, no control characters, single blanks."""
    visible = _INVISIBLE.sub("", _ESCAPE_SEQUENCES.sub("", text))
    return re.sub(r"\s+", " ", visible).strip()


def plain_text(text: str) -> str:
    """What a piece of a caption shows: escapes undone, however often (``&amp;#39;``), and tags in them.

    Args:
        text: without tags of its own form; ``<br>``, which comes in all forms, becomes a line break.
    """
    for _ in range(_MOST_ESCAPES):
        plain = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
        if plain == text:
            break
        text = plain
    return _MARKUP.sub("", _BREAK.sub("\n", text)) if "<" in text else text


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
