from __future__ import annotations

import html
import json
import os
import re
import resource
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.cue_text import clean_text, escape_srt, escape_vtt, timestamp
from svlm_cli.errors import OutputError, UsageError
from svlm_cli.stream.outputs.append import AppendFile
from svlm_cli.stream.outputs.cues import CueStyle
from svlm_cli.stream.outputs.formats import (
    SRT,
    VTT,
    CueFormat,
    JsonlFormat,
    event_to_json,
    json_line,
)
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import ClockKind, EndEvent, StartEvent, StepEvent, StepTimings, WarningEvent
from tests.strict_srt import parse_srt, seconds

START = StartEvent("1.2", "match.mp4", "tiny", "cpu", "float32", {"fps": 2.0, "policy": "streaming"})
END = EndEvent(2, 2.0, 1.0, 2.0, 0.5, 0.6, 0.7, 1000, 0)

HOSTILE = st.text(alphabet=st.sampled_from(list("ab <>&-/{}\\;\"'\n\r\t\x1b[]31mnul\x00\x07\x9b\u2028é💥 ")))


def step(index: int = 0, text: str = "words", start: float | None = None, length: float = 1.0) -> StepEvent:
    start = float(index) if start is None else start
    return StepEvent(index, start, start + length, text, 2, 7, 812, 598)


@given(st.floats(min_value=0, max_value=4e6))
def test_a_timestamp_reads_back_to_the_millisecond(value: float) -> None:
    assert seconds(timestamp(value)) == pytest.approx(value, abs=0.000501)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00:00:00.000"),
        (0.9996, "00:00:01.000"),
        (59.9999, "00:01:00.000"),
        (3599.9999, "01:00:00.000"),
        (360_000, "100:00:00.000"),
        (1e6 + 0.25, "277:46:40.250"),
    ],
)
def test_timestamps_carry_over_and_pass_99_hours(value: float, expected: str) -> None:
    assert timestamp(value) == expected
    assert timestamp(value, ",") == expected.replace(".", ",")


@given(HOSTILE)
def test_clean_text_is_one_inert_line(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned.isprintable()
    assert cleaned == clean_text(cleaned)
    assert cleaned == cleaned.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x9b2Jx", "x"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("two\r\nlines\u2028three", "two lines three"),
        ("\x00\x08bell\x07", "bell"),
        ("[bold]5 < 6[/bold]", "[bold]5 < 6[/bold]"),
    ],
)
def test_clean_text_strips_escapes_and_keeps_words(text: str, expected: str) -> None:
    assert clean_text(text) == expected


@given(HOSTILE)
def test_vtt_text_shows_exactly_the_words(text: str) -> None:
    escaped = escape_vtt(text)
    assert not re.search(r"[<>\n]|-->", escaped)
    assert html.unescape(escaped) == clean_text(text)


@given(HOSTILE)
def test_srt_text_has_no_markup_and_loses_no_words(text: str) -> None:
    escaped = escape_srt(text)
    assert not re.search(r"<[A-Za-z/]|\{\\|-->|\n", escaped)
    assert bool(escaped) == bool(clean_text(text))
    letters = re.compile(r"[^a-zé💥]")
    assert letters.sub("", escaped) == letters.sub("", clean_text(text))


@given(st.lists(st.tuples(HOSTILE, st.sampled_from([1.0, 0.5, 0.04, 2.5])), max_size=8))
def test_cues_are_the_spoken_steps(steps: list[tuple[str, float]]) -> None:
    events, now = [], 358_000.0
    for index, (text, length) in enumerate(steps):
        events.append(step(index, text, now, length))
        now += length
    spoken = [event for event in events if clean_text(event.text)]
    srt, vtt = CueFormat(SRT, CueStyle.SECOND), CueFormat(VTT, CueStyle.SECOND)
    cues = parse_srt("".join(srt.render(event).pieces for event in events))
    parsed = webvtt.from_string(vtt.header + "".join(vtt.render(event).pieces for event in events))
    assert [cue[:2] for cue in cues] == [
        (pytest.approx(event.start_seconds, abs=1e-3), pytest.approx(event.end_seconds, abs=1e-3))
        for event in spoken
    ]
    assert [html.unescape(cue.raw_text) for cue in parsed] == [clean_text(event.text) for event in spoken]
    assert [seconds(cue.start) for cue in parsed] == [cue[0] for cue in cues]


