"""Captions as XML: TTML (DFXP, IMSC, EBU-TT) and the forms of YouTube, srv1, srv2 and srv3."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from svlm_cli import values
from svlm_cli.cue_text import plain_text
from svlm_cli.data.words.cues import Cue, TimedText, cue_of
from svlm_cli.documents import MOST_DEPTH, MalformedError

_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]+):([0-9]+)(?:[.,]([0-9]+)|[:;]([0-9]+)(?:\.([0-9]+))?)?")
_OFFSET = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|m|s|ms|f|t)?")
_DEFAULT_FRAME_RATE = 30.0
_NTSC = 30.0
_PIECE_BYTES = 1 << 16
_NOT_SHOWN = frozenset({"metadata", "set", "title", "desc", "copyright", "agent", "image", "audio"})


def read_xml(content: bytes) -> list[Cue]:
    """The cues of TTML, srv1, srv2 or srv3, told apart by what they hold.

    Raises:
        MalformedError: it is no XML, nested deeper than ``MOST_DEPTH``, none of them, or says a time that
            is none.
    """
    root = _tree(content)
    kind = _name(root)
    if kind == "tt":
        return _ttml(root)
    if kind == "timedtext" and root.find("body") is not None:
        return youtube_cues(_srv3(root))
    if kind in ("transcript", "timedtext"):
        return _srv1(root)
    raise MalformedError(f"it is XML, but neither TTML nor captions of YouTube: <{values.short(kind)}>")


class _ShallowBuilder(ElementTree.TreeBuilder):
    """Builds a tree of no more than ``MOST_DEPTH`` levels."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        """Open an element.

        Raises:
            MalformedError: it is nested too deeply.
        """
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise MalformedError("it is nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        """Close it."""
        self._depth -= 1
        return super().end(tag)


def _tree(content: bytes) -> ElementTree.Element:
    """The root of a document, which is given up where it goes too deep rather than at its end."""
    parser = ElementTree.XMLParser(target=_ShallowBuilder())  # noqa: S314 - expat bounds what entities grow to
    try:
        for first in range(0, len(content), _PIECE_BYTES):
            parser.feed(content[first : first + _PIECE_BYTES])
        root: ElementTree.Element = parser.close()
    except ElementTree.ParseError as error:
        raise MalformedError(f"it is not XML: {error}") from error
    return root


@dataclass(frozen=True, slots=True)
class YoutubeEvent:
    """A caption of YouTube (srv3, json3), in milliseconds as it stands there.

    Args:
        start, duration: its start and duration.
        pieces: texts with their times from its start on; None where nobody tells.
    """

    start: Any
    duration: Any
    pieces: list[tuple[str, Any]]


def youtube_cues(events: Iterator[YoutubeEvent]) -> list[Cue]:
    """Cues of captions of YouTube; those that hold a line break alone only move the others up."""
    cues = []
    for number, event in enumerate(events):
        where = f"caption {number}"
        if not "".join(text for text, _ in event.pieces).strip():
            continue
        start, duration = (_milliseconds(each, where) for each in (event.start, event.duration or 0))
        is_timed = any(offset is not None for _, offset in event.pieces)
        rows: list[list[TimedText]] = [[]]
        for place, (text, offset) in enumerate(event.pieces):
            is_told = is_timed and (offset is not None or place == 0)
            said = start + _milliseconds(offset or 0, where) if is_told else None
            first, *others = text.split("\n")
            rows[-1].append(TimedText(first, said))
            rows += [[TimedText(each)] for each in others]
        cues.append(cue_of(start, start + duration, rows, where))
    return cues


def _milliseconds(value: Any, where: str) -> float:
    try:
        return values.seconds(float(value) / 1000, where)
    except (TypeError, ValueError) as error:
        raise MalformedError(f"{where}: {values.short(value)} is no time in milliseconds") from error


def _srv3(root: ElementTree.Element) -> Iterator[YoutubeEvent]:
    for each in root.iterfind("body/p"):
        pieces = list(_srv3_pieces(each, None))
        while pieces and not pieces[0][0].strip():
            pieces.pop(0)
        yield YoutubeEvent(each.get("t"), each.get("d"), pieces)


def _srv3_pieces(element: ElementTree.Element, offset: str | None) -> Iterator[tuple[str, str | None]]:
    """The texts of an element, the first of each with its time; a line break is one."""
    if element.text:
        yield element.text, offset
    for child in element:
        if _name(child) == "br":
            yield "\n", None
        else:
            yield from _srv3_pieces(child, child.get("t", offset))
        if child.tail:  # a file may be laid out for people
            yield child.tail if child.tail.strip() else " ", None


def _srv1(root: ElementTree.Element) -> list[Cue]:
    """``<text start dur>`` in seconds (srv1), ``<text t d>`` in milliseconds (srv2), marks escaped twice."""
    cues = []
    for number, each in enumerate(root.iter("text")):
        where = f"caption {number}"
        text = plain_text("".join(piece for piece, _ in _srv3_pieces(each, None)))
        if not text.strip():
            continue
        if each.get("t") is not None:
            start, duration = _milliseconds(each.get("t"), where), _milliseconds(each.get("d") or 0, where)
        else:
            start, duration = (_plain_seconds(each.get(name, "0"), where) for name in ("start", "dur"))
        rows = [[TimedText(line)] for line in text.split("\n")]
        cues.append(cue_of(start, start + duration, rows, where))
    return cues


def _plain_seconds(text: str, where: str) -> float:
    try:
        return values.seconds(float(text), where)
    except ValueError as error:
        raise MalformedError(f"{where}: {values.short(text)} is no time in seconds") from error


@dataclass(frozen=True, slots=True)
class _TtmlClock:
    """How a TTML document counts time.

    Args:
        frame_rate: frames a second.
        nominal_rate: frames that it counts in a second.
        tick_rate: ticks a second.
        is_smpte: hours, minutes and seconds are those of a time code, counted in frames.
        drops: the time code leaves out two frames of each minute but each tenth.
        begin_seconds: the beginning of the program, in time code.
    """

    frame_rate: float
    nominal_rate: float
    tick_rate: float
    is_smpte: bool = False
    drops: bool = False
    begin_seconds: float = 0.0

    @classmethod
    def of(cls, root: ElementTree.Element) -> _TtmlClock:
        """The clock that the parameters of a document tell."""
        told = _attributes(root)
        over, under = [*re.split(r"[ :/]+", told.get("frameRateMultiplier", "1 1").strip()), "1"][:2]
        try:
            nominal = float(told.get("frameRate", _DEFAULT_FRAME_RATE))
            rate = nominal * float(over) / float(under)
            default = rate * float(told.get("subFrameRate", 1)) if "frameRate" in told else 1.0
            ticks = float(told.get("tickRate", default))
        except (ValueError, ZeroDivisionError) as error:
            raise MalformedError("the rates of its frames and ticks are not laid out as numbers") from error
        if not (0 < rate < 1e6 and 0 < ticks < 1e12):
            raise MalformedError(f"it counts {rate:g} frames and {ticks:g} ticks a second")
        is_smpte = told.get("timeBase") == "smpte"
        drops = is_smpte and told.get("dropMode") == "dropNTSC" and nominal == _NTSC
        clock = cls(rate, nominal, ticks, is_smpte, drops)
        begin = next((each.text for each in root.iter() if _name(each) == "documentStartOfProgramme"), None)
        if not is_smpte or not begin:
            return clock
        return cls(rate, nominal, ticks, is_smpte, drops, clock.seconds(begin.strip()))

    def seconds(self, text: str) -> float:
        """Seconds of a time expression.

        Raises:
            MalformedError: it is none.
        """
        clock = _CLOCK.fullmatch(text)
        if clock is not None:
            return self._clock_time(*clock.groups())
        offset = _OFFSET.fullmatch(text)
        if offset is None:
            raise MalformedError(f"{values.short(text)} is no time of TTML")
        rates = {"h": 3600, "m": 60, "ms": 0.001, "f": 1 / self.frame_rate, "t": 1 / self.tick_rate}
        return float(offset[1]) * rates.get(offset[2], 1.0)

    def _clock_time(self, *parts: str | None) -> float:
        hours, minutes, seconds, fraction, frames, part = parts
        whole = float(hours or 0) * 3600 + float(minutes or 0) * 60 + float(seconds or 0)
        count = float(f"{frames or 0}.{part or 0}")
        if not self.is_smpte:
            return whole + float(f"0.{fraction or 0}") + count / self.frame_rate
        count += (whole + float(f"0.{fraction or 0}")) * self.nominal_rate
        if self.drops:
            passed = whole // 60
            count -= 2 * (passed - passed // 10)
        return count / self.frame_rate - self.begin_seconds


@dataclass(frozen=True, slots=True)
class _TtmlTimes:
    """When an element is shown: from one second to another, None where its parents do not say."""

    start: float
    end: float | None


def _ttml(root: ElementTree.Element) -> list[Cue]:
    clock = _TtmlClock.of(root)
    body = next((each for each in root if _name(each) == "body"), None)
    cues: list[Cue] = []
    if body is not None:
        _walk(body, _span(body, _TtmlTimes(0.0, None), 0.0, clock), clock, cues)
    return cues


def _span(element: ElementTree.Element, parent: _TtmlTimes, origin: float, clock: _TtmlClock) -> _TtmlTimes:
    """When an element is shown, its times counted from ``origin``."""
    told = {name: value.strip() for name, value in _attributes(element).items()}
    start = origin + (clock.seconds(told["begin"]) if "begin" in told else 0.0)
    ends = [] if parent.end is None else [parent.end]
    ends += [origin + clock.seconds(told["end"])] if "end" in told else []
    ends += [start + clock.seconds(told["dur"])] if "dur" in told else []
    return _TtmlTimes(start, max(start, min(ends)) if ends else None)


def _children(
    element: ElementTree.Element, span: _TtmlTimes, clock: _TtmlClock
) -> Iterator[tuple[ElementTree.Element, _TtmlTimes]]:
    """The elements within one, each with its time: side by side, or one after another (``seq``)."""
    is_seq = _attributes(element).get("timeContainer") == "seq"
    origin = span.start
    for child in element:
        inner = _span(child, span, origin, clock)
        yield child, inner
        if is_seq and _name(child) in ("div", "p", "span"):
            origin = inner.start if inner.end is None else inner.end


def _walk(element: ElementTree.Element, span: _TtmlTimes, clock: _TtmlClock, cues: list[Cue]) -> None:
    for child, inner in _children(element, span, clock):
        if _name(child) == "div":
            _walk(child, inner, clock, cues)
        elif _name(child) == "p":
            cue = _paragraph(child, inner, clock, f"paragraph {len(cues)}")
            cues += [cue] if cue.rows else []


def _paragraph(element: ElementTree.Element, span: _TtmlTimes, clock: _TtmlClock, where: str) -> Cue:
    rows: list[list[TimedText]] = [[]]
    for text, said in _texts(element, span, clock, None):
        if text is None:
            rows.append([])
        else:
            rows[-1].append(TimedText(text, *((said.start, said.end) if said else (None, None))))
    start, end = span.start, span.end
    starts = [text.start_seconds for row in rows for text in row if text.start_seconds is not None]
    if starts and not _is_timed(element):
        start = max(start, min(starts))
        ends = [text.end_seconds for row in rows for text in row if text.end_seconds is not None]
        end = max(ends, default=end) if end is None else end
    return cue_of(start, end, rows, where)


def _texts(
    element: ElementTree.Element, span: _TtmlTimes, clock: _TtmlClock, said: _TtmlTimes | None
) -> Iterator[tuple[str | None, _TtmlTimes | None]]:
    """The text of a paragraph, None for a line break, with the times of the innermost span that has any."""
    if element.text:
        yield element.text, said
    for child, inner in _children(element, span, clock):
        if _name(child) == "br":
            yield None, None
        elif _name(child) not in _NOT_SHOWN:
            yield from _texts(child, inner, clock, inner if _is_timed(child) else said)
        if child.tail:
            yield child.tail, said


def _is_timed(element: ElementTree.Element) -> bool:
    return bool({"begin", "end", "dur"} & _attributes(element).keys())


def _attributes(element: ElementTree.Element) -> Mapping[str, str]:
    return {_local(name): value for name, value in element.attrib.items()}


def _name(element: ElementTree.Element) -> str:
    return _local(element.tag) if isinstance(element.tag, str) else ""


def _local(name: str) -> str:
    return name.rpartition("}")[2]
