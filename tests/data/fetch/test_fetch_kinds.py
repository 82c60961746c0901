"""What fetch takes of a folder, and what it keeps of a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.data.fetch.folder import expand, fetch_all
from svlm_cli.data.fetch.one import FetchOptions
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.web.download import DownloadOptions, _entry_address

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
SILENT = FetchOptions(download=DownloadOptions(with_audio=False))


def film(path: Path, *more: object, seconds: int = 4, streams: str = "va") -> Path:
    inputs = {"v": f"testsrc2=s=64x36:r=25:d={seconds}", "w": f"testsrc=s=96x54:r=25:d={seconds}"}
    command: list[object] = ["ffmpeg", "-v", "error", "-y"]
    for each in streams:
        command += ["-f", "lavfi", "-i", inputs.get(each, f"sine=d={seconds}")]
    for number in range(len(streams)):
        command += ["-map", number]
    command += ["-pix_fmt", "yuv420p", *more, path]
    subprocess.run([str(each) for each in command], check=True)
    return path


def pictures(path: Path) -> np.ndarray:
    with open_video(path) as reader:
        return np.concatenate([clip.frames for clip in reader.clips(5, 1.0)])


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "ts"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_pictures_alone_are_the_pictures(tmp_path: Path, suffix: str, b_frames: int) -> None:
    options = ["-c:v", "libx264", "-preset", "veryfast", "-bf", b_frames, "-c:a", "aac"]
    path = film(tmp_path / f"x.{suffix}", *options)
    (result,) = fetch_all([str(path)], tmp_path / "m", SILENT)
    kept = tmp_path / "m" / result.video.path
    assert (result.video.has_audio, result.video.duration_seconds) == (False, 4.0)
    with av.open(str(kept)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert np.array_equal(pictures(kept), pictures(path))


@pytest.mark.parametrize(
    ("suffix", "coding"),
    [
        (
            "ogv",
            ["-c:v", "libtheora", "-c:a", "libvorbis"],
        ),  # which PyAV's libav decodes, and does not encode
        ("wmv", ["-c:v", "wmv2", "-c:a", "wmav2"]),
        ("flv", ["-c:v", "libx264", "-preset", "veryfast", "-bf", 2, "-c:a", "aac"]),
        ("m2ts", ["-c:v", "mpeg2video", "-bf", 2, "-c:a", "ac3"]),
        ("vob", ["-c:v", "mpeg2video", "-bf", 2, "-c:a", "mp2"]),
    ],
)
def test_pictures_alone_in_other_containers(tmp_path: Path, suffix: str, coding: list[object]) -> None:
    path = film(tmp_path / f"x.{suffix}", *coding)
    (result,) = fetch_all([str(path)], tmp_path / "m", SILENT)
    assert (result.problem, result.video.has_audio) == ("", False)
    assert np.array_equal(pictures(tmp_path / "m" / result.video.path), pictures(path))


def test_the_line_of_the_field(tmp_path: Path) -> None:
    """libx264's own B-frames, whose first packets have no decoding time in Matroska."""
    path = film(tmp_path / "x.mkv", "-c:v", "libx264", "-c:a", "aac", seconds=12)
    (result,) = fetch_all([str(path)], tmp_path / "m", SILENT)
    assert result.video.duration_seconds == 12.0
    assert np.array_equal(pictures(tmp_path / "m" / result.video.path), pictures(path))


def test_the_pictures_that_are_shown_are_kept(tmp_path: Path) -> None:
    """Of two video tracks the second is the default one."""
    disposition = ["-disposition:v:0", 0, "-disposition:v:1", "default", "-c:a", "aac"]
    path = film(tmp_path / "x.mkv", *disposition, streams="vwa")
    (result,) = fetch_all([str(path)], tmp_path / "m", SILENT)
    assert (result.video.width, result.video.height) == (96, 54)
    assert np.array_equal(pictures(tmp_path / "m" / result.video.path), pictures(path))


def test_one_sound_is_kept_alone(tmp_path: Path) -> None:
    tags = ["-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng", "-c:a", "aac"]
    path = film(tmp_path / "x.mkv", *tags, streams="vaa")
    wanted = FetchOptions(download=DownloadOptions(audio_track="en"))
    (result,) = fetch_all([str(path)], tmp_path / "m", wanted)
    with av.open(str(tmp_path / "m" / result.video.path)) as container:
        assert [stream.language for stream in container.streams.audio] == ["eng"]
    assert np.array_equal(pictures(tmp_path / "m" / result.video.path), pictures(path))
    (result,) = fetch_all(
        [str(path)], tmp_path / "n", FetchOptions(download=DownloadOptions(audio_track="fr"))
    )
    assert "there is no sound track fr; there is track 1 (deu" in result.problem


KINDS = {
    "A.MTS": ("-c:v", "libx264", "-f", "mpegts"),
    "b.m2ts": ("-c:v", "mpeg2video"),
    "c.mxf": ("-c:v", "mpeg2video", "-ar", 48000, "-c:a", "pcm_s16le"),
    "d.wmv": (),
    "e.vob": ("-c:v", "mpeg2video", "-f", "vob"),
    "f.recording": ("-c:v", "libx264", "-f", "mpegts"),
    "nosuffix": ("-c:v", "libx264", "-f", "matroska"),
}


@pytest.mark.parametrize("options", [FetchOptions(), SILENT], ids=["as they are", "pictures alone"])
def test_a_folder_is_all_that_libav_demuxes(tmp_path: Path, options: FetchOptions) -> None:
    folder = tmp_path / "recordings"
    (folder / "more").mkdir(parents=True)
    for name, how in KINDS.items():
        film(folder / name, *how, seconds=2)
    for name in ("notes.txt", "cover.jpg", "words.srt", "odd.thing", ".hidden.mp4"):
        (folder / name).write_text("no video\n")
    left_out: dict[str, list[str]] = {}
    found = expand([str(folder)], left_out.__setitem__)
    assert [Path(each).name for each in found] == sorted(KINDS)
    assert left_out == {str(folder): ["cover.jpg", "more/", "notes.txt", "odd.thing", "words.srt"]}
    results = list(fetch_all(found, tmp_path / "m", options))
    assert not [result.problem for result in results if result.problem]
    assert {result.video.title for result in results} == {Path(name).stem for name in KINDS}
    for result in results:
        assert result.video.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_one_bad_entry_ends_nothing(tmp_path: Path) -> None:
    good = film(tmp_path / "good.mp4", seconds=2)
    (tmp_path / "torn.MTS").write_bytes(b"\x47" + bytes(5000))
    (tmp_path / "empty").mkdir()
    bad = [str(tmp_path / "torn.MTS"), str(tmp_path / "empty"), "x" * 5000, "nul\0byte.mp4", "arena:chess"]
    results = {each.source: each for each in fetch_all(expand([*bad, str(good)]), tmp_path / "m")}
    assert results[str(good)].video is not None
    assert all(results[source].problem for source in bad)


def test_an_entry_of_a_playlist_without_an_address_is_one_of_its_own() -> None:
    assert _entry_address({"_type": "url", "id": "7"}, "http://x/list").url == "http://x/list#7"
