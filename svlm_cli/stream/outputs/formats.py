"""How a stream is written down: WebVTT, SubRip, TTML and JSON Lines, as pure functions of its events."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from numbers import Integral, Real
from typing import Protocol

from svlm_cli.cue_text import escape_srt, escape_vtt, timestamp
from svlm_cli.stream.outputs.cues import Caption, CueStyle, ReadingCues, SecondCues
from svlm_cli.text import as_json
from svlm_cli.types import AnswerEvent, EndEvent, StartEvent, StepEvent, StreamEvent, WarningEvent

JSON_DECIMALS = 6
STARTED = ("version", "source", "model", "device", "dtype", "at_seconds", "utc")
CLOCKS = frozenset({"pts_seconds", "clock", "start_utc", "end_utc"})  # told where the source has them


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
        footer: closes it, behind the last piece at any moment.
        end: the end of every piece and of the header; inside of none.
        last: how far a piece tells: seconds, a time, or a step.
    """

    header: str
    footer: str
    end: str
    last: re.Pattern[str]


def kept_bytes(content: bytes, pieces: Pieces) -> int:
    """Bytes of a file to go on behind: whole pieces, without the holes that a power cut leaves."""
    hole, end = content.find(b"\0"), pieces.end.encode()
    found = content.rfind(end, 0, len(content) if hole < 0 else hole)
    return 0 if found < 0 else found + len(end)


@dataclass(frozen=True, slots=True)
class Written:
    """What an event adds to a file.

    Args:
        pieces: the pieces that stay as they are.
        open: a piece behind them that the next event may replace by a longer one.
    """

    pieces: str = ""
    open: str = ""


class OutputFormat(Pieces, Protocol):
    """Turns events into pieces of one file."""

    @property
    def held(self) -> str:
        """All that a piece which is not fixed yet depends on, for a state; empty for nothing."""

    def resume(self, kept: str, held: str) -> Written:
        """Go on behind ``kept``, which a format of this suffix has written and which held this back."""

    def render(self, event: StreamEvent) -> Written:
        """What there is to be written."""

    def finish(self) -> Written:
        """Nothing comes any more: what is to be written in place of the open piece."""

    def restart(self) -> None:
        """What comes next comes into another file."""


@dataclass(frozen=True, slots=True)
class CueFile:
    """How one kind of file writes cues.

    Args:
        header, footer, last: as ``Pieces`` has them.
        cue: writes a cue with its number, from 1; each ends with a blank line.
    """

    header: str
    footer: str
    last: re.Pattern[str]
    cue: Callable[[int, Caption], str]


def _times(cue: Caption, mark: str) -> str:
    return f"{timestamp(cue.start_seconds, mark)} --> {timestamp(cue.end_seconds, mark)}"


def vtt_cue(_number: int, cue: Caption) -> str:
    """A cue of WebVTT."""
    return f"{_times(cue, '.')}\n{chr(10).join(map(escape_vtt, cue.lines))}\n\n"


def _srt_cue(number: int, cue: Caption) -> str:
    return f"{number}\n{_times(cue, ',')}\n{chr(10).join(map(escape_srt, cue.lines))}\n\n"


def _ttml_cue(_number: int, cue: Caption) -> str:
    text = "<br/>".join(escape(line, quote=False) for line in cue.lines)
    plain = text.replace("\ufffe", "").replace("\uffff", "")  # XML has no such letters
    begin, end = timestamp(cue.start_seconds), timestamp(cue.end_seconds)
    return f'<p begin="{begin}" end="{end}">{plain}</p>\n\n'


_MARKUP = re.compile(r"</?(?:p|br)\b[^>]*>")
_LAST_CUE = re.compile(r"--> (\S+)")
_TTML_HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" \
xmlns:tts="http://www.w3.org/ns/ttml#styling" ttp:timeBase="media" xml:lang="">
<head><styling>
<style xml:id="words" tts:color="white" tts:backgroundColor="black" tts:textAlign="center"/>
</styling><layout>
<region xml:id="bottom" tts:origin="10% 75%" tts:extent="80% 20%" tts:displayAlign="after"/>
</layout></head>
<body style="words" region="bottom"><div>

