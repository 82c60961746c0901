"""Real files, against ffprobe's times and ffmpeg's pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.media.reader import open_video
from tests.media.numbered import needs_ffmpeg, on_screen, probed_times

SECONDS = 3


@needs_ffmpeg
@pytest.mark.parametrize(
    "name", ["armwrestling.mp4", "speech_mpeg4_mp3.avi", "pancake_vp_opus.mkv", "lowfps_6.mp4"]
)
@pytest.mark.parametrize("fps", [2, 8])
def test_frames_are_those_that_ffmpeg_shows(shared_data: Path, name: str, fps: int) -> None:
    path = shared_data / "video" / name
    times = probed_times(path)
    with open_video(path) as reader:
        info = reader.info
        clips = list(reader.clips(fps, 1.0))
        assert reader.problems == []
    decode = ["ffmpeg", "-v", "error", "-i", path, "-vsync", "passthrough"]
    output = ["-t", str(SECONDS), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run([*decode, *output], capture_output=True, check=True)
    pictures = np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, info.height, info.width, 3)
    assert len(clips) == int(np.ceil(times[-1] + times[-1] - times[-2] - 0.05))
    for clip in clips[: SECONDS - 1]:
        for k, frame in enumerate(clip.frames):
            expected = pictures[on_screen(times, clip.start_seconds + k / fps)]
            assert np.abs(frame.astype(int) - expected).mean() < 1