def test_a_cue_always_ends_after_it_starts() -> None:
    [cue] = parse_srt(CueFormat(SRT, CueStyle.SECOND).render(step(0, "x", 7.0, 0.0001)).pieces)
    assert cue[:2] == (7.0, 7.001)


def test_json_of_every_event() -> None:
    assert event_to_json(START) == {
        "type": "start",
        "version": "1.2",
        "source": "match.mp4",
        "model": "tiny",
        "device": "cpu",
        "dtype": "float32",
        "at_seconds": 0.0,
        "utc": START.utc,
        "fps": 2.0,
        "policy": "streaming",
    }
    timed = StepEvent(3, 3.0, 4.0, "hi", 2, 7, 8, 5, timings=StepTimings(total=0.12345678, read=1 / 3))
    assert list(event_to_json(timed)) == [
        "type",
        "index",
        "start_seconds",
        "end_seconds",
        "text",
        "num_frames",
        "num_new_tokens",
        "num_cached_tokens",
        "num_vision_tokens",
        "num_sink_tokens",
        "lag_seconds",
        "skipped_seconds",
        "timings",
        "utc",
    ]
    clocked = replace(timed, pts_seconds=1.4, clock=ClockKind.RTCP, start_utc="S", end_utc="E")
    assert list(event_to_json(clocked))[-5:] == ["pts_seconds", "clock", "start_utc", "end_utc", "utc"]
    assert clocked.utc == timed.utc
    assert replace(timed, utc="another moment") == timed
    assert event_to_json(timed)["timings"] == {
        "read": 0.333333,
        "vision": 0.0,
        "prefill": 0.0,
        "decode": 0.0,
        "cache": 0.0,
        "total": 0.123457,
    }
    assert event_to_json(WarningEvent("x", 1.5, "T")) == {
        "type": "warning",
        "message": "x",
        "at_seconds": 1.5,
        "utc": "T",
    }
    assert event_to_json(END)["type"] == "end"
    assert event_to_json(END)["peak_rss_bytes"] == 1000


@given(st.text(), st.floats())
def test_a_json_line_is_one_inert_line_that_reads_back(text: str, number: float) -> None:
    line = json_line(StartEvent(text, text, text, "cpu", "float32", {"title": text, "number": number}))
    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)
    read = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read["title"] == text
    assert read["number"] is None or read["number"] == pytest.approx(number, abs=1e-6)


def paths_in(folder: Path) -> list[Path]:
    return [folder / "x.vtt", folder / "x.srt", folder / "x.jsonl"]


