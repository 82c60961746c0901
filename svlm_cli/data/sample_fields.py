"""Fields of a sample of chat messages, checked as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from svlm_cli.data.captions import LATEST_SECONDS


class WrongField(ValueError):  # noqa: N818 - said as part of a SourceError
    """What is not as it should be, and where."""


def parts_of(sample: Any, role: str) -> list[Mapping[str, Any]]:
    """The content of the first message of a role: objects.

    Raises:
        WrongField: there is no such message, or its content is something else.
    """
    messages = sample if isinstance(sample, list) else []
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") == role:
            content = message.get("content")
            if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
                return content
            raise WrongField(f"content of role {role} is no list of objects")
    raise WrongField(f"no message has the role {role}")


def part_of(parts: list[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    """The first part that is of this kind and has a field of that name.

    Raises:
        WrongField: there is none.
    """
    for part in parts:
        if kind in part and part.get("type", kind) == kind:
            return part
    raise WrongField(f"no content is of type {kind}")


def text_in(part: Mapping[str, Any], field: str) -> str:
    """A field that is text.

    Raises:
        WrongField: it is not.
    """
    value = part.get(field)
    if not isinstance(value, str):
        raise WrongField(f"{field} is no text: {_short(value)}")
    return value


def seconds_in(part: Mapping[str, Any], field: str) -> float:
    """A field that is a time in seconds.

    Raises:
        WrongField: it is not.
    """
    return _seconds(part.get(field), field)


def timed_rows(
    part: Mapping[str, Any], field: str, num_texts: int
) -> Iterator[tuple[float, float, list[str]]]:
    """A field that is a list of ``[start, end, text, ...]``; missing or null it is empty.

    Raises:
        WrongField: it is not.
    """
    rows = part.get(field)
    if rows is not None and not isinstance(rows, list):
        raise WrongField(f"{field} is no list: {_short(rows)}")
    for number, row in enumerate(rows or []):
        where = f"{field}[{number}]"
        is_row = isinstance(row, list) and len(row) == 2 + num_texts
        if not is_row or not all(isinstance(text, str) for text in row[2:]):
            raise WrongField(f"{where} is not two times and {num_texts} text(s): {_short(row)}")
        yield _seconds(row[0], where), _seconds(row[1], where), row[2:]


def _seconds(value: Any, field: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not -LATEST_SECONDS < value < LATEST_SECONDS:
        raise WrongField(f"{field} is no time in seconds: {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 80 else f"{told[:77]}..."
