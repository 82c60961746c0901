"""How long a video lasts: by its packets, and not by what a header claims of them."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from svlm_cli.bench.questions.asking import Question, Showing, Way, question_times
from svlm_cli.media.file import pyav_reader
from svlm_cli.media.file.reader import open_video
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
