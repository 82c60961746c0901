"""Values of documents from outside, checked one by one: their kind, and bounds for every time and size."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from svlm_cli.documents import MalformedError, parse_json

LATEST_SECONDS = 1e6  # eleven days
LONGEST_TEXT = 100_000
_LONGEST_NAME_BYTES = 255
_LONGEST_STEM_BYTES = 200  # suffixes are added
_LONGEST_PATH_BYTES = 2000
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 100


def number(value: Any, name: str, least: float, most: float) -> float:
    """A finite number within bounds.

    Raises:
        MalformedError: it is not; names it.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MalformedError(f"{name} is no number: {short(value)}")
    if not least <= value <= most:
        raise MalformedError(f"{name} is not between {least:g} and {most:g}: {short(value)}")
    return float(value)


def numeral(value: Any) -> Any:
    """The number that text writes, as exports of tables have it; anything else as it is."""
    if isinstance(value, str):
        with suppress(MalformedError):
            found = parse_json(value)
            if isinstance(found, int | float) and not isinstance(found, bool):
                return found
    return value


def seconds(value: Any, name: str, least: float = 0.0) -> float:
    """A time or a length of time in seconds, up to ``LATEST_SECONDS``.

    Raises:
        MalformedError: it is not; names it.
    """
    try:
        return number(value, name, least, LATEST_SECONDS)
    except MalformedError as error:
        raise MalformedError(f"{name} is no time in seconds: {short(value)}") from error


def whole(value: Any, name: str, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises:
        MalformedError: it is not; names it.
    """
    found = number(value, name, least, most)
    if found != int(found):
        raise MalformedError(f"{name} is no whole number: {short(value)}")
    return int(found)


def digits(text: str, most: int) -> int | None:
    """The whole number that text of digits 0 to 9 writes; None where it is none, or above ``most``."""
    plain = text.lstrip("0")
    if not text.isascii() or not text.isdecimal() or len(plain) > len(str(most)):
        return None
    found = int(plain or "0")
    return found if found <= most else None


def decimal(text: str) -> float | None:
    """The finite number that text writes; None where it is none.

    Digits are 0 to 9, with a point, a sign and an exponent where there are some: no blanks, no underscores,
    no digits of other scripts, which Python's own ``float`` takes as well.
    """
    found = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return found if math.isfinite(found) else None


def share(value: Any) -> float | None:
    """A number from 0 to 1; None where it is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if is_number else None


def text(value: Any, name: str, longest: int = LONGEST_TEXT) -> str:
    """Text of no more than so many letters.

    Raises:
        MalformedError: it is not; names it.
    """
    if not isinstance(value, str):
        raise MalformedError(f"{name} is no text: {short(value)}")
    if len(value) > longest:
        raise MalformedError(f"{name} is longer than {longest:,} letters: {short(value)}")
    return value


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """An object of JSON.

    Raises:
        MalformedError: it is none; names it.
    """
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is no object: {short(value)}")
    return value


def sequence(value: Any, name: str) -> list[Any]:
    """A list.

    Raises:
        MalformedError: it is none; names it.
    """
    if not isinstance(value, list):
        raise MalformedError(f"{name} is no list: {short(value)}")
    return value


def mappings(value: Any, name: str) -> list[Mapping[str, Any]]:
    """A list of objects.

    Raises:
        MalformedError: it is none; names it.
    """
    return [mapping(each, f"{name}[{number}]") for number, each in enumerate(sequence(value, name))]


def file_name(value: Any, name: str) -> str:
    """Text that can name a file in a folder.

    Raises:
        MalformedError: it is not; names it.
    """
    found = text(value, name)
    is_one = "/" not in found and "\0" not in found and found not in ("", ".", "..")
    if not is_one or len(found.encode()) > _LONGEST_STEM_BYTES:
        raise MalformedError(f"{name} cannot name a file: {short(value)}")
    return found


def path_text(value: Any, name: str) -> str:
    """Text that can be the path of a file; empty is none.

    Raises:
        MalformedError: it is not; names it.
    """
    found = text(value, name)
    too_long = any(len(part.encode()) > _LONGEST_NAME_BYTES for part in PurePosixPath(found).parts)
    if "\0" in found or too_long or len(found.encode()) > _LONGEST_PATH_BYTES:
        raise MalformedError(f"{name} cannot be a path: {short(value)}")
    return found


def inner_path(value: Any, name: str) -> str:
    """The path of a file within a folder.

    Raises:
        MalformedError: it is not, or leads out of the folder; names it.
    """
    found = path_text(value, name)
    path = PurePosixPath(found)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise MalformedError(f"{name} is no path within the folder: {short(value)}")
    return found


def short(value: Any) -> str:
    """A value for a message: at most some 80 letters of it."""
    told = _SHORT.repr(value)
    return told if len(told) <= 80 else f"{told[:77]}..."
