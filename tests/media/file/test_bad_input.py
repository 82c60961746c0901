"""What cannot be read fails with one clear line, and nothing else is printed."""

from __future__ import annotations

import os
import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import av
import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.audio import read_sound
from svlm_cli.media.file.reader import open_video
from tests.media.numbered import MOOV_FIRST, needs_ffmpeg, overwrite_packets, whole_video, write_video


def bad_text(path: Path) -> None:
    path.write_text("just words, line after line\n" * 100)


def bad_empty(path: Path) -> None:
    path.write_bytes(b"")


def bad_no_index(path: Path) -> None:
    data = whole_video(path.parent, "whole.mp4").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def bad_half_index(path: Path) -> None:
    data = whole_video(path.parent, "whole.mp4", format_options=MOOV_FIRST).read_bytes()
    path.write_bytes(data[:600])


def bad_only_index(path: Path) -> None:
    data = whole_video(path.parent, "whole.mp4", format_options=MOOV_FIRST).read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 8])


def bad_all_corrupt(path: Path) -> None:
    whole_video(path.parent, path.name)
    overwrite_packets(path, range(200))


def bad_no_frames(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()


def bad_sound_only(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))


def bad_still(path: Path) -> None:
    write_video(path, [0], Fraction(1, 25))


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("v.txt", bad_text, "is text"),
        ("v.mp4", bad_text, "not a video"),
        ("v.mp4", bad_empty, "is empty"),
        ("v.mp4", bad_no_index, "is incomplete"),
        ("v.mp4", bad_half_index, "is incomplete"),
        ("v.mp4", bad_only_index, "no picture"),
        ("v.mp4", bad_all_corrupt, "no picture"),
        ("v.mkv", bad_no_frames, "no picture|not a video|no video"),
        ("v.wav", bad_sound_only, "sound only"),
        ("v.mkv", bad_still, "too short"),
        ("missing.mp4", lambda path: None, "no such file"),
        ("folder", Path.mkdir, "is a folder"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, name: str, spoil, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    spoil(path)
    with pytest.raises(SourceError, match=says) as caught, open_video(path) as reader:
        reader.clips(2, 1.0)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@needs_ffmpeg
def test_sound_with_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    inputs = ["-f", "lavfi", "-i", "sine=duration=1", "-f", "lavfi", "-i", "color=size=16x16:duration=0.04"]
    output = [
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "png",
        "-disposition:v",
        "attached_pic",
        "-frames:v",
        "1",
        path,
    ]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, *output], check=True)
    with pytest.raises(SourceError, match="sound only"):
        open_video(path)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = whole_video(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything
    with pytest.raises(SourceError, match="no permission to read"):
        open_video(path)


def test_unknown_backend(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"opencv.*auto, pyav, decord"):
        open_video(tmp_path / "v.mp4", "opencv")


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_video(tmp_path).rename(tmp_path / "http:match 12:30.mp4")
    monkeypatch.chdir(tmp_path)
    with open_video("http:match 12:30.mp4") as reader:
        assert reader.info.num_frames == 200


def test_a_pipe_among_files_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(SourceError, match="is a pipe, not a video file"):
        open_video(tmp_path / "x.mp4")
    with pytest.raises(SourceError, match="is a pipe, not a video file"):
        read_sound(str(tmp_path / "x.mp4"))
