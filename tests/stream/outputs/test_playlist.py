"""Captions as an HLS playlist: on time, whole, on the source's clocks; also over kills."""

from __future__ import annotations

import html
import random
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import webvtt

from svlm_cli.stream.outputs.playlist import WINDOW_SEGMENTS
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import ClockKind, EndEvent, StartEvent, StepEvent
from svlm_cli.utc import utc_seconds, utc_text
from tests.stream.outputs.streams import END, said, write_over_kills
from tests.strict_srt import seconds

PTS, UTC = 95_000.0, 1_790_000_000.0  # the 33 bits wrap after 95443.7 s


@dataclass(frozen=True)
class Read:
    """A playlist as a player reads it: of each segment number, seconds, date and file."""

    header: list[str]
    segments: list[tuple[int, float, str, Path]]

    @classmethod
    def of(cls, path: Path) -> Read:
        lines = path.read_text().splitlines()
        assert lines[0] == "#EXTM3U"
        (first,) = [int(line.split(":")[1]) for line in lines if line.startswith("#EXT-X-MEDIA-SEQUENCE")]
        segments, length, date = [], 0.0, ""
        for line in lines:
            if line.startswith("#EXTINF:"):
                length = float(line.removeprefix("#EXTINF:").rstrip(","))
            elif line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
                date = line.partition(":")[2]
            elif not line.startswith("#"):
                segments.append((first + len(segments), length, date, path.parent / line))
                date = ""
        return cls([line for line in lines if line.startswith("#EXT-X-")], segments)

    def cues(self) -> list[tuple[float, float, str]]:
        """Every cue once, though it may stand in several segments."""
        found: dict[tuple[float, float, str], None] = {}
        for *_, path in self.segments:
            text = path.read_text()
            assert text.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:")
            assert text.endswith("\n\n")
            for cue in webvtt.from_string(text):
                words = html.unescape(cue.text).replace("\n", " ")
                found[seconds(cue.start), seconds(cue.end), words] = None
        return list(found)


def started(pace: str) -> StartEvent:
    return StartEvent("1", "a", "b", "cpu", "float32", {"step_seconds": 1.0, "pace": pace})


def clocked(events: list[StepEvent]) -> list[StepEvent]:
    from dataclasses import replace

    return [
        replace(
            event,
            pts_seconds=PTS + event.start_seconds,
            clock=ClockKind.PROGRAM_DATE_TIME,
            start_utc=utc_text(UTC + event.start_seconds),
        )
        for event in events
    ]


def check_segments(read: Read) -> None:
    """Numbers follow each other, and each segment says where its seconds are by both clocks of its source."""
    start = None
    for number, length, date, path in read.segments:
        assert path.stem == str(number)
        if not date:  # one that a kill has cut short before it had a date
            continue
        start = utc_seconds(date) - UTC
        assert start == pytest.approx(number * 2.0, abs=1.001 if number == read.segments[0][0] else 0.002)
        ticks, local = re.search(r"MPEGTS:(\d+),LOCAL:(\S+)", path.read_text()).groups()
        expected = round((PTS + seconds(local)) * 90_000) % (1 << 33)
        assert abs(int(ticks) - expected) <= 90
        for cue in webvtt.from_string(path.read_text()):
            assert seconds(cue.start) < start + length
            assert seconds(cue.end) > start - 2.0


@pytest.mark.parametrize("seed", range(8))
def test_a_playlist_of_all_holds_every_word_once(tmp_path: Path, seed: int) -> None:
    events = clocked(said(random.Random(seed), 60, 16))
    with Writers([tmp_path / "x.m3u8"]) as writers:
        for event in [started("max"), *events, END]:
            writers.write(event)
        assert writers.failed == ()
    assert (tmp_path / "x.m3u8").read_text().endswith("\n#EXT-X-ENDLIST\n")
    read = Read.of(tmp_path / "x.m3u8")
    check_segments(read)
    cues = read.cues()
    assert " ".join(text for *_, text in cues).split() == " ".join(event.text for event in events).split()
    assert all(one[1] <= two[0] + 1e-3 for one, two in pairwise(cues))
    assert all(date for _, _, date, _ in read.segments)
    lasts = events[-1].end_seconds - events[0].start_seconds
    assert sum(length for _, length, *_ in read.segments) == pytest.approx(lasts, abs=0.11)
    begins = {word: event.start_seconds for event in events for word in event.text.split()}
    # Nothing is early by more than a segment, late by more than what it takes to read what came before.
    assert all(-1.0 <= start - begins[word] <= 3.0 for start, _, text in cues for word in text.split())


