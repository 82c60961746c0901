"""The values that cross module borders: frozen, slotted, units in their names; no torch, no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from svlm_cli.utc import now_text

if TYPE_CHECKING:
    import numpy as np


class ClockKind(StrEnum):
    """What a source's UTC goes by: its playlist, its sender's reports, this machine's clock, its file."""

    PROGRAM_DATE_TIME = "program_date_time"
    RTCP = "rtcp"
    WALL = "wall"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class SourceTime:
    """What a source's own clocks say where a clip starts.

    Args:
        pts_seconds: presentation time by its own stamps, None where it has none.
        utc_seconds: UTC, in seconds since 1970, None where it is not known.
        kind: what UTC goes by.
    """

    pts_seconds: float | None = None
    utc_seconds: float | None = None
    kind: ClockKind | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """The frames of one step of a stream.

    Args:
        index: number of the step in this run, from 0.
        start_seconds: position in the stream where the step starts.
        end_seconds: ``start_seconds`` plus the step length.
        frames: uint8 RGB, shape (num_frames, height, width, 3); frame ``k`` is the one on screen
            at ``start_seconds + k / fps``.
        read_seconds: wall time spent reading and decoding this clip.
        source_time: what the source's own clocks say where it starts.
    """

    index: int
    start_seconds: float
    end_seconds: float
    frames: np.ndarray
    read_seconds: float = 0.0
    source_time: SourceTime | None = None

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype.name != "uint8":
            raise ValueError(
                "frames must be uint8 of shape (num_frames, height, width, 3), "
                f"not {self.frames.dtype} {self.frames.shape}"
            )
        if self.end_seconds <= self.start_seconds:
            raise ValueError(f"a clip must last: {self.start_seconds} to {self.end_seconds}")

    @property
    def num_frames(self) -> int:
        """How many there are."""
        return int(self.frames.shape[0])


@dataclass(frozen=True, slots=True)
class StepTimings:
    """Wall seconds of one step, by stage; ``total`` is the whole step, file to text."""

    read: float = 0.0
    vision: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    cache: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class StartEvent:
    """First event of a stream: what runs, with every setting.

    Args:
        version: the version of svlm.
        source: as the user named it.
        model: as the user named it.
        device: where the model computes, e.g. ``cpu`` or ``cuda:0``.
        dtype: the number format of weights and cache, e.g. ``float32``.
        settings: every other setting by its option name.
        at_seconds: where the stream begins.
        utc: as in every event, the moment at which it was made.
    """

    version: str
    source: str
    model: str
    device: str
    dtype: str
    settings: Mapping[str, object] = field(default_factory=dict)
    at_seconds: float = 0.0
    utc: str = field(default_factory=now_text, compare=False)


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One second (one step) of a stream and what was said in it.

    ``text`` is what the user sees: without the closing " ..." and without markup. Token counts:
    ``num_new_tokens`` were generated in this step, ``num_cached_tokens`` have KV states after it,
    ``num_vision_tokens`` of those are video, ``num_sink_tokens`` the attention sink. ``lag_seconds`` is how
    long after its end the step was spoken, at realtime pace; ``skipped_seconds`` of the stream before it were
    not shown to the model.

    ``start_utc`` and ``end_utc`` are when the second was shown, by ``clock``; empty where there is none, as
    of an arena match at full speed. ``pts_seconds`` is where it starts by the source's own stamps. ``utc``
    is, as in every event, the moment at which the event was made.
    """

    index: int
    start_seconds: float
    end_seconds: float
    text: str
    num_frames: int
    num_new_tokens: int
    num_cached_tokens: int
    num_vision_tokens: int
    num_sink_tokens: int = 0
    lag_seconds: float = 0.0
    skipped_seconds: float = 0.0
    timings: StepTimings = field(default_factory=StepTimings)
    pts_seconds: float | None = None
    clock: ClockKind | None = None
    start_utc: str = ""
    end_utc: str = ""
    utc: str = field(default_factory=now_text, compare=False)


@dataclass(frozen=True, slots=True)
class AnswerEvent:
    """The answer to a question, in the turn of step ``index``, apart from that second's words.

    ``lag_seconds`` is that of the step, ``id`` that of the question, as whoever asked it was
    told; empty for one from a file or a terminal.
    """

    index: int
    start_seconds: float
    end_seconds: float
    question: str
    text: str
    num_new_tokens: int
    lag_seconds: float = 0.0
    id: str = ""
    utc: str = field(default_factory=now_text, compare=False)


@dataclass(frozen=True, slots=True)
class WarningEvent:
    """Something the user should know; the stream goes on.

    ``at_seconds`` is where the stream stood when it was told, None where no place in it is meant.
    """

    message: str
    at_seconds: float | None = None
    utc: str = field(default_factory=now_text, compare=False)


@dataclass(frozen=True, slots=True)
class EndEvent:
    """Last event of a stream.

    ``p50_step_seconds`` and its kin are percentiles of the steps' total wall time;
    ``realtime_factor`` is stream seconds per wall second; ``peak_device_bytes`` is 0 on the CPU;
    ``at_seconds`` is where the stream ended.
    """

    steps: int
    stream_seconds: float
    wall_seconds: float
    realtime_factor: float
    p50_step_seconds: float
    p95_step_seconds: float
    p99_step_seconds: float
    peak_rss_bytes: int
    peak_device_bytes: int
    at_seconds: float = 0.0
    utc: str = field(default_factory=now_text, compare=False)


StreamEvent = StartEvent | StepEvent | AnswerEvent | WarningEvent | EndEvent


def reached_by(event: StreamEvent) -> float | None:
    """Where the stream stands once an event is told, None where the event names no place."""
    return event.end_seconds if isinstance(event, StepEvent | AnswerEvent) else event.at_seconds
