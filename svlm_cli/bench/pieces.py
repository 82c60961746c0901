"""Stretches of video to be commentated and what was said: commentary and LiveSports share them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from svlm_cli import __version__
from svlm_cli.bench.events import capped
from svlm_cli.bench.match import ModelFacts
from svlm_cli.bench.records import Record
from svlm_cli.bench.runs import memory_identity
from svlm_cli.errors import SourceError
from svlm_cli.settings import Policy, StreamSettings

RESULTS_NAME = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Said:
    """Words with their time in the video."""

    start_seconds: float
    end_seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch to be commentated from a fresh start.

    Args:
        video: file to read.
        start_seconds, end_seconds: of the stretch.
        title: of the video.
        previous_text: what was said before; empty for nothing.
        labels: first fields of its line.
    """

    video: Path
    start_seconds: float
    end_seconds: float
    title: str
    previous_text: str
    labels: Mapping[str, object]

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds:
            raise SourceError(
                f"{self.video.name}: nothing lies between {self.start_seconds:g} and {self.end_seconds:g} s"
            )

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.video.name} {self.start_seconds:g}-{self.end_seconds:g} s"


class HasVideo(Protocol):
    """A piece of work on a video."""

    @property
    def video(self) -> Path:
        """File to read."""


ItemT = TypeVar("ItemT", bound=HasVideo)
Shape = Callable[[Piece, Sequence[Said]], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class PieceRun:
    """One way to commentate pieces.

    Args:
        name: of the row.
        settings: of the stream; its title, previous text, start and duration give way to the piece's.
        protocol: as tables show it: pieces, previous text.
        pieces: what to commentate.
        paper: what the paper prints for it.
    """

    name: str
    settings: StreamSettings
    protocol: str
    pieces: tuple[Piece, ...]
    paper: str | None = None

    def identity(self) -> dict[str, object]:
        """Every setting that can change a word, as plain values."""
        own = self.settings
        return {
            **memory_identity(own),
            "step_seconds": own.step_seconds,
            "query": own.query,
            "min_pixels": own.min_pixels,
            "max_pixels": own.max_pixels,
            **asdict(own.sampling),
        }

    def facts(self, model: ModelFacts) -> dict[str, str]:
        """Columns of the run's row."""
        return {
            "model": f"{model.name} ({model.fingerprint[:8]})",
            "frames": f"{self.settings.fps:g} FPS",
            "resolution": pixels_text(self.settings),
            "memory": memory_text(self.settings),
            "decoding": decoding_text(self.settings),
        }


@dataclass(frozen=True, slots=True)
class Line:
    """One line of results to be had.

    Args:
        piece: it is of.
        key: of everything that decides it.
        head: its first fields.
    """

    piece: Piece
    key: str
    head: Mapping[str, object] = field(default_factory=dict)


def digest(identity: Mapping[str, object]) -> str:
    """16 digits of all that can change a result; of a run's own settings it tells runs of one name apart."""
    content = json.dumps({"version": __version__, **identity}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def line_key(identity: Mapping[str, object], piece: Piece) -> str:
    """The fingerprint of all that can change a line: who commentates, how, and what."""
    stretch = {
        "video": piece.video.name,
        "start": piece.start_seconds,
        "end": piece.end_seconds,
        "opening": [piece.title, piece.previous_text],
        "labels": dict(piece.labels),
    }
    return digest({**identity, **stretch})


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


def pixels_text(settings: StreamSettings) -> str:
    """Limits of a frame's pixels."""
    if settings.min_pixels is None and settings.max_pixels is None:
        return "as trained"
    least = "as trained" if settings.min_pixels is None else f"{settings.min_pixels}"
    most = "as trained" if settings.max_pixels is None else f"{settings.max_pixels}"
    return f"{least} to {most} pixels"


def memory_text(settings: StreamSettings) -> str:
    """Policy and windows in one cell."""
    policy = settings.policy
    if policy is Policy.FULL:
        return "full: everything"
    if policy is Policy.WINDOW:
        return f"window: restart every {settings.restart_seconds:g} s"
    grows = ", growing positions" if settings.positions == "growing" else ""
    return (
        f"{policy.value}: S {settings.sink} / T {settings.text_window}, V {settings.vision_window:g} s, "
        f"R {settings.rounds}{grows}"
    )


def decoding_text(settings: StreamSettings) -> str:
    """How words are drawn, in one cell."""
    own = settings.sampling
    penalty = f", penalty {own.repetition_penalty:g}" if own.repetition_penalty != 1 else ""
    if own.greedy:
        return f"greedy{penalty}"
    return (
        f"temperature {own.temperature:g}, top-k {own.top_k}, top-p {own.top_p:g}{penalty}, seed {own.seed}"
    )
