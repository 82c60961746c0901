"""Real files, against ffprobe's times and ffmpeg's pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.media.file.reader import open_video
from svlm_cli.settings import Viewing
from tests.media.numbered import needs_ffmpeg, on_screen, probed_times

SECONDS = 3


@needs_ffmpeg
@pytest.mark.parametrize(
    "name", ["armwrestling.mp4", "speech_mpeg4_mp3.avi", "pancake_vp_opus.mkv", "lowfps_6.mp4"]
)
@pytest.mark.parametrize(("fps", "pictures"), [(2, "raw"), (2, "display"), (8, "raw")])
def test_frames_are_those_that_ffmpeg_shows(shared_data: Path, name: str, fps: int, pictures: str) -> None:
    """As they are stored, and with square pixels (one of them has others)."""
    path = shared_data / "video" / name
    times = probed_times(path)
    with open_video(path, viewing=Viewing(pictures)) as reader:
        info = reader.info
        clips = list(reader.clips(fps, 1.0))
        assert reader.problems == []
    decode = ["ffmpeg", "-v", "error", "-i", path, "-vsync", "passthrough"]
    shape = ["-vf", f"scale={info.width}:{info.height}"]
    output = ["-t", str(SECONDS), *shape, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run([*decode, *output], capture_output=True, check=True)
    shown = np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, info.height, info.width, 3)
    assert len(clips) == int(np.ceil(times[-1] + times[-1] - times[-2] - 0.05))
    for clip in clips[: SECONDS - 1]:
        for k, frame in enumerate(clip.frames):
            expected = shown[on_screen(times, clip.start_seconds + k / fps)]
            assert np.abs(frame.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damage_in_the_middle_moves_no_later_picture(shared_data, tmp_path, seed):
    """Random bytes inside H.264 data: the decoder hands out late pictures, time goes on as in the file."""
    import av

    whole, torn = tmp_path / "whole.mp4", tmp_path / "torn.mp4"
    source_path = shared_data / "video" / "armwrestling.mp4"
    with (
        av.open(str(source_path)) as source,
        av.open(str(whole), "w", options={"movflags": "faststart"}) as target,
    ):
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    content = bytearray(whole.read_bytes())
    start = content.index(b"mdat") + len(content) * 2 // 5
    hole = len(content) // 20
    content[start : start + hole] = np.random.default_rng(seed).bytes(hole)
    torn.write_bytes(content)
    with open_video(whole) as good, open_video(torn) as bad:
        expected = [clip.frames[0] for clip in good.clips(fps=2, step_seconds=1.0)]
        found = [clip.frames[0] for clip in bad.clips(fps=2, step_seconds=1.0)]
        assert bad.num_corrupt > 0
    assert len(found) == len(expected) == 10
    for second in (0, 1, 2, 8, 9):
        assert np.abs(found[second].astype(int) - expected[second]).mean() < 3, f"second {second}"
