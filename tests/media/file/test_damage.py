"""Damaged files are read as far as they go, and say so."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.file.damage import Damage
from svlm_cli.media.file.reader import VideoReader, open_video
from tests.media.numbered import (
    MOOV_FIRST,
    numbers_of,
    overwrite_packets,
    packet_places,
    whole_video,
    write_video,
)


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
