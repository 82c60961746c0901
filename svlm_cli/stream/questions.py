"""Questions asked while a stream runs: each waits for the turn of its second, one a turn."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.documents import MalformedError, read_text
from svlm_cli.errors import UsageError
from svlm_cli.text import encodable
from svlm_cli.values import decimal

MAX_QUESTION_LETTERS = 500
MAX_WAITING = 64
_MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    due_seconds: float
    number: int
    text: str
    id: str = ""


class Questions:
    """A queue that any thread may fill and the stream empties.

    Attributes:
        taken_id: the id of the question that was taken last.
    """

    def __init__(self) -> None:
        self.taken_id = ""
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, text: str, at_seconds: float = 0.0, id: str = "") -> bool:  # noqa: A002 - as in the answer
        """Ask a question in the turn that holds ``at_seconds``, or in the next one there is.

        Whatever stands in it can be encoded from here on: halves of surrogate pairs become U+FFFD.

        Args:
            text: the question.
            at_seconds: when to ask it.
            id: told with its answer.

        Returns:
            Whether it was taken: blank ones are not, nor those for NaN, nor any while too many wait.
        """
        cleaned = encodable(" ".join(text.split())[:MAX_QUESTION_LETTERS])
        with self._lock:
            if not cleaned or math.isnan(at_seconds) or len(self._waiting) >= MAX_WAITING:
                return False
            heapq.heappush(self._waiting, _Waiting(at_seconds, next(self._numbers), cleaned, id))
            return True

    def waiting(self) -> list[tuple[float, str]]:
        """Seconds and text of those not asked yet, in their order."""
        with self._lock:
            return [(each.due_seconds, each.text) for each in sorted(self._waiting)]

    def take(self, end_seconds: float) -> str:
        """The next question due before ``end_seconds``; empty if there is none."""
        with self._lock:
            if self._waiting and self._waiting[0].due_seconds < end_seconds:
                taken = heapq.heappop(self._waiting)
                self.taken_id = taken.id
                return taken.text
            return ""


def read_questions(path: Path) -> list[tuple[float, str]]:
    """Read a file with lines like ``12.0 Who scored?``; blank ones and those with # first are left out.

    Returns:
        Seconds and question of each.

    Raises:
        UsageError: it cannot be read, or a line is not of this form; says which.
    """
    try:
        lines = read_text(path, _MOST_BYTES).split("\n")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "give an existing file") from error
    except MalformedError as error:
        raise UsageError(f"{path}: {error}", "convert it, e.g. with iconv") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        seconds, _, text = line.strip().partition(" ")
        at_seconds = decimal(seconds)
        if at_seconds is None or at_seconds < 0 or not text.strip() or len(text) > MAX_QUESTION_LETTERS:
            raise UsageError(
                f"{path}, line {number} is not a time in seconds and a question of at most "
                f"{MAX_QUESTION_LETTERS} letters: {line[:60]!r}",
                'write e.g. "12.0 Who scored?"',
            )
        found.append((at_seconds, text.strip()))
    if len(found) > MAX_WAITING:
        raise UsageError(f"{path} holds {len(found)} questions; at most {MAX_WAITING} may wait", "use fewer")
    return found
