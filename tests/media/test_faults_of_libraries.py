"""Whatever a library raises on bytes from outside is a failure of that item, or stepped over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import av.video.reformatter
import numpy as np
import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.address import LiveOptions
from svlm_cli.media.audio import SAMPLE_RATE, read_sound
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.live.source import open_live
from svlm_cli.media.survey import survey
from svlm_cli.media.timeline import Clock
from svlm_cli.media.web.download import Address, DownloadOptions, look_up
from tests.media.live_servers import paced_server
from tests.media.numbered import numbers_of, overwrite_packets, whole_video, write_video

RAISED = (
    IndexError("list index out of range"),
    ValueError("stream index 7 out of range"),
    OverflowError("int too large"),
    AssertionError(""),
    MemoryError("Could not allocate packet"),
    KeyError("v"),
    av.InvalidDataError(1094995529, "Invalid data found when processing input"),
)


class Faulty:
    """A container whose reading raises after some packets, so many times; what was not read comes then."""

    def __init__(self, container, error: BaseException, after: int, times: int) -> None:
        self._container, self._error, self._after, self._times = container, error, after, times

    def demux(self, *streams) -> Iterator[object]:
        packets = self._container.demux(*streams)
        while True:
            self._after -= 1
            if self._after < 0 < self._times:
                self._times -= 1
                raise self._error
            packet = next(packets, None)
            if packet is None:
                return
            yield packet

    def seek(self, *_: object, **__: object) -> None:
        raise self._error

    def __getattr__(self, name: str):
        return getattr(self._container, name)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch):
    """Makes every container that is opened faulty."""
    plain = av.open

    def spoil(error: BaseException, after: int, times: int) -> None:
        monkeypatch.setattr(av, "open", lambda *a, **k: Faulty(plain(*a, **k), error, after, times))

    return spoil


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_reading_goes_on_behind_a_fault(tmp_path: Path, faulty, error: BaseException) -> None:
    path = whole_video(tmp_path)
    with open_video(path) as reader:
        wanted = [numbers_of(clip.frames) for clip in reader.clips(4, 1.0)]
    faulty(error, 60, 3)
    with open_video(path) as reader:
        assert [numbers_of(clip.frames) for clip in reader.clips(4, 1.0)] == wanted
        assert numbers_of(reader.frames_at([6.0, 1.0])) == [120, 20]  # though it cannot jump
    assert not survey(str(path)).is_cut_off


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_fault_without_end_ends_the_reading(tmp_path: Path, faulty, error: BaseException) -> None:
    path = whole_video(tmp_path)
    faulty(error, 60, 10**9)
    with open_video(path) as reader:
        assert 2 <= len(list(reader.clips(2, 1.0))) <= 3
        assert any("reading stopped" in problem for problem in reader.problems)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_live_source_is_lost_or_read_on(tmp_path: Path, faulty, error: BaseException) -> None:
    body = whole_video(tmp_path, "v.ts", codec="mpeg2video").read_bytes()
    faulty(error, 40, 1)
    server = paced_server(body, 0.1)
    try:
        options = LiveOptions(reconnect_seconds=0)
        with open_live(f"http://127.0.0.1:{server.port}/v.ts", options) as source:
            shown = len(list(source.clips(2, 1.0, duration_seconds=20)))
    finally:
        server.stop()
    assert shown >= 1


def test_what_opening_raises_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = whole_video(tmp_path)
    for error in RAISED:
        monkeypatch.setattr(av, "open", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
        with pytest.raises(SourceError):
            open_video(path)


def test_pictures_that_cannot_be_converted_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stubborn:
        def __init__(self) -> None:
            self._plain, self._calls = plain(), 0

        def reformat(self, *arguments, **options):
            self._calls += 1
            if self._calls == 3:
                raise ValueError("cannot reformat")
            return self._plain.reformat(*arguments, **options)

    plain = av.video.reformatter.VideoReformatter
    path = whole_video(tmp_path)
    monkeypatch.setattr(av.video.reformatter, "VideoReformatter", Stubborn)
    with open_video(path) as reader:
        shown = [number for clip in reader.clips(1, 1.0) for number in numbers_of(clip.frames)]
        assert shown == [0, 20, 20, 60, 80, 100, 120, 140, 160, 180]
        assert any("1 corrupt frame was skipped near 2.0 s" in problem for problem in reader.problems)


def test_stamps_that_claim_years_are_damage_or_a_clock_that_was_set() -> None:
    dice = Random(5)
    for _ in range(200):
        clock = Clock(Fraction(1, 1000), 40)
        stamps = [40 * number for number in range(100)]
        wild = dice.randrange(2, 98)
        stamps[wild] += dice.randrange(3_600_100, 10**18)
        placed = [(clock.place(stamp, 40)[0], clock.is_misplaced) for stamp in stamps]
        assert [seconds for seconds, _ in placed] == [pytest.approx(0.04 * number) for number in range(100)]
        assert [number for number, (_, is_misplaced) in enumerate(placed) if is_misplaced] == [wild]


def test_a_clock_that_was_set_ahead_is_joined_and_told(tmp_path: Path) -> None:
    year = 25 * 86400 * 365
    ticks = [*range(50), *range(year, year + 50)]
    path = write_video(tmp_path / "v.mkv", ticks, Fraction(1, 25), codec="ffv1")
    with open_video(path) as reader:
        clips = list(reader.clips(5, 1.0))
        assert len(clips) == 4
        assert any("clock jumps by +31535" in problem for problem in reader.problems)


def test_no_picture_stays_longer_than_an_hour() -> None:
    clock = Clock(Fraction(1, 1000), 10**12)
    assert clock.place(0, 0)[1] == clock.place(40, 10**15)[1] == 3600


def spoken(path: Path, layout: str = "mono", rate: int = SAMPLE_RATE, jump: int = 0) -> Path:
    """Two seconds of pictures and a tone; the second half ``jump`` seconds later."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        for _ in range(10):
            picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        channels = 1 if layout == "mono" else 2
        for second in range(2):
            wave = np.full((1, rate * channels), 1000 * (second + 1), np.int16)
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = (second + (jump if second else 0)) * rate
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(("layout", "rate"), [("mono", SAMPLE_RATE), ("stereo", 48_000)])
def test_sound_is_read_though_no_picture_can_be_decoded(tmp_path: Path, layout: str, rate: int) -> None:
    path = spoken(tmp_path / "v.mov", layout, rate)
    whole = read_sound(str(path))
    assert len(whole) == pytest.approx(2 * SAMPLE_RATE, abs=100)
    overwrite_packets(path, range(10))
    with pytest.raises(SourceError):
        open_video(path)
    assert np.array_equal(read_sound(str(path)), whole)


