"""Which picture is on screen when, for every kind of file: pictures carry their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.timeline import Clock
from tests.media.numbered import needs_ffmpeg, number_of, numbers_of, on_screen, probed_times, write_video

B_FRAMES = {"bf": "3", "g": "24", "preset": "ultrafast", "b-adapt": "0", "crf": "10"}
OPEN_GOP = B_FRAMES | {"x264-params": "open-gop=1:keyint=24:scenecut=0"}
VFR = [0, 20, 33, 50, 51, 120, 121, 300, 310, 500, 505, 730, 731, 732, 990, 1000, 1400, 1401, 1700, 1990]
HUNDREDTH = Fraction(1, 100)
FILM = Fraction(1, 24)
Maker = Callable[[Path], Path]


def constant(name: str, rate: int, seconds: int, **more: object) -> Maker:
    ticks = range(rate * seconds)
    return lambda folder: write_video(folder / name, ticks, Fraction(1, rate), rate=rate, **more)  # type: ignore[arg-type]


SMALL_GOP = {"g": "24", "b": "4M"}
FILES: dict[str, Maker] = {
    "mp4 with B-frames": constant("a.mp4", 24, 8, options=B_FRAMES),
    "mp4 with open GOPs": constant("a.mp4", 24, 8, options=OPEN_GOP),
    "ts, not from 0": constant("a.ts", 24, 8, options=B_FRAMES),
    "ts with open GOPs": constant("a.ts", 24, 8, options=OPEN_GOP),
    "mkv": constant("a.mkv", 24, 8, options=B_FRAMES),
    "avi, mpeg4": constant("a.avi", 25, 8, codec="mpeg4", options=SMALL_GOP),
    "avi, mpeg4 with B-frames": constant("a.avi", 25, 8, codec="mpeg4", options=SMALL_GOP | {"bf": "2"}),
    "avi, h264 with B-frames": constant("a.avi", 24, 8, options=B_FRAMES),
    "ts, mpeg-2": constant("a.ts", 25, 8, codec="mpeg2video", options=SMALL_GOP | {"bf": "2"}),
    "avi, mjpeg": constant("a.avi", 25, 4, codec="mjpeg", pixel_format="yuvj420p"),
    "webm, vp8": constant("a.webm", 25, 4, codec="libvpx", options=SMALL_GOP | {"deadline": "realtime"}),
    "mkv, ffv1": constant("a.mkv", 10, 4, codec="ffv1", pixel_format="bgr0"),
    "mpeg-2 program stream": constant("a.mpg", 25, 8, codec="mpeg2video", options=SMALL_GOP | {"bf": "2"}),
    "fragmented mp4": constant(
        "a.mp4", 24, 8, options=B_FRAMES, format_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "6 FPS": constant("a.mp4", 6, 8, options=B_FRAMES),
    "29.97 FPS": lambda folder: write_video(
        folder / "a.mp4",
        [1001 * n for n in range(240)],
        Fraction(1, 30000),
        rate=Fraction(30000, 1001),
        options=B_FRAMES,
    ),
    "variable, mp4": lambda folder: write_video(
        folder / "a.mp4", VFR, HUNDREDTH, rate=100, options={"g": "6", "bf": "2", "b-adapt": "0"}
    ),
    "variable, mkv, from 7 s": lambda folder: write_video(
        folder / "a.mkv", [700 + at for at in VFR], HUNDREDTH, rate=100, options={"g": "6", "bf": "2"}
    ),
    "variable, mp4, from 3 s": lambda folder: write_video(
        folder / "a.mp4", [300 + at for at in VFR], HUNDREDTH, rate=100, options={"g": "6"}
    ),
}  # fmt: skip


@pytest.fixture(params=FILES, ids=str, scope="module")
def numbered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose picture ``n`` carries the number n."""
    return FILES[request.param](tmp_path_factory.mktemp("numbered"))


@needs_ffmpeg
def test_clips_show_what_is_on_screen(numbered: Path) -> None:
    times = probed_times(numbered)
    with open_video(numbered) as reader:
        for fps in (2, 8):
            for clip in reader.clips(fps, 1.0):
                expected = [on_screen(times, clip.start_seconds + k / fps) for k in range(fps)]
                assert numbers_of(clip.frames) == [n % 256 for n in expected]
        assert reader.problems == []


@needs_ffmpeg
def test_starting_anywhere_shows_the_same(numbered: Path) -> None:
    times = probed_times(numbered)
    with open_video(numbered) as reader:
        for start in (0.5, 1.04, 2.96, times[-1] - 0.07):  # 2.96: decoded after, shown before 3.0
            clip = next(reader.clips(4, 0.5, start))
            assert (clip.index, clip.start_seconds) == (0, start)
            assert numbers_of(clip.frames) == [on_screen(times, start + k / 4) % 256 for k in range(2)]


@needs_ffmpeg
def test_frames_at_any_times_in_any_order(numbered: Path) -> None:
    times = probed_times(numbered)
    wanted = np.random.default_rng(0).uniform(-0.5, times[-1] + 0.5, 24)
    wanted = np.concatenate([wanted, times[-2:], times[:2], [wanted[0]]])
    with open_video(numbered) as reader:
        frames = reader.frames_at(wanted)
    assert numbers_of(frames) == [on_screen(times, at) % 256 for at in wanted]


