"""Fields of a sample of chat messages, checked as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from svlm_cli import values
from svlm_cli.documents import MalformedError


def parts_of(sample: Any, role: str) -> list[Mapping[str, Any]]:
    """The content of the first message of a role: objects.

    Raises:
        MalformedError: there is no such message, or its content is something else.
    """
    messages = sample if isinstance(sample, list) else []
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") == role:
            content = message.get("content")
            if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
                return content
            raise MalformedError(f"content of role {role} is no list of objects")
    raise MalformedError(f"no message has the role {role}")


def part_of(parts: list[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    """The first part that is of this kind and has a field of that name.

    Raises:
        MalformedError: there is none.
    """
    for part in parts:
        if kind in part and part.get("type", kind) == kind:
            return part
    raise MalformedError(f"no content is of type {kind}")


def seconds_in(part: Mapping[str, Any], field: str) -> float:
    """A field that is a time in seconds.

    Raises:
        MalformedError: it is not.
    """
    return _seconds(part.get(field), field)


def timed_rows(
    part: Mapping[str, Any], field: str, num_texts: int
) -> Iterator[tuple[float, float, list[str]]]:
    """A field that is a list of ``[start, end, text, ...]``; missing or null it is empty.

    Raises:
        MalformedError: it is not.
    """
    rows = part.get(field)
    if rows is not None and not isinstance(rows, list):
        raise MalformedError(f"{field} is no list: {values.short(rows)}")
    for number, row in enumerate(rows or []):
        where = f"{field}[{number}]"
        is_row = isinstance(row, list) and len(row) == 2 + num_texts
        if not is_row or not all(isinstance(text, str) for text in row[2:]):
            raise MalformedError(f"{where} is not two times and {num_texts} text(s): {values.short(row)}")
        yield _seconds(row[0], where), _seconds(row[1], where), row[2:]


def _seconds(value: Any, field: str) -> float:
    return values.seconds(value, field, -values.LATEST_SECONDS)
