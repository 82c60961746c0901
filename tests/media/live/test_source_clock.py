"""A source's own clocks: stretches of stamps, the dates of a playlist, the reports of an RTSP sender.

Broadcasts on loopback say when they are by their pictures (``live_servers``) and by this machine's clock.
"""

from __future__ import annotations

import random
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest

from svlm_cli.media.address import LiveOptions
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.live.dates import first_stamp, newest_dated
from svlm_cli.media.live.source_clock import WRAP_SECONDS, SourceClock
from svlm_cli.types import ClockKind
from svlm_cli.utc import is_moment, now_text, utc_seconds, utc_text
from tests.media import live_servers as servers
from tests.media.live.test_live import opened


@pytest.mark.parametrize("seed", range(5))
def test_moments_are_what_the_calendar_says(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(200):
        milliseconds = rng.randrange(253_000_000_000_000)
        text = utc_text(milliseconds / 1000)
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        assert round(moment.timestamp() * 1000) == milliseconds
        assert utc_seconds(text) == pytest.approx(milliseconds / 1000, abs=1e-6)
    assert abs((utc_seconds(now_text()) or 0) - time.time()) < 1
    assert utc_seconds("2026-11-29T16:15:00.000+0530") == utc_seconds("2026-11-29T10:45:00Z")
    assert [utc_seconds(text) for text in ("", "yesterday", "2026-13-01T00:00:00Z")] == [None] * 3
    assert not is_moment(-1)
    assert not is_moment(float("nan"))
    assert not is_moment(1e300)


@pytest.mark.parametrize("seed", range(20))
def test_every_place_has_the_stamp_and_the_utc_of_its_own_stretch(seed: int) -> None:
    """Stretches of random stamps; each is dated by a stamp that may have wrapped any number of times."""
    rng = random.Random(seed)
    clock, place, truth = SourceClock(), 0.0, []
    assert clock.at(0.0) is None
    for number in range(5):
        offset, utc_less_pts = rng.uniform(-2e4, 2e4), rng.uniform(2e9, 3e9)
        first = place
        for _ in range(rng.randrange(2, 20)):
            clock.note(place, offset)
            place += rng.uniform(0.02, 1.0)
        assert clock.num_stretches == number + 1
        assert clock.at(place).utc_seconds is None
        behind = rng.uniform(-60, 60)
        pts = place - offset + behind
        assert clock.date(pts + WRAP_SECONDS * rng.randrange(-2, 3), pts + utc_less_pts)
        assert not clock.date(pts + WRAP_SECONDS / 2, 1e9)
        truth.append((first, place, offset, utc_less_pts))
    for first, last, offset, utc_less_pts in truth:
        told = clock.at(rng.uniform(first, last - 0.02))
        assert told is not None
        assert told.kind is ClockKind.PROGRAM_DATE_TIME
        assert told.utc_seconds - told.pts_seconds == pytest.approx(utc_less_pts, abs=1e-3)
        assert clock.at(first).pts_seconds == pytest.approx(first - offset)


def test_reports_of_a_sender_are_followed_and_nonsense_is_left_out() -> None:
    clock = SourceClock()
    for second in range(100):
        drift = 0.0 if second < 50 else 0.2
        clock.note(float(second), -7.0, 2e9 + second + drift + random.Random(second).uniform(-0.001, 0.001))
        clock.note(second + 0.5, -7.0, 1e300)
    early, late = clock.at(20.0), clock.at(80.0)
    assert early is not None
    assert late is not None
    assert early.kind is ClockKind.RTCP
    assert (early.pts_seconds, early.utc_seconds) == (27.0, pytest.approx(2e9 + 20, abs=0.01))
    assert late.utc_seconds == pytest.approx(2e9 + 80.2, abs=0.01)


PLAYLIST = """#EXTM3U
#EXT-X-MAP:URI="init.mp4"
#EXTINF:2.5,
#EXT-X-PROGRAM-DATE-TIME:2026-11-29T16:25:23.000+0000
a.mp4
#EXTINF:2,
b.mp4
"""


def test_the_newest_dated_segment_of_a_playlist() -> None:
    base = "http://host/x/live.m3u8"
    found = newest_dated(PLAYLIST, base)
    assert found is not None
    assert (found.url, found.header_url) == ("http://host/x/b.mp4", "http://host/x/init.mp4")
    assert utc_text(found.utc_seconds) == "2026-11-29T16:25:25.500Z"
    broken = newest_dated(f"{PLAYLIST}#EXT-X-DISCONTINUITY\n#EXTINF:2,\nc.mp4\n", base)
    assert broken == found  # of the next clock nothing is known
    assert newest_dated(f'#EXT-X-KEY:METHOD=AES-128,URI="k"\n{PLAYLIST}', base) is None
    assert newest_dated(PLAYLIST.replace("b.mp4", "file:///etc/passwd"), base).url.endswith("a.mp4")
    assert newest_dated("nonsense\n#EXTINF:x,\n", base) is None
    assert first_stamp(b"") is None
    assert first_stamp(random.Random(1).randbytes(5000)) is None


@pytest.mark.parametrize("suffix", ["ts", "mp4"])
def test_the_first_stamp_of_a_segment_cut_short(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    flags = ["-movflags", "frag_keyframe+empty_moov"] if suffix == "mp4" else ["-output_ts_offset", "1000"]
    picture = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-t", "4"]
    command = [servers.need_ffmpeg(), "-v", "error", *picture, "-c:v", "libx264", "-g", "25", *flags]
    subprocess.run([*command, str(path)], check=True)
    with av.open(str(path)) as container:
        packet = next(container.demux(video=0))
        assert first_stamp(path.read_bytes()[:40_000]) == pytest.approx(float(packet.pts * packet.time_base))


def test_a_file_tells_its_stamps_and_its_own_creation_time(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10", "-t", "3"]
    made = ["-metadata", "creation_time=2026-05-01T10:00:00Z", "-output_ts_offset", "5"]
    subprocess.run([servers.need_ffmpeg(), "-v", "error", *picture, *made, str(path)], check=True)
    with open_video(str(path)) as source:
        times = [clip.source_time for clip in source.clips(2, 1.0)]
    assert [utc_text(each.utc_seconds) for each in times] == [f"2026-05-01T10:00:0{n}.000Z" for n in range(3)]
    assert {each.kind for each in times} == {ClockKind.FILE}
    with av.open(str(path)) as container:
        first = next(container.decode(video=0))
    assert [each.pts_seconds for each in times] == pytest.approx([first.time + n for n in range(3)])


def test_a_live_playlist_tells_its_dates_and_stamps(tmp_path: Path) -> None:
    """The pictures count the seconds since the sender began: so do the dates and the stamps."""
    file = servers.broadcast_file(tmp_path / "x.mp4")
    folder = tmp_path / "live"
    folder.mkdir()
    options = ("-hls_time", "1", "-hls_list_size", "6", "-hls_flags", "delete_segments+program_date_time")
    began = time.time()
    sender = servers.sender(file, "-f", "hls", *options, str(folder / "live.m3u8"))
    web = servers.file_server(folder)
    try:
        servers.wait_for(folder / "live.m3u8")
        with opened(f"http://127.0.0.1:{web.port}/live.m3u8", LiveOptions()) as source:
            clips = list(source.clips(2, 1.0, 30.0, 3.0))
    finally:
        sender.stop()
        web.stop()
    for clip in clips:
        told, level = clip.source_time, float(clip.frames[0, :, :100].mean()) * 219 / 255 + 16
        counted = (level - 20) / servers.LEVELS_A_SECOND  # whole seconds
        assert told is not None
        assert told.kind is ClockKind.PROGRAM_DATE_TIME
        assert told.pts_seconds - 1.4 == pytest.approx(counted, abs=1.1)  # ffmpeg's TS begins at 1.4
        assert told.utc_seconds - began == pytest.approx(counted, abs=2.5)
    assert clips[2].source_time.utc_seconds - clips[0].source_time.utc_seconds == pytest.approx(2.0, abs=0.01)


def test_an_rtsp_sender_reports_its_time() -> None:
    port = servers.free_port()
    server = servers.rtsp_server(port)
    try:
        with opened(f"rtsp://127.0.0.1:{port}/live", LiveOptions()) as source:
            for clip in source.clips(2, 1.0, duration_seconds=30.0):  # reports come by chance
                told, now = clip.source_time, time.time()
                if told is not None and told.kind is not None:
                    break
    finally:
        server.stop()
    assert told is not None
    assert told.kind is ClockKind.RTCP
    assert now - told.utc_seconds == pytest.approx(1.5, abs=1.5)