def test_every_event_goes_to_every_file(tmp_path: Path) -> None:
    with Writers(paths_in(tmp_path)) as writers:
        for event in [START, step(0), step(1, ""), WarningEvent("late"), step(2, "<b>"), END]:
            assert writers.write(event) == []
    assert [cue.start for cue in webvtt.read(str(tmp_path / "x.vtt"))] == ["00:00:00.000", "00:00:02.000"]
    assert len(parse_srt((tmp_path / "x.srt").read_text())) == 2
    kinds = [json.loads(line)["type"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert kinds == ["start", "step", "step", "warning", "step", "end"]
    assert writers.failed == ()


def test_files_hold_everything_before_they_are_closed(tmp_path: Path) -> None:
    writers = Writers(paths_in(tmp_path))
    writers.write(START)
    writers.write(step(0))
    assert len(webvtt.read(str(tmp_path / "x.vtt"))) == 1
    assert len(parse_srt((tmp_path / "x.srt").read_text())) == 1
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 2
    writers.close()


def test_an_existing_file_survives_until_the_first_step(tmp_path: Path) -> None:
    path = tmp_path / "x.vtt"
    path.write_text("precious")
    path.chmod(0o640)
    with Writers([path]) as writers:
        writers.write(START)
        assert path.read_text() == "precious"
        writers.write(step(0))
    assert path.read_text().startswith("WEBVTT\n\n00:00")
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["x.vtt", "x.vtt.1"]
    assert (tmp_path / "x.vtt.1").read_text() == "precious"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.vtt").write_text("old")
    (tmp_path / "x.vtt").symlink_to("real.vtt")
    with Writers([tmp_path / "x.vtt"]) as writers:
        writers.write(step(0))
    assert (tmp_path / "x.vtt").is_symlink()
    assert (tmp_path / "real.vtt").read_text().startswith("WEBVTT")


def test_wrong_outputs_are_refused_before_anything_is_touched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.vtt, \.srt, \.jsonl"):
        Writers([tmp_path / "x.txt"])
    with pytest.raises(UsageError, match="same file"):
        Writers([tmp_path / "x.vtt", tmp_path / "." / "x.vtt"])
    with pytest.raises(UsageError, match="same file"):
        Writers([tmp_path / "x.jsonl"], trace_path=tmp_path / "x.jsonl")
    with pytest.raises(UsageError, match="the source"):
        Writers(trace_path=tmp_path / "match.mp4", source=str(tmp_path / "match.mp4"))
    with pytest.raises(OutputError, match="no folder"):
        Writers([tmp_path / "nowhere" / "x.vtt"])
    (tmp_path / "folder.vtt").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        Writers([tmp_path / "folder.vtt"])
    assert os.listdir(tmp_path) == ["folder.vtt"]


def test_suffixes_in_any_case(tmp_path: Path) -> None:
    with Writers([tmp_path / "X.VTT"]) as writers:
        writers.write(step(0))
    assert (tmp_path / "X.VTT").read_text().startswith("WEBVTT")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_the_others_go_on_when_one_output_fails(tmp_path: Path) -> None:
    (tmp_path / "full.srt").symlink_to("/dev/full")
    with Writers([tmp_path / "full.srt", tmp_path / "x.jsonl"], cues=CueStyle.SECOND) as writers:
        writers.write(START)
        [warning] = writers.write(step(0))
        assert writers.write(step(1)) == []
        assert writers.write(END) == []
    assert "full.srt" in warning.message
    assert writers.failed == (f"{tmp_path / 'full.srt'} (No space left on device)",)
    kinds = [json.loads(line)["type"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert kinds == ["start", "step", "warning", "step", "end"]


def test_a_piece_that_does_not_fit_is_taken_back_whole(tmp_path: Path) -> None:
    file = AppendFile(tmp_path / "x.vtt")
    file.prepare(b"WEBVTT\n\n")
    file.place(keep=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.append(b"0123456789" * 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "x.vtt").read_bytes() == b"WEBVTT\n\n"
    file.close()
    file.close()


@dataclass(frozen=True, slots=True)
class Record:
    step: int
    context_ids: list[int]


def test_the_trace_is_json_lines(tmp_path: Path) -> None:
    with Writers(trace_path=tmp_path / "trace") as writers:
        writers.trace(Record(0, [1, 2]))
        writers.trace(Record(1, [3]))
    lines = (tmp_path / "trace").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 0, "context_ids": [1, 2]},
        {"step": 1, "context_ids": [3]},
    ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_failing_trace_is_reported_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "trace").symlink_to("/dev/full")
    with Writers(trace_path=tmp_path / "trace") as writers:
        writers.write(START)
        writers.trace(Record(0, [1]))
        [warning] = writers.write(step(0))
        writers.trace(Record(1, [1]))
        assert writers.write(step(1)) == []
    assert "trace" in warning.message
    assert len(writers.failed) == 1


def test_jsonl_format_is_the_json_line() -> None:
    event = step(0)
    assert JsonlFormat().render(event).pieces == json_line(event) + "\n"
