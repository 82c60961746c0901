"""Pictures at any rate, decoded in any order: slides are no leaps, and leaps and joins are where they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np
import pytest

from svlm_cli.media.audio import listen
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.file.remux import copy_tracks
from tests.media.numbered import number_of, picture
from tests.media.programs import bursts_of

RATE, SIZE, MS = 16_000, (64, 32), 1000
SOUNDS = {".mkv": "aac", ".mp4": "aac", ".mov": "aac", ".ts": "mp2", ".flv": "aac"}
BURST_SECONDS = 0.2
PYRAMIDS = ("none", "strict", "normal")
SLOW_MS = 500


@dataclass(frozen=True)
class Made:
    """A recording: a picture every ``step_ms``, and of each part its length and the clock's leap before it.

    The parts of a joined one are written each by itself, and begin at clocks of their own.
    """

    suffix: str
    step_ms: int
    parts: tuple[tuple[int, int], ...]
    is_joined: bool
    has_sound: bool
    options: tuple[tuple[str, str], ...]

    @property
    def number(self) -> int:
        return sum(length for length, _ in self.parts)

    @property
    def firsts(self) -> list[int]:
        return [sum(length for length, _ in self.parts[:part]) for part in range(len(self.parts))]

    def shown(self, number: float) -> float:
        return number * self.step_ms / MS

    def stamp_ms(self, number: int) -> int:
        parts = zip(self.firsts, self.parts, strict=True)
        return number * self.step_ms + sum(leap for first, (_, leap) in parts if number >= first)


def random_recording(dice: Random) -> Made:
    step_ms = round(1000 / math.exp(dice.uniform(math.log(0.05), math.log(60))))
    suffix, has_sound = dice.choice(list(SOUNDS)), dice.random() < 0.6
    # Of a transport stream libav hands out each picture two pictures late: beside sound, that is too late.
    is_late = suffix == ".ts" and has_sound and step_ms > SLOW_MS
    num_parts = 1 if is_late else dice.choice((1, 1, 2, 2, 3))
    shortest = 40 if step_ms < 100 else 6
    lengths = [dice.randrange(shortest, 2 * shortest) for _ in range(num_parts)]
    is_joined = num_parts > 1 and suffix == ".ts" and dice.random() < 0.6
    # Without sound nothing but its length tells a leap from a still.
    least = max(11_000, 3 * step_ms) if has_sound else 700_000 + 5 * step_ms
    most = 1_000_000 if suffix == ".flv" else 5_000_000  # it states by how much a picture is late in 24 bits
    leaps = [0] + [dice.choice((least, dice.randrange(least, most))) for _ in lengths[1:]]
    if is_joined:
        leaps = random_clocks(dice, [length * step_ms for length in lengths], 5 * step_ms)
    options = {
        "preset": dice.choice(("ultrafast", "veryfast")),
        "bf": str(dice.randrange(9)),
        "b_strategy": dice.choice("01"),
        "g": str(dice.choice((5, 12, 250))),
        "x264-params": f"b-pyramid={dice.choice(PYRAMIDS)}:ref=4:open-gop={dice.choice('01')}",
        "crf": "12",
    }
    return Made(
        suffix, step_ms, tuple(zip(lengths, leaps, strict=True)), is_joined, has_sound, tuple(options.items())
    )


def random_clocks(dice: Random, lengths_ms: list[int], apart_ms: int) -> list[int]:
    """Where the parts' clocks begin, none where it would be a gap behind the part before."""
    clocks = [dice.randrange(2_000_000)]
    for length in lengths_ms[:-1]:
        end, clock = clocks[-1] + length, dice.randrange(2_000_000)
        clocks.append(
            clock + (60_000 + apart_ms if 0 <= clock - end + apart_ms <= 20_000 + 2 * apart_ms else 0)
        )
    return clocks


def write(path: Path, made: Made, rate: Fraction | None = None) -> Path:
    if not made.is_joined:
        return _write(path, made, range(made.number), made.stamp_ms, rate)
    data = b""
    for first, (length, clock) in zip(made.firsts, made.parts, strict=True):
        part = path.with_name(f"part{path.suffix}")
        numbers = range(first, first + length)
        data += _write(
            part, made, numbers, lambda n, first=first, clock=clock: clock + (n - first) * made.step_ms
        ).read_bytes()
    path.write_bytes(data)
    return path


def _write(path: Path, made: Made, numbers: range, stamp_ms, rate: Fraction | None = None) -> Path:
    options = {"mpegts_copyts": "1"} if path.suffix == ".ts" else {}
    if len(made.parts) > 1:
        options["max_interleave_delta"] = "0"  # else sound is written minutes before slides
    with av.open(str(path), "w", options=options) as container:
        rate = rate or Fraction(MS, made.step_ms)
        video = container.add_stream("libx264", rate=rate, options=dict(made.options))
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.time_base = Fraction(1, MS)
        sound = None
        if made.has_sound:
            sound = container.add_stream(SOUNDS[path.suffix], rate=RATE, layout="mono")
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(picture(number, *SIZE), format="rgb24")
            frame.pts, frame.time_base = stamp_ms(number), Fraction(1, MS)
            container.mux(video.encode(frame))
            if sound is not None:
                container.mux(sound.encode(_sound(made, number, stamp_ms(number))))
        for stream in filter(None, (video, sound)):
            container.mux(stream.encode(None))
    return path


