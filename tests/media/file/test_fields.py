"""Two fields become one picture: as ffmpeg's bwdif makes it, wherever reading begins."""

from __future__ import annotations

import random
import subprocess
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.errors import UsageError
from svlm_cli.media.file.reader import open_video
from svlm_cli.settings import Deinterlace, PictureStyle, StreamSettings, Viewing
from tests.media.numbered import needs_ffmpeg

RAW = Viewing(PictureStyle.RAW)
FIELD_FORMATS = {  # name: container, options of the encoder
    "mpeg2": ("ts", "-c:v mpeg2video -flags +ilme+ildct -q:v 2 -g 12 -bf 2"),
    "h264": ("mp4", "-c:v libx264 -preset veryfast -crf 12 -g 12 -bf 2 -flags +ilme+ildct"),
    "h264 open": (
        "mkv",
        "-c:v libx264 -preset veryfast -crf 12 -g 12 -bf 2 -flags +ilme -x264-params open-gop=1",
    ),
    "ffv1": ("mkv", "-c:v ffv1 -pix_fmt yuv422p10le"),
    "packed": ("mov", "-c:v rawvideo -pix_fmt uyvy422"),
}


def ffmpeg(*arguments: str | Path) -> bytes:
    run = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(run, check=True, capture_output=True).stdout


def interlaced(folder: Path, seed: int, kind: str) -> tuple[Path, tuple[int, int]]:
    """A file of two fields a picture, of a size, rate and field order drawn by lot."""
    dice = random.Random(f"{seed} {kind}")
    size = dice.randrange(80, 200, 4), dice.randrange(64, 160, 4)
    order, rate = dice.choice(["tff", "bff"]), dice.choice([25, 30])
    ending, coding = FIELD_FORMATS[kind]
    if "libx264" in coding:
        coding += f" -x264opts {order}=1" if "x264-params" not in coding else f":{order}=1"
    path = folder / f"{seed}.{ending}"
    picture = f"testsrc2=s={size[0]}x{size[1]}:r={2 * rate}:d=1.6"
    scan = f"interlace=scan={order}:lowpass=off,setfield={order}"
    ffmpeg("-f", "lavfi", "-i", picture, "-vf", scan, *coding.split(), path)
    return path, size


def viewed(path: Path, size: tuple[int, int], filters: str) -> np.ndarray:
    """Every picture as ffmpeg shows it through filters: (num, height, width, 3)."""
    out = ("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    raw = ffmpeg("-i", path, "-vf", filters, "-sws_flags", "bicubic", *out)
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, size[1], size[0], 3)


def luma(images: np.ndarray) -> np.ndarray:
    return images @ np.array([0.299, 0.587, 0.114])


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        times = sorted(float(frame.time) for frame in container.decode(video=0))
    return [each - times[0] for each in times]


@needs_ffmpeg
@pytest.mark.parametrize("kind", sorted(FIELD_FORMATS))
@pytest.mark.parametrize("seed", [1, 2])
def test_fields_become_whole_pictures_as_ffmpeg_makes_them(tmp_path: Path, seed: int, kind: str) -> None:
    path, size = interlaced(tmp_path, seed, kind)
    wanted = viewed(path, size, "bwdif=send_frame:auto:interlaced")
    combed = viewed(path, size, "null")
    times = times_of(path)
    with open_video(path) as reader:
        assert (reader.info.appearance.is_interlaced, reader.info.appearance.is_deinterlaced) == (True, True)
        found = reader.frames_at(np.array(times) + 1e-4)
        assert len(found) == len(wanted)
        # Of the first picture ffmpeg 5 converts the colours of each field by themselves.
        assert np.abs(found[1:].astype(int) - wanted[1:]).mean() < 0.2
        assert np.abs(luma(found) - luma(wanted)).mean() < 0.2
        assert np.abs(luma(combed) - luma(wanted)).mean() > 0.5  # and it is not what is stored
        # A picture is the same wherever reading begins: training jumps, streaming does not.
        chosen = random.Random(seed).sample(range(len(times)), 7)
        for number in chosen:
            assert np.array_equal(reader.frames_at([times[number] + 1e-4])[0], found[number])
    with open_video(path, viewing=RAW) as reader:
        raw = reader.frames_at(np.array(times) + 1e-4)
    assert np.abs(luma(raw) - luma(combed)).mean() < 1.5


@needs_ffmpeg
def test_progressive_pictures_between_are_left_alone(tmp_path: Path) -> None:
    """A studio in whole pictures, then the match in fields, then the studio again."""
    parts = []
    for number, scan in enumerate(["null", "interlace=scan=tff:lowpass=off", "null"]):
        part = tmp_path / f"{number}.ts"
        rate = "50" if scan != "null" else "25"
        fields = ("-flags", "+ilme+ildct") if scan != "null" else ()
        picture = f"testsrc2=s=160x128:r={rate}:d=0.4"
        ffmpeg("-f", "lavfi", "-i", picture, "-vf", scan, "-c:v", "mpeg2video", "-q:v", "2", *fields, part)
        parts.append(part)
    with open_video(parts[0]) as whole, open_video(parts[0], viewing=RAW) as raw:
        assert np.array_equal(whole.frames_at([0.2]), raw.frames_at([0.2]))
    both = tmp_path / "both.ts"
    ffmpeg("-i", "concat:" + "|".join(map(str, parts)), "-c", "copy", both)
    times = np.array(times_of(both)) + 1e-4
    with open_video(both) as shown, open_video(both, viewing=RAW) as stored:
        assert shown.info.appearance.is_deinterlaced is False  # the first picture has no fields
        found = shown.frames_at(times), stored.frames_at(times)
        same = [np.array_equal(*each) for each in zip(*found, strict=True)]
    changes = sum(before != after for before, after in pairwise(same))
    assert (same[0], same[-1], changes) == (True, True, 2)


@needs_ffmpeg
def test_deinterlace_on_and_off(tmp_path: Path) -> None:
    path, _ = interlaced(tmp_path, 5, "h264")
    at = [0.5]
    with (
        open_video(path, viewing=Viewing(deinterlace=Deinterlace.OFF)) as one,
        open_video(path, viewing=RAW) as raw,
    ):
        assert np.array_equal(one.frames_at(at), raw.frames_at(at))
    plain = tmp_path / "plain.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:d=1", "-c:v", "ffv1", plain)
    wanted = viewed(plain, (160, 120), "bwdif=send_frame:auto:all")
    with open_video(plain, viewing=Viewing(deinterlace=Deinterlace.ON)) as on:
        found = on.frames_at(np.array(times_of(plain)) + 1e-4)
    assert np.abs(found.astype(int) - wanted).mean() < 0.6
    with pytest.raises(UsageError, match="--deinterlace on does not go with it"):
        StreamSettings(pictures=PictureStyle.RAW, deinterlace=Deinterlace.ON)
