"""What a part of the check leaves behind, written after every figure so that a killed part loses nothing."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Skipped(Exception):  # noqa: N818 - not an error
    """A part has nothing to run here; says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One statement that holds or does not."""

    name: str
    holds: bool
    found: str


@dataclass(slots=True)
class Record:
    """The figures of one part.

    Args:
        path: of the file they are written to.
        ends_at: of ``time.monotonic``, when the part is killed.
        values: by name, what JSON can hold.
        checks: in order.
    """

    path: Path
    ends_at: float
    values: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        """Until the part is killed."""
        return self.ends_at - time.monotonic()

    def note(self, name: str, value: Any) -> None:
        """Keep a figure."""
        self.values[name] = value
        self._write()

    def check(self, name: str, holds: bool, found: str) -> None:
        """Keep whether something is as it must be, and what was found."""
        self.checks.append(Check(name, holds, found))
        self._write()

    def _write(self) -> None:
        checks = [{"name": each.name, "holds": each.holds, "found": each.found} for each in self.checks]
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({"values": self.values, "checks": checks}))
        partial.replace(self.path)
