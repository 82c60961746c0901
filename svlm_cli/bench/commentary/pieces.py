"""Stretches of video to be commentated and what was said: commentary and LiveSports share them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.results import RunFacts
from svlm_cli.bench.common.settings import (
    decoding_text,
    memory_identity,
    memory_text,
    pixels_text,
    sampling_identity,
)
from svlm_cli.bench.common.work import work_key
from svlm_cli.errors import SourceError
from svlm_cli.settings import StreamSettings


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
        start_seconds, end_seconds: the start and end of the stretch.
        title: the title of the video.
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


Shape = Callable[[Piece, Sequence[Said]], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class PieceRun:
    """One way to commentate pieces.

    Args:
        name: the name of the row.
        settings: the stream's; title, previous text, start and duration give way to those of the piece.
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
            **sampling_identity(own.sampling),
        }

    def facts(self, model: ModelFacts) -> RunFacts:
        """Of the run's row."""
        columns = {
            "model": f"{model.name} ({model.fingerprint[:8]})",
            "frames": f"{self.settings.fps:g} FPS",
            "resolution": pixels_text(self.settings),
            "memory": memory_text(model.shown(self.settings)),
            "decoding": decoding_text(self.settings),
        }
        return RunFacts(columns, self.protocol, self.paper)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of results to be had.

    Args:
        piece: it is of.
        key: made of everything that decides it.
        head: its first fields.
    """

    piece: Piece
    key: str
    head: Mapping[str, object] = field(default_factory=dict)


def line_key(identity: Mapping[str, object], piece: Piece) -> str:
    """The fingerprint of all that can change a line: who commentates, how, and what."""
    stretch = {
        "video": piece.video.name,
        "start": piece.start_seconds,
        "end": piece.end_seconds,
        "opening": [piece.title, piece.previous_text],
        "labels": dict(piece.labels),
    }
    return work_key({**identity, **stretch})
