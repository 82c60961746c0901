"""Pieces of work on videos: which can be done, and the key their results are stored under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from svlm_cli import __version__
from svlm_cli.bench.common.events import capped
from svlm_cli.bench.common.records import Record
from svlm_cli.errors import SourceError

RESULTS_NAME = "results.jsonl"


class HasVideo(Protocol):
    """A piece of work on a video."""

    @property
    def video(self) -> Path:
        """File to read."""


ItemT = TypeVar("ItemT", bound=HasVideo)


def digest(identity: Mapping[str, object]) -> str:
    """16 digits of all that can change a result; of a run's own settings it tells runs of one name apart."""
    content = json.dumps({"version": __version__, **identity}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


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
    names = sorted(path.name for path in missing)
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
