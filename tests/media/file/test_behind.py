"""Files in which another recording lies behind the end of what libav reads."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from svlm_cli.data.fetch.folder import fetch_all
from svlm_cli.data.words.heard import sound_notes, sound_record
from svlm_cli.media.audio import SAMPLE_RATE, listen
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.survey import survey
from tests.media.numbered import needs_ffmpeg, write_video

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


def transport_stream(path: Path, *coding: str) -> Path:
    """Eight seconds, so that what is lost of the second of two is worth telling."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=8", "-f", "lavfi", "-i", "sine=d=8:r=48000"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-g", "10", *coding, str(path)], check=True)
    return path


def joined(path: Path, *parts: Path, between: bytes = b"") -> Path:
    path.write_bytes(between.join(part.read_bytes() for part in parts))
    return path


def problems_of(path: Path) -> list[str]:
    with open_video(path) as reader:
        list(reader.clips(2, 1.0))
        return reader.problems


@needs_ffmpeg
@pytest.mark.parametrize("between", [b"", b"\x00" * 77], ids=["whole", "torn"])
def test_a_recording_of_other_packet_ids_is_told(tmp_path: Path, between: bytes) -> None:
    coding = ["-c:v", "mpeg2video", "-c:a", "mp2"]
    one = transport_stream(tmp_path / "one.ts", *coding)
    other = transport_stream(tmp_path / "other.ts", *coding, "-streamid", "0:512", "-streamid", "1:513")
    both = joined(tmp_path / "both.ts", one, other, between=between)
    length = one.stat().st_size
    assert survey(str(one)).behind_byte is None
    assert survey(str(joined(tmp_path / "twice.ts", one, one, between=between))).behind_byte is None
    assert survey(str(both)).behind_byte == pytest.approx(length, abs=max(0.05 * length, 1 << 16))
    assert listen(str(both)).behind_byte == survey(str(both)).behind_byte
    assert sum("another recording begins" in problem for problem in problems_of(both)) == 1


@needs_ffmpeg
@pytest.mark.parametrize(("first", "second"), [("aac", "ac3"), ("ac3", "mp2"), ("mp2", "aac")])
def test_sound_whose_codec_changes_is_told(tmp_path: Path, first: str, second: str) -> None:
    parts = [
        transport_stream(tmp_path / f"{codec}.ts", "-c:v", "mpeg2video", "-c:a", codec)
        for codec in (first, second)
    ]
    found = listen(str(joined(tmp_path / "both.ts", *parts)))
    assert found.mute_from_seconds == pytest.approx(8.0, abs=0.4)
    (note,) = sound_notes(sound_record(found), 1)
    assert f"{first}, 1 channels) decodes from {found.mute_from_seconds:.1f} s on" in note
    assert listen(str(joined(tmp_path / "twice.ts", parts[0], parts[0]))).mute_from_seconds is None


@needs_ffmpeg
def test_pictures_whose_codec_changes_are_told(tmp_path: Path) -> None:
    parts = [
        transport_stream(tmp_path / f"{codec}.ts", "-c:v", codec, "-pix_fmt", "yuv420p", "-c:a", "mp2")
        for codec in ("mpeg2video", "libx264")
    ]
    told = problems_of(joined(tmp_path / "both.ts", *parts))
    assert any(re.search(r"no picture decodes from (7.9|8.0) s on", problem) for problem in told)
    assert not any(
        "no picture" in each for each in problems_of(joined(tmp_path / "twice.ts", *parts[:1] * 2))
    )


def test_a_few_slides_that_the_decoder_holds_to_the_end_are_all_there(tmp_path: Path) -> None:
    slides = range(0, 60, 10)
    path = write_video(
        tmp_path / "slides.mkv", slides, Fraction(1), rate=1, options={"bf": "2", "preset": "ultrafast"}
    )
    assert problems_of(path) == []