def bursts_at(made: Made) -> list[int]:
    """Pictures with which a tone begins: some before and some behind each leap."""
    apart = math.ceil(1000 / made.step_ms)
    found = [2 * apart] + [first + each * apart for first in made.firsts[1:] for each in (-2, 2)]
    return found if all(length > 5 * apart for length, _ in made.parts) else []


def _sound(made: Made, number: int, stamp_ms: int) -> av.AudioFrame:
    at = np.arange(made.step_ms * RATE // MS) / RATE + number * made.step_ms / MS
    begins = [each * made.step_ms / MS for each in bursts_at(made)]
    is_loud = sum((begin <= at) & (at < begin + BURST_SECONDS) for begin in begins) if begins else 0 * at
    samples = (12_000 * np.sin(2 * np.pi * 1000 * at) * is_loud).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), stamp_ms * RATE // MS
    return frame


def decoded(path: Path) -> tuple[list[int], list[float]]:
    """By libav alone: the numbers of its pictures, and their times; nothing where some have none."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    if any(frame.pts is None for frame in frames):
        return [], []
    times = [float(frame.pts * frame.time_base) for frame in frames]
    numbers = [number_of(frame.to_ndarray(format="rgb24")) for frame in frames]
    return numbers, [each - times[0] for each in times]


def check(folder: Path, made: Made) -> None:
    try:
        path = write(folder / f"a{made.suffix}", made)
    except av.ArgumentError:
        assert made.suffix == ".flv", made  # it cannot hold all
        return
    if decoded(path)[0] != list(range(made.number)):
        return  # libav itself loses pictures of what it wrote
    pictures = PyavPictures(str(path))
    found = [(each.start_seconds, number_of(each.rgb())) for each in pictures.pictures(0.0)]
    problems, length = pictures.problems, pictures.length_seconds
    pictures.close()
    shown = [made.shown(number) for number in range(made.number)]
    # Where parts meet far from pictures the sound decides, which is as long as an encoder's frames.
    tolerance = 0.05 if made.has_sound and made.step_ms > SLOW_MS else 3e-3
    assert [number for _, number in found] == list(range(made.number)), made
    assert [at for at, _ in found] == pytest.approx(shown, abs=tolerance), made
    assert length == pytest.approx(made.shown(made.number), abs=0.1 + made.step_ms / MS / 50), made
    if not made.is_joined:
        leaps = [
            f"jumps by {leap / MS:+.0f} s at {made.shown(first):.1f} s"
            for first, (_, leap) in zip(made.firsts, made.parts, strict=True)
            if leap
        ]
        assert len(problems) == len(leaps), (made, problems)
    if made.has_sound:
        assert bursts_of(listen(str(path)).samples) == pytest.approx(
            [made.shown(each) for each in sorted(bursts_at(made))], abs=0.15
        ), made
    asked = range(made.number - 2, 0, -1 - made.number // 4)
    with open_video(path) as video:
        images = video.frames_at([made.shown(each) + made.step_ms / MS / 2 for each in asked])
    assert [number_of(each) for each in images] == list(asked), made
    copy_tracks(path, folder / f"copy{made.suffix}")
    numbers, times = decoded(folder / f"copy{made.suffix}")
    assert numbers == list(range(made.number)), made
    assert times == pytest.approx(shown, abs=tolerance), made


def test_pictures_of_any_rate(tmp_path: Path) -> None:
    dice = Random(31)
    for _ in range(10):
        check(tmp_path, random_recording(dice))


def test_slides_that_are_stated_to_last_for_a_moment_do_not_end_early(tmp_path: Path) -> None:
    """In Matroska, by the rate of the video that they were taken from; sound goes on behind the last one."""
    options = (("bf", "8"), ("b_strategy", "0"), ("x264-params", "b-pyramid=normal"))
    made = Made(".mkv", 9000, ((8, 0),), False, True, options)
    path = write(tmp_path / "a.mkv", made, Fraction(25))
    pictures = PyavPictures(str(path))
    assert [number_of(each.rgb()) for each in pictures.pictures(0.0)] == list(range(8))
    assert pictures.info.duration_seconds == pytest.approx(made.shown(7) + 1 / 25, abs=0.1)
    assert pictures.problems == []
    pictures.close()


@pytest.mark.slow
def test_many_pictures_of_any_rate(tmp_path: Path) -> None:
    dice = Random(32)
    for _ in range(400):
        check(tmp_path, random_recording(dice))
