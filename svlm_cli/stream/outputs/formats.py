"""How a stream is written down: WebVTT, SubRip and JSON Lines, as pure functions of its events."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from numbers import Integral, Real
from typing import Protocol

from svlm_cli.cue_text import escape_srt, escape_vtt, timestamp
from svlm_cli.text import as_json
from svlm_cli.types import AnswerEvent, EndEvent, StartEvent, StepEvent, StreamEvent, WarningEvent

JSON_DECIMALS = 6
STARTED = ("version", "source", "model", "device", "dtype", "at_seconds", "utc")
CLOCKS = frozenset({"pts_seconds", "clock", "start_utc", "end_utc"})  # told where the source has them


def _timing_line(step: StepEvent, decimal_mark: str) -> str:
    end = max(step.end_seconds, step.start_seconds + 0.001)
    return f"{timestamp(step.start_seconds, decimal_mark)} --> {timestamp(end, decimal_mark)}"


def _plain(value: object) -> object:
    """``value`` as JSON can hold it: no NaN, no infinity, seconds to the microsecond."""
    match value:
        case None | bool():
            return value
        case Integral():
            return int(value)
        case Real():
            number = float(value)
            return round(number, JSON_DECIMALS) if math.isfinite(number) else None
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)


def event_to_json(event: StreamEvent) -> dict[str, object]:
    """The JSON form of an event, the same for ``--json``, ``.jsonl`` files and whoever comes next."""
    match event:
        case StartEvent():
            named = {key: getattr(event, key) for key in STARTED}
            values: Mapping[str, object] = named | dict(event.settings)
            kind = "start"
        case StepEvent():
            known = asdict(event)
            values = {key: known[key] for key in known if key not in CLOCKS or known[key] not in (None, "")}
            kind = "step"
        case AnswerEvent():
            values, kind = asdict(event), "answer"
        case WarningEvent():
            values, kind = asdict(event), "warning"
        case EndEvent():
            values, kind = asdict(event), "end"
    return {"type": kind} | {key: _plain(value) for key, value in values.items()}


def json_line(event: StreamEvent) -> str:
    """One line of JSON without its newline; control characters are escaped, other letters are not."""
    return as_json(event_to_json(event))


class Pieces(Protocol):
    """A file of whole pieces.

    Attributes:
        header: opens the file.
        end: the end of every piece and of the header; inside of none.
        last: how far a piece tells: seconds, a time, or a step.
    """

    header: str
    end: str
    last: re.Pattern[str]


class OutputFormat(Pieces, Protocol):
    """Turns events into pieces of one file."""

    def resume(self, kept: str) -> None:
        """Go on behind ``kept``, which this format has written."""

    def render(self, event: StreamEvent) -> str:
        """The piece to append for ``event``; empty for none."""


class VttFormat:
    """WebVTT: one cue per spoken step."""

    header = "WEBVTT\n\n"
    end = "\n\n"
    last = re.compile(r"--> (\S+)")

    def resume(self, kept: str) -> None:
        """Cues have no numbers."""

    def render(self, event: StreamEvent) -> str:
        """The cue of a spoken step."""
        if not isinstance(event, StepEvent) or not (text := escape_vtt(event.text)):
            return ""
        return f"{_timing_line(event, '.')}\n{text}\n\n"


class SrtFormat:
    """SubRip: one cue per spoken step, numbered from 1."""

    header = ""
    end = "\n\n"
    last = re.compile(r"--> (\S+)")

    def __init__(self) -> None:
        self._num_cues = 0

    def resume(self, kept: str) -> None:
        """Count on from the last number."""
        self._num_cues = kept.count(" --> ")

    def render(self, event: StreamEvent) -> str:
        """The cue of a spoken step."""
        if not isinstance(event, StepEvent) or not (text := escape_srt(event.text)):
            return ""
        self._num_cues += 1
        return f"{self._num_cues}\n{_timing_line(event, ',')}\n{text}\n\n"


class JsonlFormat:
    """JSON Lines: every event, one a line."""

    header = ""
    end = "\n"
    last = re.compile(r'"type": ?"step".*?"end_seconds": ?([\d.]+)')

    def resume(self, kept: str) -> None:
        """Lines have no numbers."""

    def render(self, event: StreamEvent) -> str:
        """The line of any event."""
        return json_line(event) + "\n"


class TraceFormat:
    """JSON Lines: one a step."""

    header = ""
    end = "\n"
    last = re.compile(r'^{"step":(\d+)', re.MULTILINE)


FORMATS: Mapping[str, type[OutputFormat]] = {".vtt": VttFormat, ".srt": SrtFormat, ".jsonl": JsonlFormat}
