"""Pieces of work on videos: which can be done, and the key their results are stored under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from svlm_cli import __version__
from svlm_cli.bench.common.events import capped
from svlm_cli.bench.common.records import Record
from svlm_cli.digest import digest
from svlm_cli.errors import SourceError

MOST_FAILURES = 10


class HasVideo(Protocol):
    """A piece of work on a video."""

    @property
    def video(self) -> Path:
        """File to read."""


ItemT = TypeVar("ItemT", bound=HasVideo)


def work_key(identity: Mapping[str, object]) -> str:
    """16 digits of all that can change a result; of a run's own settings it tells runs of one name apart."""
    return digest({"version": __version__, **identity})


def record_key(record: Record) -> str:
    """Key of a line of results.

    Raises:
        KeyError, TypeError: it is none.
    """
    if not isinstance(record["key"], str):
        raise TypeError("no key")
    return record["key"]


def present(items: Sequence[ItemT], unit: str) -> tuple[list[ItemT], str]:
    """The pieces of work whose video is there, and a sentence about the others.

    Args:
        items: each with its ``video``.
        unit: what they are, as a plural.

    Raises:
        SourceError: there is none.
    """
    missing = {item.video for item in items if not item.video.is_file()}
    left = [item for item in items if item.video not in missing]
    names = sorted(_shown(path) for path in missing)
    if not left:
        where = sorted(str(path.parent) for path in missing)[:1]
        raise SourceError(
            f"none of the {len(names)} videos is in {''.join(where)}: {capped(names)}",
            "say with --videos where they are",
        )
    if not missing:
        return left, ""
    return left, (
        f"{len(names)} videos are not there; {len(items) - len(left)} of {len(items)} {unit} are out: "
        f"{capped(names)}"
    )


def _shown(path: Path) -> str:
    """The base name; with its folder where another file lies under that name above it."""
    is_clear = not (path.parent.parent / path.name).exists()
    return path.name if is_clear else f"{path.parent.name}/{path.name}"


def find_video(videos: Path, *names: str) -> Path:
    """Where a video is: under the first name, or base name of one, that is a file; else under the first."""
    tried = [name for each in names for name in (each, Path(each).name)]
    return next((videos / name for name in tried if (videos / name).is_file()), videos / names[0])


class Failures:
    """Counts pieces of work that could not be done, up to where going on is pointless.

    Args:
        most: how many may fail.
    """

    def __init__(self, most: int = MOST_FAILURES) -> None:
        self._most = most
        self._num = 0

    def count(self, error: Exception) -> None:
        """Count one.

        Raises:
            Exception: ``error`` itself, after more than ``most``.
        """
        self._num += 1
        if self._num > self._most:
            raise error
