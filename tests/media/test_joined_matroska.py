"""Joined Matroska: what is told is what libav leaves out."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.media.behind import recording_behind
from svlm_cli.media.file.reader import open_video

FRAMES = 25


def part(path: Path, num_sounds: int, *, says_length: bool = True, num_empty: int = 0) -> Path:
    """A second of pictures and so many tracks of sound, and tracks of which nothing comes."""
    options = {} if says_length else {"live": "1"}  # as of a recorder that was killed
    with av.open(str(path), "w", format="matroska", options=options) as file:
        pictures = file.add_stream("mpeg4", rate=FRAMES)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sounds = [file.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(num_sounds)]
        for _ in range(num_empty):
            file.add_stream("pcm_s16le", rate=8000, layout="mono")
        for number in range(FRAMES):
            shown = np.full((48, 64, 3), 9 * number, np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
            for sound in sounds:
                heard = av.AudioFrame.from_ndarray(np.full((1, 320), number, np.int16), "s16", "mono")
                heard.sample_rate, heard.pts, heard.time_base = 8000, 320 * number, Fraction(1, 8000)
                file.mux(sound.encode(heard))
        for stream in (pictures, *sounds):
            file.mux(stream.encode(None))
    return path


def num_pictures(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(packet.size > 0 for packet in file.demux(file.streams.video[0]))


@pytest.mark.parametrize("seed", range(24))
def test_told_is_what_libav_leaves_out(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    most = dice.choice((1, 4))  # tracks of sound and one
    parts = [
        part(
            tmp_path / f"{k}.mkv",
            dice.randrange(most),
            says_length=dice.random() < 0.6,
            num_empty=dice.choice((0, 0, 1)),
        )
        for k in range(dice.choice((1, 2, 2, 3, 4)))
    ]
    joined = tmp_path / "joined.mkv"
    joined.write_bytes(b"".join(each.read_bytes() for each in parts))
    at = recording_behind(str(joined), "matroska,webm", 1)
    assert (at is not None) == (num_pictures(joined) < FRAMES * len(parts))
    if at is not None:
        sizes = np.cumsum([each.stat().st_size for each in parts])
        assert at in sizes
        with open_video(joined) as video:
            list(video.clips(2.0, 1.0))
            assert any(f"at byte {at} " in problem for problem in video.problems)


VOID = bytes.fromhex("ec4064") + bytes(100)


@pytest.mark.parametrize("how", ["plain", "void", "zeros", "cut", "unknown", "unknown then known"])
def test_jumps_within_joined_files_show_what_reading_through_shows(tmp_path: Path, how: str) -> None:
    dice = random.Random(how)
    lengths = {"unknown": (False, False), "unknown then known": (False, True)}.get(how, (True, True))
    first, second = (
        long_part(tmp_path / f"{k}.mkv", 20 + 90 * k, says_length=says).read_bytes()
        for k, says in enumerate(lengths)
    )
    joined = tmp_path / "joined.mkv"
    between = {"void": VOID, "zeros": bytes(512)}.get(how, b"")
    joined.write_bytes((first[:-300] if how == "cut" else first) + between + second)
    with open_video(joined) as video:
        through = [frame.mean() for clip in video.clips(4.0, 1.0) for frame in clip.frames]
    ends = len(through) / 4
    times = [dice.uniform(0, ends - 0.5) for _ in range(7)]
    with open_video(joined) as video:
        shown = [float(video.frames_at([time]).mean()) for time in times]
    for time, seen in zip(times, shown, strict=True):
        assert seen == pytest.approx(float(through[int(time * 4)]), abs=6)
    assert ends == (8 if how == "unknown then known" else 16)


def long_part(path: Path, darkest: int, *, says_length: bool = True) -> Path:
    """Eight seconds that grow brighter by a grey level in four pictures, a keyframe a second."""
    options = {} if says_length else {"live": "1"}
    with av.open(str(path), "w", format="matroska", options=options) as file:
        pictures = file.add_stream("mpeg4", rate=FRAMES, options={"g": str(FRAMES), "qscale": "2"})
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(8 * FRAMES):
            shown = np.full((48, 64, 3), darkest + number // 4, np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
        file.mux(pictures.encode(None))
    return path
