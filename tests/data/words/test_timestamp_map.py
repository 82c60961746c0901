"""Segmented WebVTT, whose header says where its times lie on the clock of the broadcast."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random

import av
import pytest

from svlm_cli.cue_text import timestamp
from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.elsewhere import on_pictures, said_in
from svlm_cli.data.words.heard import sound_notes
from tests.media.programs import Part, joined, write_part

WRAP_TICKS = 2**33
SECONDS = 6.0
AT = (1.0, 3.5)  # when two words are said, after the first picture


def segment(local: float, stamp: float, times: list[float], dice: Random) -> str:
    """Cues at times of the clock of a broadcast, by a header that says where ``local`` lies on it."""
    pair = [f"LOCAL:{timestamp(local)}", f"MPEGTS:{round(stamp * 90_000) % WRAP_TICKS}"]
    dice.shuffle(pair)
    cues = "".join(
        f"{timestamp(at - stamp + local)} --> {timestamp(at - stamp + local + 0.5)}\nword{number}\n\n"
        for number, at in enumerate(times)
    )
    return f"WEBVTT\nX-TIMESTAMP-MAP={','.join(pair)}\n\n{cues}"


def seconds_of(source: Path, media: Path) -> list[float]:
    said, sound = said_in(source, media, "en")
    assert not sound
    return [words[0].start_seconds for words in said]


def test_words_are_on_the_clock_of_the_pictures(tmp_path: Path) -> None:
    for seed in range(16):
        dice = Random(f"map {seed}")
        clock = dice.choice((10.0, dice.uniform(100, 90_000), WRAP_TICKS / 90_000 - 3.0))
        late = dice.choice((0.0, 1.0))
        part = Part(0, clock, (late, SECONDS), (0.0, SECONDS))
        media = write_part(tmp_path / f"{seed}.ts", part)
        if dice.random() < 0.3:  # the first stretch decides
            folder = tmp_path / f"j{seed}"
            folder.mkdir()
            media = joined([part, Part(40, clock + 500, (0.0, 2.0), (0.0, 2.0))], folder)
        stamp = clock + dice.uniform(-5, 1)
        source = tmp_path / f"{seed}.vtt"
        local = dice.choice((10.0, 30.0, 3610.0))
        source.write_text(segment(local, stamp, [clock + late + at for at in AT], dice))
        assert seconds_of(source, media) == pytest.approx(AT, abs=0.15), (seed, clock, late)


def test_segments_behind_each_other_have_each_their_clock(tmp_path: Path) -> None:
    dice = Random("segments")
    media = write_part(tmp_path / "a.ts", Part(0, 500.0, (0.0, SECONDS), (0.0, SECONDS)))
    source = tmp_path / "a.vtt"
    parts = [segment(0.0, 500.0 + at - 0.5, [500.0 + at], dice) for at in AT]
    source.write_text("".join(parts))
    assert seconds_of(source, media) == pytest.approx(AT, abs=0.15)


def test_fragments_that_kept_the_clock_of_their_broadcast(tmp_path: Path) -> None:
    media = tmp_path / "a.mp4"
    write_part(tmp_path / "a.ts", Part(0, 300.0, (0.0, SECONDS), (0.0, SECONDS)))
    options = {
        "movflags": "frag_keyframe+empty_moov+frag_discont",
        "use_editlist": "0",
        "avoid_negative_ts": "disabled",
    }
    with av.open(str(tmp_path / "a.ts")) as given, av.open(str(media), "w", options=options) as made:
        streams = {each.index: made.add_stream_from_template(each) for each in given.streams.video}
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                made.mux(packet)
    source = tmp_path / "a.vtt"
    source.write_text(segment(0.0, 299.0, [300.0 + at for at in AT], Random(0)))
    assert seconds_of(source, media) == pytest.approx(AT, abs=0.25)


def test_what_cannot_be_used_is_told_once_and_times_are_as_they_stand(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = write_part(tmp_path / "own.mp4", Part(0, 0.0, (0.0, SECONDS), None))
    other = write_part(tmp_path / "other.ts", Part(0, 500.0, (0.0, SECONDS), None))
    for media in (own, other):
        source = tmp_path / "a.vtt"
        source.write_text(segment(0.0, 10.0, [10.0 + at for at in AT], Random(0)))
        said, sound = said_in(source, media, "en")
        assert [words[0].start_seconds for words in said] == pytest.approx(AT, abs=0.1)
        (note,) = sound_notes(sound, 2)
        assert "+10.000 s off" in note
        assert "X-TIMESTAMP-MAP" in note
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            on_pictures(read_utterances(source), source, media)
        assert caplog.messages == [note]


def test_a_header_that_says_nothing_costs_nothing(tmp_path: Path) -> None:
    media = write_part(tmp_path / "own.mp4", Part(0, 0.0, (0.0, SECONDS), None))
    for told in ("LOCAL:00:00:00.000,MPEGTS:0", "LOCAL:never,MPEGTS:x", "", "MPEGTS:900000"):
        source = tmp_path / "a.vtt"
        source.write_text(f"WEBVTT\nX-TIMESTAMP-MAP={told}\n\n00:01.000 --> 00:02.000\nword\n")
        assert seconds_of(source, media) == pytest.approx([1.0], abs=0.1)
