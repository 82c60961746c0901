"""What an output already holds: the last step of a file of events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TAIL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """A step as a file of events tells it.

    Args:
        index: its number.
        end_seconds: where it ends.
    """

    index: int
    end_seconds: float


def last_written(paths: Iterable[Path]) -> WrittenStep | None:
    """The last step that one of the files of events (``.jsonl``) holds near its end; None where none does."""
    found = [step for path in paths if path.suffix.lower() == ".jsonl" and (step := _last(path)) is not None]
    return max(found, key=lambda step: step.end_seconds, default=None)


def _last(path: Path) -> WrittenStep | None:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            event = json.loads(line)
            if event["type"] == "step":
                step = WrittenStep(int(event["index"]), float(event["end_seconds"]))
                return step if math.isfinite(step.end_seconds) else None
        except (ValueError, TypeError, KeyError):  # torn, or not ours
            continue
    return None