"""
VTT = CueFile("WEBVTT\n\n", "", _LAST_CUE, vtt_cue)
SRT = CueFile("", "", _LAST_CUE, _srt_cue)
TTML = CueFile(_TTML_HEADER, "</div></body></tt>\n", re.compile(r' end="(\S+)">'), _ttml_cue)


class CueFormat:
    """Words as cues of one kind of file.

    Args:
        file: the kind of file.
        style: when words become cues.
    """

    end = "\n\n"

    def __init__(self, file: CueFile, style: CueStyle = CueStyle.READING) -> None:
        self.header, self.footer, self.last = file.header, file.footer, file.last
        self._cue = file.cue
        self._cues: ReadingCues | SecondCues = SecondCues() if style is CueStyle.SECOND else ReadingCues()
        self._num_cues = 0

    @property
    def held(self) -> str:
        """The open cue, and what it hangs on."""
        return self._cues.held

    def resume(self, kept: str, held: str) -> Written:
        """Count on from the last number, with the cue that was open; cues of seconds close it."""
        told = self.last.findall(kept)
        self._num_cues = len(told)
        self._cues.go_on(_MARKUP.sub("\n", kept), seconds_of(told[-1]) if told else 0.0)
        if not held:
            return Written()
        if isinstance(self._cues, ReadingCues):
            self._cues.restore(held)
            return self._written([])
        before = ReadingCues()
        before.restore(held)
        return self._written(before.close())

    def render(self, event: StreamEvent) -> Written:
        """What a step fixes, and the cue that is open then."""
        if isinstance(event, EndEvent):
            return self.finish()
        return self._written(self._cues.add(event) if isinstance(event, StepEvent) else [])

    def finish(self) -> Written:
        """The open cue is fixed."""
        return self._written(self._cues.close())

    def restart(self) -> None:
        """Count from 1 again."""
        self._num_cues = 0

    def _written(self, fixed: list[Caption]) -> Written:
        pieces = ""
        for cue in fixed:
            self._num_cues += 1
            pieces += self._cue(self._num_cues, cue)
        opened = self._cues.open
        return Written(pieces, "" if opened is None else self._cue(self._num_cues + 1, opened))


class JsonlFormat:
    """JSON Lines: every event, one a line."""

    header = footer = held = ""
    end = "\n"
    last = re.compile(r'"type": ?"step".*?"end_seconds": ?([0-9.]+)')

    def resume(self, kept: str, held: str) -> Written:  # noqa: ARG002 - nothing hangs on what was there
        """Lines have no numbers, and nothing is held back."""
        return Written()

    def render(self, event: StreamEvent) -> Written:
        """The line of any event."""
        return Written(json_line(event) + "\n")

    def finish(self) -> Written:
        """Every line is written."""
        return Written()

    def restart(self) -> None:
        """Lines have no numbers."""


class TraceFormat:
    """JSON Lines: one a step."""

    header = footer = ""
    end = "\n"
    last = re.compile(r'^{"step":([0-9]+)', re.MULTILINE)


def seconds_of(time: str) -> float:
    """The seconds of a ``timestamp``, with either decimal mark."""
    hours, minutes, seconds = time.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def encoded(text: str) -> bytes:
    """UTF-8, whatever a text holds."""
    return text.encode("utf-8", "backslashreplace")


def resumed(output: OutputFormat, kept: str, held: str) -> Written:
    """Go on behind what is kept; where what was held back is another build's, behind that alone."""
    try:
        return output.resume(kept, held)
    except (ValueError, KeyError, TypeError):
        return output.resume(kept, "")


FORMATS: Mapping[str, Callable[[CueStyle], OutputFormat]] = {
    ".vtt": lambda style: CueFormat(VTT, style),
    ".srt": lambda style: CueFormat(SRT, style),
    ".jsonl": lambda _style: JsonlFormat(),
    ".ttml": lambda style: CueFormat(TTML, style),
}
