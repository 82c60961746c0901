"""Damaged files are read as far as they go, and say so; hopeless ones fail with one clear line."""

from __future__ import annotations

import os
import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import av
import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.damage import Damage
from svlm_cli.media.reader import VideoReader, open_video
from tests.media.numbered import needs_ffmpeg, numbers_of, write_video

RATE = 20
MOOV_FIRST = {"movflags": "faststart"}


def whole_video(folder: Path, name: str = "v.mp4", **more: object) -> Path:
    options = {"g": "20", "bf": "0", "preset": "ultrafast", "crf": "10"}
    return write_video(folder / name, range(200), Fraction(1, RATE), rate=RATE, options=options, **more)  # type: ignore[arg-type]


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Position and size in the file of every packet."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def overwrite_packets(path: Path, numbers: range, keep: float = 0.0) -> None:
    """Replace the data of some packets, from a fraction of their length on, but not their container."""
    places = packet_places(path)
    data = bytearray(path.read_bytes())
    for number in numbers:
        position, size = places[number]
        kept = int(size * keep)
        data[position + kept : position + size] = b"\xff" * (size - kept)
    path.write_bytes(data)


def read_all(reader: VideoReader) -> list[int]:
    return [number for clip in reader.clips(4, 1.0) for number in numbers_of(clip.frames)]


def test_corrupt_frames_are_skipped_counted_and_named(tmp_path: Path) -> None:
    path = whole_video(tmp_path)
    overwrite_packets(path, range(44, 60))  # 2.2 s to the next keyframe at 3.0 s
    with open_video(path) as reader:
        shown = read_all(reader)
        assert reader.num_corrupt >= 16
        (problem,) = reader.problems
    assert len(shown) == 40
    assert shown[:9] == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    assert shown[9:12] == [43, 43, 43]  # the last good picture stays
    assert shown[12:] == list(range(60, 200, 5))
    assert problem.startswith(f"{reader.num_corrupt} corrupt frames were skipped near 2.")


def test_a_picture_that_the_decoder_had_to_patch_up_is_skipped_too(tmp_path: Path) -> None:
    path = whole_video(tmp_path)
    overwrite_packets(path, range(45, 181, 20), keep=0.5)
    with open_video(path) as reader:
        shown = read_all(reader)
        assert 1 <= reader.num_corrupt <= 7
        assert len(reader.problems) == 1
    assert len(shown) == 40


def test_jumping_onto_a_damaged_keyframe_shows_the_picture_before_it(tmp_path: Path) -> None:
    path = whole_video(tmp_path)
    overwrite_packets(path, range(60, 61), keep=0.5)
    with open_video(path) as reader:
        assert numbers_of(reader.frames_at([3.0])) == [59]
        assert reader.num_corrupt == 1


def test_an_undamaged_file_has_no_problems(tmp_path: Path) -> None:
    with open_video(whole_video(tmp_path)) as reader:
        assert read_all(reader) == list(range(0, 200, 5))
        assert (reader.num_corrupt, reader.problems) == (0, [])


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    path = whole_video(tmp_path, name, format_options=MOOV_FIRST if name == "v.mp4" else None)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_video(path) as reader:
        assert reader.problems == []
        shown = read_all(reader)
        (problem,) = reader.problems
    assert 12 <= len(shown) <= 28
    assert shown == sorted(shown)
    assert shown[:10] == list(range(0, 50, 5))
    assert problem.startswith("the file ends early: ")
    assert problem.endswith(" of 10.0 seconds could be read")


def test_starting_past_a_truncation(tmp_path: Path) -> None:
    path = whole_video(tmp_path, format_options=MOOV_FIRST)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_video(path) as reader, pytest.raises(SourceError, match="nothing at 9 s"):
        reader.clips(2, 1.0, 9.0)


def test_an_avi_knows_its_length_from_its_header(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", range(100), Fraction(1, 25), codec="mpeg4", options={"b": "4M"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_video(path) as reader:
        assert reader.info.duration_seconds == 4.0
        shown = read_all(reader)
        (problem,) = reader.problems
    assert 4 <= len(shown) <= 12
    assert problem.endswith(" of 4.0 seconds could be read")


def test_a_cut_in_a_frame_is_seen_where_the_whole_length_is_unknown(tmp_path: Path) -> None:
    path = whole_video(tmp_path, format_options={"movflags": "frag_keyframe+empty_moov"})
    position, size = packet_places(path)[99]  # the last one of the fifth fragment
    path.write_bytes(path.read_bytes()[: position + size - 1])
    with open_video(path) as reader:
        assert read_all(reader) == list(range(0, 100, 5))
        assert reader.problems == ["the file ends in the middle of a frame, at 5.0 s"]


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


def test_sentences() -> None:
    damage = Damage()
    assert damage.problems(10.0) == []
    for seconds in (2.11, 2.14, 3.0, 4.0):
        damage.add_corrupt(seconds)
    damage.end_seconds, damage.stopped_by = 9.7, "Input/output error"
    assert damage.problems(10.0) == [
        "4 corrupt frames were skipped near 2.1, 3.0, ... s; the last good picture was shown instead",
        "reading stopped at 9.7 s: Input/output error",
    ]
    damage.end_seconds = 4.2
    assert "the file ends early: 4.2 of 10.0 seconds could be read" in damage.problems(10.0)
    assert len(damage.problems(None)) == 2
