"""Files that mostly hold one picture: those that move are videos, the others are stills, and told so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np
import pytest

from svlm_cli.data.fetch.folder import expand, fetch_all
from svlm_cli.data.inside import videos_in
from svlm_cli.errors import SourceError
from svlm_cli.media.file.reader import open_video
from tests.media.numbered import number_of, picture

SIZE = (128, 48)
CODINGS = {".gif": ("gif", "rgb8"), ".apng": ("apng", "rgb24"), ".avif": ("libsvtav1", "yuv420p")}


def images(path: Path, num: int) -> Path:
    """Written in a thread of its own: run by root, SVT-AV1 makes the thread that opens it a real-time one."""
    with ThreadPoolExecutor(1) as own:
        return own.submit(write_images, path, num).result()


def write_images(path: Path, num: int) -> Path:
    codec, pixels = CODINGS[Path(path.name).suffix]
    try:
        with av.open(str(path), "w", format=path.suffix[1:]) as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
            for number in range(num):
                frame = av.VideoFrame.from_ndarray(picture(number, *SIZE), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError):
        pytest.skip(f"PyAV writes no {path.suffix}")
    return path


@pytest.mark.parametrize("suffix", CODINGS)
def test_what_moves_is_a_video_and_a_still_is_none(tmp_path: Path, suffix: str) -> None:
    num = Random(suffix).randrange(12, 30)
    moving, one = images(tmp_path / f"moving{suffix}", num), images(tmp_path / f"one{suffix}", 1)
    with open_video(moving) as reader:
        clips = list(reader.clips(10, 0.5))
        seen = [number_of(frame) for clip in clips for frame in clip.frames]
        assert seen[: num - 1] == list(range(num - 1))
        assert reader.length_seconds == pytest.approx(num / 10, abs=0.11)
    with pytest.raises(SourceError, match="a single still picture"):
        open_video(one)
    unnamed = tmp_path / "unnamed"
    unnamed.write_bytes(moving.read_bytes())
    inside, left_out = videos_in(tmp_path)
    assert ([each.name for each in inside], left_out) == ([moving.name, "unnamed"], [one.name])
    results = list(fetch_all(expand([str(tmp_path)]), tmp_path / "m"))
    assert [result.problem for result in results] == ["", ""]


def test_a_picture_of_any_kind_is_a_still(tmp_path: Path) -> None:
    from PIL import Image

    for suffix in (".png", ".jpg", ".bmp", ".webp", ".gif"):
        path = tmp_path / f"one{suffix}"
        Image.fromarray(np.full((48, 128, 3), 90, np.uint8)).save(path)
        with pytest.raises(SourceError, match="a single still picture"):
            open_video(path)
    assert videos_in(tmp_path)[0] == []


def test_webp_that_moves_is_told_for_what_it_is(tmp_path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(picture(number, *SIZE)) for number in range(5)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100)
    with pytest.raises(SourceError, match="animated WebP, which libav does not read"):
        open_video(tmp_path / "a.webp")
    assert videos_in(tmp_path) == ([], ["a.webp"])
