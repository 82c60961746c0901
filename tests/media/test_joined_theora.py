"""Joined Theora: the byte that is told is where the second file begins."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from svlm_cli.media.behind import recording_behind

PICTURES = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=2")


def theora(path: Path, *more: str) -> bytes:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    command = ["ffmpeg", "-v", "error", "-y", *PICTURES, *more, "-c:v", "libtheora", str(path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this ffmpeg has no Theora")
    return path.read_bytes()


@pytest.mark.parametrize("lost", [0, 3000])
@pytest.mark.parametrize("sound", [(), ("-f", "lavfi", "-i", "sine=d=2", "-c:a", "libvorbis")])
def test_the_second_file_is_found(tmp_path: Path, sound: tuple[str, ...], lost: int) -> None:
    whole = theora(tmp_path / "whole.ogv", *sound)
    first = whole[: len(whole) - lost]
    (tmp_path / "joined.ogv").write_bytes(first + whole)
    assert recording_behind(str(tmp_path / "joined.ogv"), "ogg", 0) == len(first)
    (tmp_path / "first.ogv").write_bytes(first)
    assert recording_behind(str(tmp_path / "first.ogv"), "ogg", 0) is None


def test_two_tracks_of_one_file_are_no_second_file(tmp_path: Path) -> None:
    theora(tmp_path / "two.ogv", *PICTURES, "-map", "0", "-map", "1")
    assert recording_behind(str(tmp_path / "two.ogv"), "ogg", 0) is None
