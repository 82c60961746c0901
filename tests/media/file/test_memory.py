"""Memory does not grow with the length of a file."""

from __future__ import annotations

import gc
import itertools
import subprocess
from pathlib import Path

import psutil

from svlm_cli.media.file.reader import open_video
from tests.media.numbered import needs_ffmpeg, whole_video

MINUTES = 12
MEBIBYTE = 1 << 20


@needs_ffmpeg
def test_twelve_minutes_take_no_more_than_one(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    source = f"testsrc2=size=192x108:rate=10:duration={MINUTES * 60}"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *encode, path], check=True)
    process = psutil.Process()
    with open_video(path) as reader:
        clips = reader.clips(8, 1.0)
        clip_bytes = sum(clip.frames.nbytes for clip in itertools.islice(clips, 60))
        gc.collect()
        before = process.memory_info().rss
        clip_bytes = sum(clip.frames.nbytes for clip in clips)
        gc.collect()
        grown = process.memory_info().rss - before
    assert clip_bytes > 300 * MEBIBYTE  # what keeping the frames would cost
    assert grown < 16 * MEBIBYTE


def test_reading_at_random_keeps_nothing(tmp_path: Path) -> None:
    process = psutil.Process()
    sizes = []
    with open_video(whole_video(tmp_path)) as reader:
        for _ in range(4):
            for start in range(9):
                reader.frames_at([start + k / 20 for k in range(20)])
            gc.collect()
            sizes.append(process.memory_info().rss)
    assert sizes[-1] - sizes[0] < 8 * MEBIBYTE


def test_pictures_go_without_the_garbage_collector(tmp_path: Path) -> None:
    """It counts objects and not bytes: what waits for it in a stream of days is hundreds of megabytes."""

    def num_frames() -> int:
        return sum(type(each).__name__ == "VideoFrame" for each in gc.get_objects())

    with open_video(whole_video(tmp_path)) as reader:
        gc.collect()
        gc.disable()
        try:
            before = num_frames()
            num_shown = sum(clip.num_frames for clip in reader.clips(8, 1.0))
            reader.frames_at([8.0, 0.0, 5.0])
            assert num_shown > 60
            assert num_frames() - before < 16
        finally:
            gc.enable()


def test_files_are_closed(tmp_path: Path) -> None:
    path = whole_video(tmp_path)
    process = psutil.Process()

    def is_open() -> bool:
        return any(Path(file.path) == path for file in process.open_files())

    with open_video(path) as reader:
        assert is_open()
        next(reader.clips(2, 1.0))
        reader.frames_at([8.0, 0.0, 5.0])
    assert not is_open()
