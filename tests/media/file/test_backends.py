"""Both backends show the same pictures, or decord is refused; nothing heavy is imported early."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.source import Source
from tests.media.numbered import needs_ffmpeg, overwrite_packets, whole_video, write_video
from tests.media.test_times import FILES

REFUSED = {
    "mp4 with open GOPs",
    "ts, not from 0",
    "ts with open GOPs",
    "ts, mpeg-2",
    "avi, h264 with B-frames",
    "avi, mpeg4 with B-frames",
    "mpeg-2 program stream",
}


@pytest.fixture
def decord() -> None:
    pytest.importorskip("decord", reason="decord has no wheel for this platform")


@pytest.mark.usefixtures("decord")
@pytest.mark.parametrize("kind", sorted(FILES.keys() - REFUSED))
def test_backends_agree(tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tmp_path)
    with open_video(path, "pyav") as one, open_video(path, "decord") as other:
        assert one.info == other.info
        pairs = zip(one.clips(8, 1.0, 0.5), other.clips(8, 1.0, 0.5), strict=True)
        for ours, theirs in pairs:
            assert ours.start_seconds == theirs.start_seconds
            assert np.array_equal(ours.frames, theirs.frames)
        times = np.random.default_rng(1).uniform(-1, 9, 16)
        assert np.array_equal(one.frames_at(times), other.frames_at(times))


@pytest.mark.usefixtures("decord")
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_decord_turns_pictures_too(tmp_path: Path, degrees: int) -> None:
    path = write_video(
        tmp_path / "v.mp4", range(20), Fraction(1, 20), rate=20, rotation=(degrees, False, False)
    )
    with open_video(path, "pyav") as one, open_video(path, "decord") as other:
        assert np.array_equal(one.frames_at([0.0, 0.5]), other.frames_at([0.0, 0.5]))


@pytest.mark.usefixtures("decord")
@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_decord_is_refused_where_its_times_are_wrong(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"decord cannot.*pyav"):
        open_video(FILES[kind](tmp_path), "decord")


@pytest.mark.usefixtures("decord")
def test_decord_is_refused_for_mirrored_pictures(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", range(20), Fraction(1, 20), rate=20, rotation=(0, True, False))
    with pytest.raises(SourceError, match=r"upright.*pyav"):
        open_video(path, "decord")


@pytest.mark.usefixtures("decord")
@needs_ffmpeg
def test_decord_is_refused_for_edit_lists(tmp_path: Path) -> None:
    whole, cut = whole_video(tmp_path), tmp_path / "cut.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-ss", "2.5", "-i", whole, "-c", "copy", cut], check=True)
    with pytest.raises(SourceError, match=r"exact times.*pyav"):
        open_video(cut, "decord")


@pytest.mark.usefixtures("decord")
def test_decord_raises_at_a_corrupt_frame(tmp_path: Path) -> None:
    path = whole_video(tmp_path)
    overwrite_packets(path, range(44, 60))
    # decord decodes ahead: the error comes at the frame, before it, or when opening.
    with pytest.raises(SourceError, match="pyav"), open_video(path, "decord") as reader:
        list(reader.clips(4, 1.0))


def test_without_decord_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = whole_video(tmp_path)
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(SourceError, match="not installed"):
        open_video(path, "decord")
    with open_video(path) as reader:
        assert isinstance(reader._backend, PyavPictures)


def test_a_reader_is_a_source(tmp_path: Path) -> None:
    path = whole_video(tmp_path)
    with open_video(path) as reader:
        assert isinstance(reader, Source)
        assert (reader.name, reader.is_live) == (str(path), False)
        info = reader.info
    assert (info.width, info.height, info.fps, info.duration_seconds) == (128, 48, 20.0, 10.0)
    assert (info.has_audio, info.codec, info.num_frames) == (False, "h264", 200)


def test_importing_is_cheap_and_quiet() -> None:
    script = (
        "import sys\n"
        "from svlm_cli.media.file import decord_reader, pyav_reader, reader\n"
        "print({'av', 'decord', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")
