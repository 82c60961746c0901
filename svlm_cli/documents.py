"""Text and JSON from outside, read within bounds: what cannot be read is said in one line.

Files of other people, files that a kill or a bad disk has torn, and replies of a language model may hold
anything. Readers call these doors and need to know of one error alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from svlm_cli.text import encodable

MOST_BYTES = 1 << 28
MOST_DEPTH = 100
_MOST_DIGITS = 300  # a double holds 308
_PIECE_BYTES = 1 << 20


class MalformedError(ValueError):
    """What came from outside is not what it should be; the text says what, in one line."""


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a file; of a pipe or device too.

    Raises:
        OSError: it cannot be read.
        MalformedError: it is larger than ``most_bytes``.
    """
    parts, left = [], most_bytes + 1
    with path.open("rb") as file:
        while left and (part := file.read(min(left, _PIECE_BYTES))):
            parts.append(part)
            left -= len(part)
    if not left:
        raise MalformedError(f"it is larger than {most_bytes:,} bytes")
    return b"".join(parts)


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; line breaks are ``\\n``.

    Raises:
        OSError: it cannot be read.
        MalformedError: it is too large, is not UTF-8, or holds zero bytes.
    """
    text = decoded(read_bytes(path, most_bytes))
    if "\0" in text:
        raise MalformedError("it is no text: it holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decoded(content: bytes) -> str:
    """Bytes as UTF-8, without a byte order mark.

    Raises:
        MalformedError: they are not; says where.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"it is not UTF-8 text: {error.reason} at byte {error.start}") from error


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON document.

    Numbers that no computer counts with (NaN, the infinities, 1e999, 400 digits) are None, as JavaScript
    writes them; half surrogates are U+FFFD.

    Raises:
        MalformedError: it is not UTF-8, not JSON, or nested deeper than ``MOST_DEPTH``.
    """
    text = content if isinstance(content, str) else decoded(content)
    try:
        value = json.loads(text, parse_float=_float, parse_int=_int, parse_constant=lambda _name: None)
        return plain(value)
    except RecursionError as error:
        raise MalformedError(_TOO_DEEP) from error
    except MalformedError:
        raise
    except ValueError as error:
        raise MalformedError(f"it is not JSON: {error}") from error


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """``parse_json`` of a file.

    Raises:
        OSError: it cannot be read.
        MalformedError: it is too large, or as ``parse_json``.
    """
    return parse_json(read_bytes(path, most_bytes))


def lines_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1, without those that are blank."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield number, line


def plain(value: Any, depth: int = MOST_DEPTH) -> Any:
    """A value of lists, mappings and scalars with all its text encodable.

    Raises:
        MalformedError: it is nested deeper than ``depth``.
    """
    if isinstance(value, str):
        return value if value.isascii() else encodable(value)
    if not isinstance(value, (list, dict)):
        return value
    if depth == 0:
        raise MalformedError(_TOO_DEEP)
    if isinstance(value, list):
        return [plain(each, depth - 1) for each in value]
    return {plain(key, depth - 1): plain(each, depth - 1) for key, each in value.items()}


_TOO_DEEP = "it is nested too deeply"


def _float(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None
