"""What a picture looks like: upright, of one size, in the right colours."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.media.file.convert import Orientation
from svlm_cli.media.file.reader import open_video
from svlm_cli.settings import PictureStyle, Viewing
from tests.media.numbered import needs_ffmpeg, numbers_of, picture, write_video

LOSSLESS = {"qp": "0", "preset": "ultrafast"}
TWENTIETH = Fraction(1, 20)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize(("mirror_x", "mirror_y"), list(product([False, True], repeat=2)))
def test_pictures_stand_upright(tmp_path: Path, degrees: int, mirror_x: bool, mirror_y: bool) -> None:
    path = write_video(
        tmp_path / "v.mp4",
        range(30),
        TWENTIETH,
        rate=20,
        options=LOSSLESS,
        pixel_format="yuv444p",
        rotation=(degrees, mirror_x, mirror_y),
    )
    with open_video(path) as reader:
        frames = next(reader.clips(2, 1.0)).frames
        assert (reader.info.width, reader.info.height) == (128, 48)
    assert frames.flags["C_CONTIGUOUS"]
    for image, number in zip(frames, (0, 10), strict=True):
        assert np.abs(image.astype(int) - picture(number)).max() <= 3


def test_orientation_knows_a_mirror_from_a_turn() -> None:
    turns = [
        Orientation(),
        Orientation(True, True),
        Orientation(False, True, True),
        Orientation(True, False, True),
    ]
    mirrors = [
        Orientation(True),
        Orientation(False, True),
        Orientation(mirror_y=True),
        Orientation(True, True, True),
    ]
    assert not any(turn.is_mirrored for turn in turns)
    assert all(mirror.is_mirrored for mirror in mirrors)
    image = np.arange(24).reshape(2, 4, 3)
    assert np.array_equal(Orientation(True, False, True).apply(image), np.rot90(image))


@pytest.mark.parametrize("size", [(129, 47), (17, 161), (16, 16)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_video(
        tmp_path / "v.mp4", range(20), TWENTIETH, rate=20, options=LOSSLESS, pixel_format="yuv444p", size=size
    )
    with open_video(path) as reader:
        frames = reader.frames_at([0.0, 0.5])
    assert frames.shape == (2, size[1], size[0], 3)
    assert np.abs(frames[1].astype(int) - picture(10, *size)).max() <= 3


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [
        ("ffv1", "gray"),
        ("ffv1", "yuv420p10le"),
        ("ffv1", "yuva420p"),
        ("ffv1", "bgra"),
        ("ffv1", "gbrp16le"),
        ("gif", "rgb8"),
        ("apng", "pal8"),
        ("libx265", "yuv420p10le"),
    ],
)
def test_any_pixel_format_becomes_rgb(tmp_path: Path, codec: str, pixel_format: str) -> None:
    path = tmp_path / f"v.{codec if codec in ('gif', 'apng') else 'mkv'}"
    if pixel_format == "pal8":
        write_palette_video(path)
    else:
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        ticks = range(20)
        write_video(path, ticks, TWENTIETH, rate=20, codec=codec, pixel_format=pixel_format, options=options)
    with open_video(path) as reader:
        frames = reader.frames_at([0.15, 0.3, 0.95])
    assert frames.dtype == np.uint8
    assert numbers_of(frames) == [3, 6, 19]
    if pixel_format != "gray":
        red = frames[:, -8:].mean(axis=(0, 1, 2))
        assert red == pytest.approx([200, 0, 0], abs=20 if codec == "gif" else 6)


def write_palette_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("apng", rate=20)
        stream.width, stream.height, stream.pix_fmt = 128, 48, "pal8"
        for number in range(20):
            frame = av.VideoFrame(128, 48, "pal8")
            image = picture(number)
            indices = np.where(image[..., 1] > 0, 1, np.where(image[..., 0] > 0, 2, 0)).astype(np.uint8)
            rows = np.zeros((48, frame.planes[0].line_size), dtype=np.uint8)
            rows[:, :128] = indices
            frame.planes[0].update(rows.tobytes())
            palette = np.zeros((256, 4), dtype=np.uint8)  # blue, green, red, alpha
            palette[:, 3] = 255
            palette[1, :3] = 255
            palette[2, 2] = 200
            frame.planes[1].update(palette.tobytes())
            frame.pts, frame.time_base = number, TWENTIETH
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@needs_ffmpeg
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("spread", ["tv", "pc"])
def test_colours_follow_the_tags(tmp_path: Path, matrix: str, spread: str) -> None:
    path = tmp_path / "v.mp4"
    source = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=1,format=rgb24"]
    scale = {"smpte170m": "bt601", "bt2020nc": "bt2020"}.get(matrix, matrix)
    convert = ["-vf", f"scale=out_color_matrix={scale}:out_range={spread}", "-pix_fmt", "yuv444p"]
    tags = ["-colorspace", matrix, "-color_range", spread]
    subprocess.run([*source, *convert, *tags, "-c:v", "libx264", "-qp", "0", path], check=True)
    raw = [*source, "-frames:v", "1", "-f", "rawvideo", "-"]
    done = subprocess.run(raw, check=True, capture_output=True)
    drawn = np.frombuffer(done.stdout, dtype=np.uint8).reshape(48, 64, 3)
    with open_video(path) as reader:
        seen = reader.frames_at([0.0])[0]
    assert np.abs(seen.astype(int) - drawn).mean() < 1


def test_a_change_of_resolution_is_scaled_away(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(128, 48), (64, 24)]):
        path = write_video(
            tmp_path / f"{number}.h264", range(20), TWENTIETH, rate=20, options={"crf": "10"}, size=size
        )
        parts.append(path.read_bytes())
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(parts))
    with open_video(both) as reader:
        clips = list(reader.clips(2, 1.0))
    assert {clip.frames.shape for clip in clips} == {(2, 48, 128, 3)}
    assert [numbers_of(clip.frames) for clip in clips] == [[0, 10], [0, 10]]


def test_raw_pictures_have_square_pixels(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", range(20), TWENTIETH, rate=20, options={"x264-params": "sar=2/1"})
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2
    with open_video(path, viewing=Viewing(PictureStyle.RAW)) as reader:
        assert reader.frames_at([0.0]).shape == (1, 48, 128, 3)
