"""Moments that other systems share: UTC as text, ISO 8601 to the millisecond."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_LATEST_SECONDS = 253_000_000_000.0  # in the year 9987


def utc_text(seconds: float) -> str:
    """A moment, in seconds since 1970, as ``2026-11-29T16:15:00.123Z``.

    Raises:
        ValueError, OverflowError: it lies outside the years that a calendar has.
    """
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    moment = datetime.fromtimestamp(whole, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def now_text() -> str:
    """This moment, by this machine's clock."""
    return utc_text(time.time())


def utc_seconds(text: str) -> float | None:
    """The moment that an ISO 8601 text states, in seconds since 1970; without an offset it is UTC.

    None for what is no date and time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def is_moment(seconds: float) -> bool:
    """Whether seconds since 1970 lie within the years that ``utc_text`` can write."""
    return 0 <= seconds <= _LATEST_SECONDS
