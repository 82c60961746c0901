"""Files in which another recording lies behind the end of what libav reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from svlm_cli.data.fetch.folder import fetch_all
from svlm_cli.media.audio import SAMPLE_RATE, listen
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.survey import survey
from tests.media.numbered import needs_ffmpeg

SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2:r=48000"]
CODING = {
    "flv": ["-c:v", "flv", "-c:a", "pcm_s16le", "-ar", "44100"],
    "mp4": ["-c:v", "mpeg4", "-c:a", "aac"],
    "mov": ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le", "-movflags", "faststart"],
    "mxf": ["-c:v", "mpeg2video", "-c:a", "pcm_s16le"],
    "wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
}


@needs_ffmpeg
@pytest.mark.parametrize("suffix", CODING)
def test_a_recording_that_is_not_read_is_told(tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", *SOURCE, *CODING[suffix], str(one)], check=True)
    content = one.read_bytes()
    two.write_bytes(content * 2)
    assert survey(str(one)).behind_byte is None
    assert survey(str(two)).behind_byte == listen(str(two)).behind_byte == len(content)
    for path, num_told in ((one, 0), (two, 1)):
        with open_video(path) as reader:
            list(reader.clips(2, 1.0))
            told = [each for each in reader.problems if "another recording begins" in each]
        assert len(told) == num_told
    (result,) = fetch_all([str(two)], tmp_path / "m")
    assert f"at byte {len(content)} and is not read" in result.note


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["mkv", "ts", "mpg", "avi"])
def test_what_libav_reads_on_is_not_told(tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    subprocess.run(
        ["ffmpeg", "-v", "error", *SOURCE, "-c:v", "mpeg2video", "-c:a", "mp2", str(one)], check=True
    )
    two.write_bytes(one.read_bytes() * 2)
    found = survey(str(two))
    assert found.behind_byte is None
    assert found.end_seconds - found.picture_seconds == pytest.approx(4.0, abs=0.3)


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["wav", "aiff", "m4a", "wma", "mp3", "flac", "ac3"])
def test_sound_that_is_not_read_is_told(tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=2:r=16000", str(one)], check=True)
    two.write_bytes(one.read_bytes() * 2)
    assert listen(str(one)).behind_byte is None
    found = listen(str(two))
    assert (found.behind_byte == one.stat().st_size) == (suffix in ("wav", "aiff", "m4a", "wma"))
    assert (found.behind_byte is None) == (len(found.samples) > 3.5 * SAMPLE_RATE)
