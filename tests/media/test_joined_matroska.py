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


def part(path: Path, num_sounds: int) -> Path:
    """A second of pictures and so many tracks of sound."""
    with av.open(str(path), "w", format="matroska") as file:
        pictures = file.add_stream("mpeg4", rate=FRAMES)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sounds = [file.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(num_sounds)]
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


@pytest.mark.parametrize("seed", range(8))
def test_told_is_what_libav_leaves_out(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    parts = [part(tmp_path / f"{k}.mkv", dice.randrange(4)) for k in range(dice.choice((1, 2, 2, 3, 4)))]
    joined = tmp_path / "joined.mkv"
    joined.write_bytes(b"".join(each.read_bytes() for each in parts))
    at = recording_behind(str(joined), "matroska,webm", 1)
    assert (at is not None) == (num_pictures(joined) < FRAMES * len(parts))
    if at is not None:
        sizes = np.cumsum([each.stat().st_size for each in parts])
        assert at in sizes
        told = tmp_path / "told.mkv"
        told.write_bytes(joined.read_bytes()[:at])
        assert num_pictures(joined) - num_pictures(told) in (0, 1), "libav gives up behind one packet"
        with open_video(joined) as video:
            list(video.clips(2.0, 1.0))
            assert any(f"at byte {at} " in problem for problem in video.problems)


@pytest.mark.parametrize("seed", range(4))
def test_jumps_within_joined_files_show_what_reading_through_shows(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    parts = [long_part(tmp_path / f"{k}.mkv", 20 + 90 * k) for k in range(2)]
    joined = tmp_path / "joined.mkv"
    joined.write_bytes(b"".join(each.read_bytes() for each in parts))
    times = [dice.uniform(0, 15.9) for _ in range(7)]
    with open_video(joined) as video:
        shown = [float(video.frames_at([time]).mean()) for time in times]
    for time, seen in zip(times, shown, strict=True):
        half, within = divmod(time, 8.0)
        assert seen == pytest.approx(20 + 90 * half + int(within * FRAMES) // 4, abs=4)


def long_part(path: Path, darkest: int) -> Path:
    """Eight seconds that grow brighter by a grey level in four pictures, a keyframe a second."""
    with av.open(str(path), "w", format="matroska") as file:
        pictures = file.add_stream("mpeg4", rate=FRAMES, options={"g": str(FRAMES), "qscale": "2"})
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(8 * FRAMES):
            shown = np.full((48, 64, 3), darkest + number // 4, np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
        file.mux(pictures.encode(None))
    return path
