"""Every failure svlm knows by name, each with what to do next.

``cli.py`` is the one place that turns these into exit codes: ``UsageError`` is 2, any other
``SvlmError`` is 1.
"""

from __future__ import annotations


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


class SourceError(SvlmError):
    """A video source that is missing, unreadable, or holds no picture."""


class SourceLostError(SourceError):
    """A live source that stopped and did not come back in time."""


class ModelError(SvlmError):
    """A checkpoint that is missing, damaged, unsafe, or of another architecture."""


class OutputError(SvlmError):
    """An output that cannot be opened or written."""


class StateError(SvlmError):
    """A saved state that is damaged, or was made with something else than what is to go on from it."""
