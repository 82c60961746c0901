"""Every failure svlm knows by name, each with what to do next.

``cli.py`` is the one place that turns these into exit codes: ``UsageError`` is 2, any other
``SvlmError`` is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SvlmError(Exception):
    """A failure with a cause the user can act on.

    Args:
        message: what happened and where, in one line.
        hint: what to type or check next; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(SvlmError):
    """A wrong option or value: the command line or the settings must change."""


class TooEarlyError(UsageError):
    """Something that cannot be done yet and can be later, asked for again as it is."""


class SourceError(SvlmError):
    """A video source that is missing, unreadable, or holds no picture."""


class SourceLostError(SourceError):
    """A live source that stopped and did not come back in time."""


class NothingThereError(SourceError):
    """A source that has ended before the second that is asked for.

    Args:
        message, hint: as every ``SvlmError``.
        end_seconds: where it ends, None where its seconds are not those of an earlier look at it.
    """

    def __init__(self, message: str, hint: str = "", end_seconds: float | None = None) -> None:
        super().__init__(message, hint)
        self.end_seconds = end_seconds


class ModelError(SvlmError):
    """A checkpoint that is missing, damaged, unsafe, or of another architecture."""


class OutputError(SvlmError):
    """An output that cannot be opened or written."""


class StateError(SvlmError):
    """A saved state that is damaged, or was made with something else than what is to go on from it."""


@contextmanager
def boundary(message: str, kind: type[SvlmError], hint: str = "") -> Iterator[None]:
    """Around a library's call on bytes from outside: whatever it raises becomes an error of ours.

    Libraries raise what they like on damaged input (IndexError, struct.error, AssertionError, ...), and one
    bad item must not end the work on all others. Our own errors pass; so do MemoryError and what is no
    ``Exception``: Ctrl-C and exits.

    Args:
        message: what was being done, and with what; the library's own words follow.
        kind: the kind of error to raise.
        hint: as ``SvlmError`` has it.

    Raises:
        SvlmError: of that kind.
    """
    try:
        yield
    except (SvlmError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise kind(f"{message}: {reason}", hint) from error
