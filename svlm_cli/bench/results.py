"""``results.jsonl``: one line per whole match, and never half of one.

The file is replaced in one rename whenever a match is done, so that it is valid after a kill at any
moment. A lock on the folder keeps a second benchmark out of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from svlm_cli import __version__
from svlm_cli.bench.intervals import rounded
from svlm_cli.bench.match import Job, MatchResult, ModelFacts
from svlm_cli.bench.score import Tally
from svlm_cli.errors import OutputError

FILE_NAME = "results.jsonl"
_SPEEDS = ("wall_seconds", "realtime_factor", "p50_step_seconds", "p95_step_seconds", "p99_step_seconds")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that at any moment it is either as before or complete.

    Raises:
        OutputError: it cannot be written; what was there before stays.
    """
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "choose another --out") from error
    finally:
        part.unlink(missing_ok=True)


class ResultsFile:
    """The results in a folder; a context manager that holds the folder's lock.

    Lines of other models and settings are kept as they are: a folder may hold several.

    Args:
        folder: made where it does not exist.

    Raises:
        OutputError: it cannot be made, written or read, or another benchmark writes to it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self.problems: list[str] = []
        self._lines: list[str] = []
        self._places: dict[tuple[str, int], int] = {}
        self._lock = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        except BlockingIOError as error:
            self.close()
            raise OutputError(
                f"another svlm bench writes to {folder}", "wait for it, or choose another --out"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            self.close()
            raise OutputError(f"cannot use {folder} for results: {error}", "choose another --out") from error
        for number, line in enumerate(text.splitlines(), start=1):
            self._take(line, number)

    def find(self, job: Job) -> MatchResult | None:
        """The match, if it was streamed before with the same fingerprint."""
        place = self._places.get((job.key, job.seed))
        if place is None:
            return None
        record = json.loads(self._lines[place])
        said = [""] * job.num_seconds
        for second, words in record["said"]:
            said[second] = words
        return MatchResult(job, tuple(said), **{name: record[name] for name in _SPEEDS})

    def add(self, result: MatchResult, facts: ModelFacts, scores: Tally) -> None:
        """Add a match and write the file.

        Raises:
            OutputError: see ``write_whole``.
        """
        job = result.job
        record = {
            "run": job.run.name,
            "seed": job.seed,
            "seconds": job.num_seconds,
            "fingerprint": job.key,
            "version": __version__,
            "model": facts.name,
            "model_fingerprint": facts.fingerprint,
            "device": facts.device,
            "dtype": facts.dtype,
            "settings": job.run.identity(),
            "scores": {name: rounded(ratio.percent) for name, ratio in scores.items()},
            **{name: round(getattr(result, name), 6) for name in _SPEEDS},
            "said": [[second, words] for second, words in enumerate(result.said) if words],
        }
        self._take(json.dumps(record, ensure_ascii=False), len(self._lines) + 1)
        write_whole(self.path, "".join(f"{line}\n" for line in self._lines).encode())

    def _take(self, line: str, number: int) -> None:
        """Keep a line and where its match is to be found."""
        try:
            record = json.loads(line)
            key = (str(record["fingerprint"]), int(record["seed"]))
            is_whole = _is_speech(record["said"], int(record["seconds"]))
            is_whole = is_whole and all(isinstance(record[name], int | float) for name in _SPEEDS)
        except (ValueError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            self.problems.append(f"line {number} of {self.path} is no result and is left out")
            return
        self._places[key] = len(self._lines)
        self._lines.append(line)

    def close(self) -> None:
        """Let go of the folder; more than once is fine."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_speech(said: Sequence[Iterable[object]], num_seconds: int) -> bool:
    pairs = [tuple(each) for each in said]
    return all(
        len(pair) == 2
        and isinstance(pair[0], int)
        and isinstance(pair[1], str)
        and 0 <= pair[0] < num_seconds
        for pair in pairs
    )