def test_silence_in_which_nothing_is_shown_is_not_believed(tmp_path: Path) -> None:
    assert len(read_sound(str(spoken(tmp_path / "near.mkv", jump=9)))) == 11 * SAMPLE_RATE
    for jump in (12, 1800, 86_400 * 365):
        far = read_sound(str(spoken(tmp_path / "far.mkv", jump=jump)))
        assert len(far) == 2 * SAMPLE_RATE
        assert far[SAMPLE_RATE // 2] == 1000
        assert far[SAMPLE_RATE * 3 // 2] == 2000


def test_a_name_that_is_no_text_is_a_file(tmp_path: Path) -> None:
    path = whole_video(tmp_path).rename(tmp_path / os.fsdecode(b"Fu\xdfball.mp4"))
    with open_video(path) as reader:
        assert reader.info.num_frames == 200
        assert reader.name == str(tmp_path / "Fu\ufffdball.mp4")


@pytest.mark.parametrize("facts", [{"extractor_key": "X"}, {"title": {}, "webpage_url": 5}, {}])
def test_odd_facts_of_a_page_are_a_failure_of_that_page(facts: dict[str, object]) -> None:
    with pytest.raises(SourceError):
        look_up(Address("http://127.0.0.1/v", facts=facts), DownloadOptions())
