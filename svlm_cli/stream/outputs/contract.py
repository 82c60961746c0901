"""What outputs that are more than a file of pieces are asked for, and the run that they go on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from svlm_cli.types import StreamEvent


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run of which this one is the continuation.

    Args:
        lengths: bytes of each output, by real path, when the state was saved from which the stream goes on.
        reached_seconds: the time that the stream had reached by then.
        cut: drop what was written after that, as it will come again.
        held: what each output held back at that moment, by real path.
    """

    lengths: Mapping[str, int] = field(default_factory=dict)
    reached_seconds: float = 0.0
    cut: bool = True
    held: Mapping[str, str] = field(default_factory=dict)

    def part_and_open(self, path: str) -> tuple[int, str]:
        """The part of a file (0 where it has none) that was written then, and what was held back of it."""
        try:
            content = json.loads(self.held.get(path, "{}"))
            return int(content.get("part", 0)), str(content.get("open", ""))
        except (ValueError, TypeError, AttributeError):  # of another build
            return 0, ""


class Production(Protocol):
    """An output that is made of events, and not a file of their pieces: a playlist, a voice, a film."""

    @property
    def path(self) -> Path:
        """As its user named it."""

    @property
    def real_path(self) -> str:
        """Where it lies, links followed."""

    @property
    def held(self) -> str:
        """All that what is not fixed yet depends on, for a state; empty for nothing."""

    def begin(self, earlier: Earlier | None, *, keeps: bool) -> list[str]:
        """Begin, or go on behind an earlier run.

        Args:
            earlier: the run that is gone on from, None where there is none.
            keeps: whether what is there is kept beside.

        Returns:
            What is to be told.

        Raises:
            OutputError: it cannot be written.
        """

    def settle(self, earlier: Earlier, *, keeps: bool) -> tuple[bool, list[str]]:
        """Nothing comes any more: mend what is not as an earlier run left it.

        Args:
            earlier: that run.
            keeps: as ``begin`` has it.

        Returns:
            Whether it is open, to be finished; else it stays as it is. What is to be told.

        Raises:
            OSError, OutputError: it cannot be read or written.
        """

    def write(self, event: StreamEvent) -> list[str]:
        """Count an event.

        Returns:
            What is to be told.

        Raises:
            OSError: it cannot be written.
        """

    def sync(self) -> None:
        """Force what was written to the disk; from any thread.

        Raises:
            OSError: it cannot be.
        """

    def finish(self) -> None:
        """Nothing comes any more.

        Raises:
            OSError: it cannot be written.
        """