def test_a_live_playlist_is_written_on_time_and_forgets(tmp_path: Path) -> None:
    events = clocked(said(random.Random(3), 400, 16))
    writers = Writers([tmp_path / "x.m3u8"])
    writers.write(started("realtime"))
    for event in events:
        writers.write(event)
        if event.end_seconds >= 4:
            number, length, *_ = Read.of(tmp_path / "x.m3u8").segments[-1]
            assert number * 2.0 + length > event.end_seconds - 2.0
    read = Read.of(tmp_path / "x.m3u8")
    check_segments(read)
    assert len(read.segments) == WINDOW_SEGMENTS
    assert not any("PLAYLIST-TYPE" in line or "ENDLIST" in line for line in read.header)
    assert len(list((tmp_path / "x").iterdir())) <= 2 * WINDOW_SEGMENTS + 2
    assert "#EXT-X-TARGETDURATION:2" in read.header


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("is_file", [True, False])
def test_killed_and_resumed_no_word_is_lost_or_doubled(tmp_path: Path, seed: int, is_file: bool) -> None:
    rng = random.Random(seed)
    events = clocked(said(rng, 40, 16))
    start = started("max" if is_file else "realtime")
    write_over_kills(
        rng,
        events,
        lambda: Writers([tmp_path / "x.m3u8"]),
        sorted(rng.sample(range(3, 40), 3)),
        is_file=is_file,
        begin=lambda writers: writers.write(start),
    )
    read = Read.of(tmp_path / "x.m3u8")
    check_segments(read)
    cues = read.cues()
    assert " ".join(text for *_, text in cues).split() == " ".join(event.text for event in events).split()
    if is_file:
        assert all(one[1] <= two[0] + 1e-3 for one, two in pairwise(cues))


def test_what_is_there_is_kept_and_a_long_gap_begins_anew(tmp_path: Path) -> None:
    first, late = clocked([StepEvent(n, 1000.0 * n, 1000.0 * n + 1, "word", 2, 7, 8, 5) for n in range(2)])
    for number in range(2):
        with Writers([tmp_path / "x.m3u8"]) as writers:
            told = [message for event in (started("realtime"), first) for message in writers.write(event)]
            assert len(told) == 2 * number
    assert (tmp_path / "x.m3u8.1").is_file()
    assert (tmp_path / "x.1" / "0.vtt").is_file()
    with Writers([tmp_path / "x.m3u8"], overwrite=True) as writers:
        for event in (started("realtime"), first, late):
            writers.write(event)
    assert [number for number, *_ in Read.of(tmp_path / "x.m3u8").segments] == [500]


def test_time_stamps_that_jump_are_a_discontinuity(tmp_path: Path) -> None:
    from dataclasses import replace

    events = clocked(said(random.Random(1), 20, 10))
    events = [*events[:10], *(replace(each, pts_seconds=each.pts_seconds + 500) for each in events[10:])]
    with Writers([tmp_path / "x.m3u8"]) as writers:
        for event in [started("max"), *events, EndEvent(*[0] * 9)]:
            writers.write(event)
    text = (tmp_path / "x.m3u8").read_text()
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    number = int(re.search(r"DISCONTINUITY\n(?:#.*\n)*x/(\d+)\.vtt", text)[1])
    assert number == pytest.approx(events[10].start_seconds / 2, abs=1)


@pytest.mark.parametrize("seed", range(12))
def test_time_stamps_that_began_anew_while_nothing_ran_are_a_discontinuity(tmp_path: Path, seed: int) -> None:
    """A broadcast that is joined again some segments off, behind a kill, is no jump; a new encoder is."""
    from dataclasses import replace

    rng = random.Random(seed)
    has_dates, jump = rng.random() < 0.6, rng.choice((0.0, 0.0, 500.0, -94_000.0))
    off = rng.choice((-4.0, -1.0, 2.0, 5.0))  # of the source to the stream's seconds, behind a kill
    events = clocked([replace(each, text="word") for each in said(rng, 30, 10)])
    kills = sorted(rng.sample(range(4, 26), 2))
    for kill, pts, utc in ((kills[0], off + jump, off), (kills[1], off, off)):
        for number in range(kill, len(events)):
            told = events[number]
            start = utc_text(utc_seconds(told.start_utc) + utc)
            events[number] = replace(told, pts_seconds=told.pts_seconds + pts, start_utc=start)
    if not has_dates:
        events = [replace(each, clock="", start_utc="") for each in events]
    write_over_kills(
        rng,
        events,
        lambda: Writers([tmp_path / "x.m3u8"]),
        kills,
        is_file=False,
        begin=lambda writers: writers.write(started("realtime")),
    )
    text = (tmp_path / "x.m3u8").read_text()
    assert text.count("#EXT-X-DISCONTINUITY\n") == (jump != 0)
    if jump:
        number = int(re.search(r"DISCONTINUITY\n(?:#.*\n)*x/(\d+)\.vtt", text)[1])
        assert number == pytest.approx(events[kills[0]].start_seconds / 2, abs=1)
