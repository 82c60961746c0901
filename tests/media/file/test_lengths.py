"""How long a video lasts: by its packets, and not by what a header claims of them."""

from __future__ import annotations

import math
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from svlm_cli.bench.questions.asking import Question, Showing, Way, question_times
from svlm_cli.media.file import pyav_reader
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.probe import open_container
from svlm_cli.media.survey import survey
from svlm_cli.settings import StreamSettings
from tests.media.numbered import needs_ffmpeg, number_of, write_video
from tests.media.programs import FPS, Part, joined, num_pictures, random_program

RATE = 20
# What a fragmented file's header knows is its first fragment.
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
PLAIN = {
    "a.mp4": {},
    "b.mov": {"movflags": "faststart"},
    "c.mkv": {},
    "d.mkv": {"cues_to_front": "1", "reserve_index_space": "2000"},
    "e.avi": {},
    "f.flv": {},
    "g.ts": {},
    "h.mpg": {},
    "i.wmv": {},
    "j.webm": {},
    "k.mp4": FRAGMENTED,
    "l.mkv": {"live": "1"},
    "m.nut": {},
}
CODECS = {".wmv": "msmpeg4", ".mpg": "mpeg2video", ".webm": "libvpx"}


def made(path: Path, num: int, options: dict[str, str]) -> Path:
    codec = CODECS.get(path.suffix, "libx264")
    rate = 25 if codec == "mpeg2video" else RATE
    own = {"bf": "2", "preset": "ultrafast"} if codec == "libx264" else {}
    return write_video(
        path,
        range(num),
        Fraction(1, rate),
        codec=codec,
        rate=rate,
        options={"g": "10", **own},
        format_options=options,
    )


def seen(path: Path) -> float:
    """Where the last picture ends, read to the end."""
    pictures = pyav_reader.PyavPictures(str(path))
    (*_, last) = pictures.pictures(0.0)
    pictures.close()
    return last.end_seconds


@pytest.mark.parametrize("name", PLAIN)
def test_of_any_container(tmp_path: Path, name: str) -> None:
    num = Random(name).randrange(30, 120)
    path = made(tmp_path / name, num, PLAIN[name])
    with open_video(path) as reader:
        assert reader.length_seconds == pytest.approx(seen(path), abs=0.06)
        first = number_of(reader.frames_at([0.0])[0])
        assert reader.length_seconds is not None
        assert (first, number_of(reader.frames_at([reader.length_seconds])[0])) == (0, num - 1)


@pytest.mark.parametrize("name", ["a.mp4", "c.mkv", "e.avi"])
def test_of_a_plain_file_no_packet_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / name, 100, {})
    monkeypatch.setattr("svlm_cli.media.survey.survey", lambda _: pytest.fail("its packets were read"))
    with open_video(path) as reader:
        assert reader.length_seconds == pytest.approx(5.0, abs=0.06)


@pytest.mark.parametrize("name", ["b.mov", "d.mkv", "f.flv", "e.avi", "k.mp4"])
def test_of_a_file_that_is_cut(tmp_path: Path, name: str) -> None:
    path = made(tmp_path / name, 100, PLAIN[name])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * Random(name).uniform(0.5, 0.8))])
    with open_video(path) as reader:
        assert reader.length_seconds is not None
        assert reader.length_seconds == pytest.approx(seen(path), abs=0.3)
        assert reader.length_seconds < 4.5


def test_of_fragments_kept_from_the_middle_of_a_broadcast(tmp_path: Path) -> None:
    """Their header states where the track ends on its clock, and not how long it lasts."""
    for seed in range(4):
        dice = Random(f"fragments {seed}")
        num, begin = dice.randrange(60, 200), dice.randrange(20, 40_000)
        path = write_video(
            tmp_path / f"{seed}.mp4",
            range(begin * RATE, begin * RATE + num),
            Fraction(1, RATE),
            rate=RATE,
            options={"g": "20", "bf": str(dice.choice([0, 2])), "preset": "ultrafast"},
            format_options={"movflags": "cmaf+frag_keyframe+frag_discont"},
        )
        found = survey(str(path))
        assert found.picture_seconds == pytest.approx(begin, abs=0.2)
        assert not found.is_cut_off
        with open_video(path) as reader:
            assert reader.length_seconds == pytest.approx(num / RATE, abs=0.06)
            assert number_of(reader.frames_at([num / RATE])[0]) == num - 1
            assert not reader.problems


def test_of_a_header_that_claims_something_else(tmp_path: Path) -> None:
    for seed in range(6):
        dice = Random(f"claim {seed}")
        path = made(tmp_path / f"{seed}.mkv", 100, {})
        content = bytearray(path.read_bytes())
        tag = content.index(b"DURATION")
        at = content.index(b"00:00:", tag)
        content[at : at + 11] = b"00:%02d:%05.2f" % (dice.randrange(10), dice.choice((1.5, 2.0, 30.0, 59.0)))
        path.write_bytes(content)
        with open_video(path) as reader:
            assert reader.length_seconds == pytest.approx(5.0, abs=1.1)


