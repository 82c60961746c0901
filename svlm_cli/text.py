"""Text from outside: made fit to be stored, sent and shown.

``encodable`` is the door for whatever enters (questions, titles, file names, transcripts), ``visible`` the
door for whatever is printed (``one_line`` for a line of talk), ``as_json`` that for JSON, printed or sent.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Half a surrogate pair: JSON and undecodable bytes of file names can bring one; no encoder takes it.
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Controls of terminals (C0, DEL, C1), of the direction of writing, and the line breaks of Unicode.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def encodable(text: str) -> str:
    """``text`` with U+FFFD in place of each half of a surrogate pair, so that it can be encoded."""
    return _SURROGATES.sub("\ufffd", text)


def all_encodable(content: Any) -> Any:
    """``content`` with every text in its mappings and lists made encodable: what a site or a file says."""
    match content:
        case str():
            return encodable(content)
        case dict():
            return {all_encodable(key): all_encodable(value) for key, value in content.items()}
        case list():
            return [all_encodable(value) for value in content]
    return content


def visible(text: str) -> str:
    r"""``text`` as it may be printed: control characters as ``\x1b``, but for line breaks and tabs."""
    return _SURROGATES.sub(_escape, _CONTROLS.sub(_escape, text))


def one_line(text: str) -> str:
    """``visible`` text on one line: a name with a line break makes no line of its own."""
    return visible(re.sub(r"[ \t]*[\r\n]+[ \t]*", " ", text.strip(" \t\r\n")))


def as_json(content: object, indent: int | None = None) -> str:
    r"""``content`` as JSON that may be printed and sent: letters as they are, controls as ``\u009b``."""
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    return _CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", encodable(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