def test_seeking_does_not_read_from_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = constant("long.mp4", 24, 10, options=B_FRAMES)(tmp_path)
    decoded = 0
    decode = PyavPictures._decoded

    def counted(self: PyavPictures, clock: Clock):
        nonlocal decoded
        for item in decode(self, clock):
            decoded += 1
            yield item

    monkeypatch.setattr(PyavPictures, "_decoded", counted)
    with open_video(path) as reader:
        frames = reader.frames_at([8.0, 8.25])
        assert numbers_of(frames) == [192, 198]
        assert decoded < 60
        reader.frames_at([1.0, 8.0])  # apart enough to jump in between
        assert decoded < 150


class LandsAnywhere:
    """A container that jumps to any frame, keyframe or not."""

    def __init__(self, container) -> None:
        self._container = container

    def seek(self, stamp: int, *, stream, backward: bool) -> None:
        self._container.seek(stamp, stream=stream, backward=backward, any_frame=True)

    def __getattr__(self, name: str):
        return getattr(self._container, name)


def test_landing_between_keyframes_shows_nothing_half_decoded(tmp_path: Path) -> None:
    path = constant("v.mp4", 25, 8, codec="mpeg4", options={"g": "100", "bf": "0", "b": "4M"})(tmp_path)
    with open_video(path) as reader:
        expected = reader.frames_at([3.0, 4.1, 7.5])
        backend = reader._backend
        backend._video = replace(backend._video, container=LandsAnywhere(backend._video.container))
        assert np.array_equal(reader.frames_at([3.0, 4.1, 7.5]), expected)


def make(tmp_path: Path, seconds: Fraction | int = 4, rate: int = 20) -> Path:
    ticks = range(int(seconds * rate))
    return write_video(tmp_path / "v.mp4", ticks, Fraction(1, rate), rate=rate, options=B_FRAMES)


def test_a_partial_last_step_holds_the_last_picture(tmp_path: Path) -> None:
    with open_video(make(tmp_path, Fraction(5, 2))) as reader:
        clips = list(reader.clips(4, 1.0))
    assert [(clip.index, clip.start_seconds, clip.end_seconds) for clip in clips] == [
        (0, 0.0, 1.0),
        (1, 1.0, 2.0),
        (2, 2.0, 3.0),
    ]
    assert numbers_of(clips[2].frames) == [40, 45, 49, 49]
    assert all(clip.read_seconds > 0 for clip in clips)


@pytest.mark.parametrize(("num_pictures", "num_clips"), [(21, 1), (22, 2), (20, 1), (40, 2), (41, 2)])
def test_a_step_needs_more_than_a_twentieth_of_a_second(
    tmp_path: Path, num_pictures: int, num_clips: int
) -> None:
    # 20 FPS: 21 pictures last 1.05 s, and 0.05 s is not more than 0.05 s.
    path = write_video(tmp_path / "v.mp4", range(num_pictures), Fraction(1, 20), rate=20)
    with open_video(path) as reader:
        assert len(list(reader.clips(2, 1.0))) == num_clips


@pytest.mark.parametrize(("duration", "num_clips"), [(1.0, 1), (1.2, 2), (2.0, 2), (99.0, 3)])
def test_duration_ends_the_source(tmp_path: Path, duration: float, num_clips: int) -> None:
    with open_video(make(tmp_path)) as reader:
        clips = list(reader.clips(4, 1.0, 1.0, duration))
    assert len(clips) == num_clips
    if duration == 1.2:  # 20 FPS: the picture before 2.2 s is number 43
        assert numbers_of(clips[-1].frames) == [40, 43, 43, 43]


def test_a_start_past_the_end_names_the_length(tmp_path: Path) -> None:
    with open_video(make(tmp_path)) as reader:
        for start in (4.0, 3.96, 100.0):
            with pytest.raises(SourceError, match=r"lasts 4\.00 s"):
                reader.clips(2, 1.0, start)
        assert len(list(reader.clips(2, 1.0, 3.9))) == 1


def test_only_one_pass_lives(tmp_path: Path) -> None:
    with open_video(make(tmp_path)) as reader:
        first, second = reader.clips(2, 1.0), reader.clips(2, 1.0, 1.0)
        assert number_of(next(second).frames[0]) == 20
        with pytest.raises(RuntimeError, match="another was begun"):
            list(first)
    with pytest.raises(RuntimeError, match="closed"):
        list(second)
    reader.close()


@needs_ffmpeg
def test_an_edit_list_hides_pictures(tmp_path: Path) -> None:
    import subprocess

    whole, cut = make(tmp_path, 8), tmp_path / "cut.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-ss", "2.5", "-i", whole, "-c", "copy", cut], check=True)
    with open_video(cut) as reader:
        clips = list(reader.clips(2, 1.0))
    assert numbers_of(clips[0].frames) == [50, 60]
    assert len(clips) == 6


def test_a_recording_whose_clock_was_reset_goes_on(tmp_path: Path) -> None:
    one = constant("one.ts", 20, 3, options=B_FRAMES)(tmp_path).read_bytes()
    twice = tmp_path / "twice.ts"
    twice.write_bytes(one + one)
    with open_video(twice) as reader:
        clips = list(reader.clips(2, 1.0))
    assert len(clips) == 6
    assert numbers_of(clips[4].frames) in ([20, 30], [19, 29], [21, 31])


def test_no_stamps_at_all(tmp_path: Path) -> None:
    path = constant("raw.h264", 25, 4, options=B_FRAMES)(tmp_path)
    with open_video(path) as reader:
        assert [number_of(clip.frames[0]) for clip in reader.clips(2, 1.0)] == [0, 25, 50, 75]
        assert numbers_of(reader.frames_at([3.0, 1.0])) == [75, 25]