def test_of_an_edit_list_that_hides_the_end(tmp_path: Path) -> None:
    for seed in range(4):
        path = made(tmp_path / f"{seed}.mp4", 100, {})
        content = bytearray(path.read_bytes())
        at = content.index(b"elst") + 12
        shown = Random(f"edit {seed}").randrange(1500, 4500)
        content[at : at + 4] = shown.to_bytes(4, "big")  # thousandths, the movie's own
        path.write_bytes(content)
        with open_video(path) as reader:
            assert reader.length_seconds == pytest.approx(seen(path), abs=0.06)
            assert reader.length_seconds == pytest.approx(shown / 1000, abs=0.16)


def test_of_an_edit_list_that_begins_within_a_slide(tmp_path: Path) -> None:
    """As ``ffmpeg -ss 33 -c copy`` cuts; the slide on screen there is hidden, and nothing is missing."""
    for seed in range(4):
        dice = Random(f"begin {seed}")
        options = {"bf": str(seed), "b_strategy": "0", "preset": "ultrafast", "g": "4"}
        path = write_video(
            tmp_path / f"{seed}.mp4",
            range(0, 120, 10),
            Fraction(1),
            options=options,
            format_options={"movflags": "faststart"},
        )
        content = bytearray(path.read_bytes())
        at = content.index(b"elst") + 12
        hidden = dice.randrange(1, 7) * 10 + dice.randrange(1, 9)
        with closing(open_container(str(path))) as video:
            ticks = round(hidden / video.tick)
            last = video.stream.index_entries[len(video.stream.index_entries) - 1].pos
        for place, by in ((at, -1000 * hidden), (at + 4, ticks)):
            content[place : place + 4] = (int.from_bytes(content[place : place + 4], "big") + by).to_bytes(
                4, "big"
            )
        path.write_bytes(content)
        pictures = pyav_reader.PyavPictures(str(path))
        assert [number_of(each.rgb()) for each in pictures.pictures(0.0)] == [*range(hidden // 10 + 1, 12)]
        assert pictures.problems == []
        pictures.close()
        if seed == 0:
            path.write_bytes(content[:last])
            pictures = pyav_reader.PyavPictures(str(path))
            assert len([*pictures.pictures(0.0)]) == 10 - hidden // 10
            assert any("ends early" in each for each in pictures.problems)
            pictures.close()


def test_of_a_pause_before_the_last_pictures(tmp_path: Path) -> None:
    """The last one shown is decoded before others, and MP4 says how long each is decoded."""
    for seed in range(24):
        dice = Random(f"pause {seed}")
        num, tail, pause = dice.randrange(40, 70), dice.randrange(1, 6), dice.randrange(20, 235)
        ticks = [number + pause * (number >= num - tail) for number in range(num)]
        options = {"bf": str(dice.randrange(1, 5)), "b_strategy": "0", "preset": "ultrafast"}
        options |= {"g": dice.choice(("10", "250")), "x264-params": "b-pyramid=none:scenecut=0"}
        path = tmp_path / f"{seed}{dice.choice(('.mp4', '.mov'))}"
        write_video(path, ticks, Fraction(1, 25), options=options)
        with open_video(path) as reader:
            length = reader.length_seconds
        assert (seen(path), length) == pytest.approx(((ticks[-1] + 1) / 25,) * 2, abs=0.06), (ticks, options)


def test_of_a_track_that_is_stated_to_end_where_its_last_slide_begins(tmp_path: Path) -> None:
    """As copies of transport streams have it, of whose pictures the decoding times were moved."""
    for seed in range(4):
        options = {"bf": str(seed), "b_strategy": "0", "preset": "ultrafast"}
        path = write_video(
            tmp_path / f"{seed}.mp4", range(0, 60, 5), Fraction(1), options=options, rate=Fraction(1, 5)
        )
        with closing(open_container(str(path))) as video:
            ticks = round(5 / video.tick)
        content = bytearray(path.read_bytes())
        at = content.index(b"mdhd") + 20
        stated = int.from_bytes(content[at : at + 4], "big") - ticks
        content[at : at + 4] = stated.to_bytes(4, "big")
        path.write_bytes(content)
        with open_video(path) as reader:
            length = reader.length_seconds
        assert length == pytest.approx(seen(path), abs=0.06), (seed, length)


@pytest.mark.parametrize("name", ["a.mp4", "b.mov", "c.mkv"])
def test_of_one_slide_or_two(tmp_path: Path, name: str) -> None:
    """There is no usual length of a picture, by which to doubt what is stated."""
    for number in (1, 2):
        every = Random(f"{name} {number}").randrange(11, 60)
        path = write_video(
            tmp_path / name, range(0, number * every, every), Fraction(1), rate=Fraction(1, every)
        )
        with open_video(path) as reader:
            length = reader.length_seconds
        assert length == pytest.approx(number * every, abs=0.06)
        assert seen(path) == pytest.approx(number * every, abs=0.06)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_of_a_last_picture_that_stays(tmp_path: Path, suffix: str) -> None:
    """As a presentation or a screen recording ends; what its packets and its header say alike is believed."""
    for seed in range(4):
        dice = Random(f"{suffix} {seed}")
        starts = [0]
        for _ in range(dice.randrange(2, 30)):
            starts.append(starts[-1] + dice.choice((40, dice.randrange(500, 8000))))
        stays = dice.randrange(2 * max(b - a for a, b in pairwise(starts)) + 10_000, 90_000)
        path = write_video(
            tmp_path / f"{seed}{suffix}",
            starts,
            Fraction(1, 1000),
            options={"bf": "0", "preset": "ultrafast"},
            last_ticks=stays,
        )
        with open_video(path) as reader:
            length = reader.length_seconds
        assert (seen(path), length) == pytest.approx(((starts[-1] + stays) / 1000,) * 2, abs=0.06)
        assert not survey(str(path)).is_cut_off


def test_of_a_file_at_an_address(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", range(40), Fraction(1, 20), rate=20, options={"g": "10"})
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    with closing(open_container(str(path))) as video:
        begin = round(Fraction(3, 4) / video.tick)
    hidden = int.from_bytes(content[at + 4 : at + 8], "big") + begin
    content[at : at + 8] = (1250).to_bytes(4, "big") + hidden.to_bytes(4, "big")
    path.write_bytes(content)
    with open_video(path.as_uri()) as reader:
        assert reader.length_seconds == pytest.approx(1.25, abs=0.06)
        assert [number_of(clip.frames[0]) for clip in reader.clips(20, 1.0)] == [15, 35]
        assert reader.problems == []


@needs_ffmpeg
def test_of_joined_recordings(tmp_path: Path) -> None:
    for seed in range(8):
        folder = tmp_path / str(seed)
        folder.mkdir()
        dice = Random(f"length {seed}")
        parts = random_program(dice)
        path = joined(parts, folder)
        with open_video(path) as reader:
            assert reader.length_seconds == pytest.approx(seen(path), abs=1e-3)
            assert reader.length_seconds > sum(map(num_pictures, parts)) / FPS - 0.2
            (*_, last) = question_times(
                Way(Showing.WHOLE, StreamSettings(), 4), Question("", 0.0, math.inf, ""), reader
            )
            assert last == pytest.approx(reader.length_seconds)
            whole = pyav_reader.PyavPictures(str(path))
            (*_, shown) = whole.pictures(0.0)
            assert number_of(reader.frames_at([last])[0]) == number_of(shown.rgb())
            whole.close()


def test_a_clock_that_falls_was_started_again_and_is_no_leap(tmp_path: Path) -> None:
    """libav adds 2^33 ticks to what lies a minute below the first stamp."""
    for seed in range(12):
        dice = Random(f"fall {seed}")
        seconds, clock, leaps, parts = 2.5, dice.uniform(100, 90_000), [], []
        for number in range(3):
            parts.append(Part(40 * number, clock, (0.0, seconds), (0.0, seconds)))
            move = dice.choice((-clock + dice.uniform(0, 5), -dice.uniform(70, 90), 20.0, 3600.0, seconds))
            leaps += [move - seconds] if move - seconds > 10 and number < 2 else []
            clock = max(0.0, clock + move)
        folder = tmp_path / str(seed)
        folder.mkdir()
        with open_video(joined(parts, folder)) as reader:
            assert len(list(reader.clips(FPS, 0.5))) == 15
            told = [each for each in reader.problems if "clock" in each]
            assert [round(float(each.split("by ")[1].split(" s ")[0])) for each in told] == [
                pytest.approx(leap, abs=1) for leap in leaps
            ], (parts, told)


def test_a_leap_behind_a_clock_that_fell_is_told(tmp_path: Path) -> None:
    for seed in range(4):
        dice = Random(f"behind {seed}")
        first = dice.uniform(5_000, 50_000)
        fallen, leap = first - dice.uniform(70, 4_000), dice.uniform(20, 900)
        parts = [
            Part(40 * number, clock, (0.0, 2.5), (0.0, 2.5))
            for number, clock in enumerate((first, fallen, first + leap))
        ]
        folder = tmp_path / str(seed)
        folder.mkdir()
        with open_video(joined(parts, folder)) as reader:
            assert len(list(reader.clips(FPS, 0.5))) == 15
            (told,) = reader.problems
            by = float(told.split("by ")[1].split(" s ")[0])
            assert by == pytest.approx(first + leap - fallen - 2.5, abs=1), (parts, told)


def test_a_clock_that_comes_to_its_end_runs_on(tmp_path: Path) -> None:
    wrap = 2**33 / 90_000
    for hole, told in ((0.0, []), (5.0, []), (30.0, ["+30"]), (3600.0, ["+3600"])):
        parts = [
            Part(0, wrap - 4.0, (0.0, 2.5), (0.0, 2.5)),
            Part(40, wrap - 1.5 + hole, (0.0, 2.5), (0.0, 2.5)),
        ]
        folder = tmp_path / str(hole)
        folder.mkdir()
        with open_video(joined(parts, folder)) as reader:
            assert len(list(reader.clips(FPS, 0.5))) == (10 if hole > 10 else 10 + round(2 * hole))
            assert [
                each.split("by ")[1].split(" s ")[0] for each in reader.problems if "clock" in each
            ] == told
