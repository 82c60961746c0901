"""What broadcasts do to those who watch them: other sizes, clocks that jump, damage, pages around a video."""

from __future__ import annotations

import gc
import itertools
import math
import random
import re
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.address import LiveOptions
from svlm_cli.media.live.packets import Connection
from svlm_cli.media.live.source import LiveSource, open_live
from svlm_cli.types import Clip
from tests.media import live_servers as servers
from tests.media.live.test_feeds import barren_server

SECONDS = 6


def encoded(folder: Path, name: str, picture: str, *options: str, suffix: str = ".ts") -> bytes:
    """Seconds of H.264, in MPEG-TS, a keyframe every second."""
    path = folder / f"{name}{suffix}"
    run = [servers.need_ffmpeg(), "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-t", str(SECONDS)]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0"]
    subprocess.run([*run, *coding, *options, str(path)], check=True)
    return path.read_bytes()


def counting(size: str = "320x240") -> str:
    return f"nullsrc=size={size}:rate=25,geq=lum='floor(T)*8+20':cb=128:cr=128"


def watch(body: bytes, seconds: float) -> tuple[list[Clip], LiveSource]:
    server = servers.paced_server(body, seconds)
    try:
        options = LiveOptions(reconnect_seconds=0, stall_seconds=5)
        with open_live(f"http://127.0.0.1:{server.port}/x.ts", options) as source:
            return list(source.clips(2, 1.0)), source
    finally:
        server.stop()


def seconds_shown(clips: list[Clip]) -> list[int]:
    """Which second of its recording each clip shows, by its brightness."""
    luma = [float(clip.frames[0].mean()) * 219 / 255 + 16 for clip in clips]
    return [round((level - 20) / 8) for level in luma]


def test_another_size_in_mid_stream_is_scaled_to_the_first(tmp_path: Path) -> None:
    body = encoded(tmp_path, "small", counting()) + encoded(
        tmp_path, "large", counting("640x360"), "-output_ts_offset", str(SECONDS)
    )
    clips, _ = watch(body, 4)
    assert len(clips) >= 2 * SECONDS - 2
    assert {clip.frames.shape[1:] for clip in clips} == {(240, 320, 3)}
    assert seconds_shown(clips)[-SECONDS:] == list(range(SECONDS))


@pytest.mark.parametrize("offset", [90_000, 0])
def test_a_clock_that_jumps_leaves_no_gap(tmp_path: Path, offset: int) -> None:
    """Forward by a day, or back to where it began."""
    body = encoded(tmp_path, "first", counting()) + encoded(
        tmp_path, "second", counting(), "-output_ts_offset", str(offset)
    )
    clips, source = watch(body, 4)
    starts = [clip.start_seconds for clip in clips]
    assert starts == [float(k) for k in range(len(starts))]
    assert len(starts) >= 2 * SECONDS - 2
    assert seconds_shown(clips)[-SECONDS + 1 :] == list(range(1, SECONDS))
    assert any("clock jumped" in problem for problem in source.problems)


def test_fragments_that_start_again_are_shown(tmp_path: Path) -> None:
    """As where an advertisement has a clock of its own; libav hides the first of them."""
    options = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
    body = b"".join(encoded(tmp_path, name, counting(), *options, suffix=".mp4") for name in ("a", "b"))
    clips, source = watch(body, 4)
    halves = [replace(clip, frames=clip.frames[1:]) for clip in clips]
    assert seconds_shown(halves)[-SECONDS - 1 :] == [SECONDS - 1, *range(SECONDS)]
    assert any("clock jumped" in problem for problem in source.problems)


def test_a_burst_of_damage_is_stepped_over_and_told(tmp_path: Path) -> None:
    noise = "testsrc2=size=320x240:rate=25"
    body = bytearray(encoded(tmp_path, "noisy", noise))
    fate = random.Random(4)
    start = len(body) // 3
    for position in range(start, start + len(body) // 6):
        if fate.random() < 0.02:
            body[position] = fate.randrange(256)
    clips, source = watch(bytes(body), 3)
    starts = [clip.start_seconds for clip in clips]
    assert starts == [float(k) for k in range(len(starts))]
    assert len(starts) >= SECONDS - 2
    assert any("damaged picture" in problem for problem in source.problems)
    whole, _ = watch(encoded(tmp_path, "whole", noise), 3)
    last, intact = clips[-1].frames[0].astype(int), whole[-1].frames[0].astype(int)
    if len(clips) == len(whole):
        assert np.abs(last - intact).mean() < 8  # behind the damage pictures are whole again


def test_packets_without_times_follow_each_other(tmp_path: Path) -> None:
    """A raw H.264 stream has no times at all."""
    path = tmp_path / "raw.h264"
    body = encoded(tmp_path, "timed", counting())
    (tmp_path / "timed.ts").write_bytes(body)
    copy = [servers.need_ffmpeg(), "-v", "error", "-i", str(tmp_path / "timed.ts"), "-c", "copy", str(path)]
    subprocess.run(copy, check=True)
    clips, _ = watch(path.read_bytes(), 3)
    starts = [clip.start_seconds for clip in clips]
    assert starts == [float(k) for k in range(len(starts))]
    shown = seconds_shown(clips)
    assert all(later >= earlier for earlier, later in itertools.pairwise(shown))
    assert shown[-1] >= SECONDS - 2


def test_a_page_with_a_video_is_resolved(tmp_path: Path) -> None:
    """yt-dlp finds the video of a page; the address of the page stays the name."""
    (tmp_path / "match.mp4").write_bytes(servers.broadcast_file(tmp_path / "x.mp4").read_bytes())
    page = "<html><title>Match</title><video src='match.mp4' type='video/mp4'></video></html>"
    (tmp_path / "watch.html").write_text(page)
    server = servers.file_server(tmp_path)
    try:
        address = f"http://127.0.0.1:{server.port}/watch.html"
        with open_live(address) as source:
            assert source.name == address
            assert not source.is_live
            clips = list(source.clips(2, 1.0, 3.0, 4.0))
    finally:
        server.stop()
    assert [clip.start_seconds for clip in clips] == [3.0, 4.0, 5.0, 6.0]
    assert seconds_shown(clips) == [3, 4, 5, 6]


def test_a_live_playlist_behind_a_page_is_resolved(tmp_path: Path) -> None:
    file = servers.broadcast_file(tmp_path / "x.mp4")
    sender = servers.hls_sender(file, tmp_path / "live")
    page = (
        "<html><title>Live</title><video><source src='live.m3u8' type='application/x-mpegURL'></video></html>"
    )
    (tmp_path / "live" / "watch.html").write_text(page)
    server = servers.file_server(tmp_path / "live")
    try:
        servers.wait_for(tmp_path / "live" / "live.m3u8")
        with open_live(f"http://127.0.0.1:{server.port}/watch.html") as source:
            assert source.is_live
            clips = list(source.clips(2, 1.0, 0.0, 3.0))
    finally:
        sender.stop()
        server.stop()
    assert [clip.start_seconds for clip in clips] == [0.0, 1.0, 2.0]


def test_a_source_that_is_not_there_yet_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = servers.broadcast_file(tmp_path / "x.mp4")
    ts = tmp_path / "x.ts"
    subprocess.run([servers.need_ffmpeg(), "-v", "error", "-i", str(file), "-c", "copy", str(ts)], check=True)
    port = servers.free_port()
    address = f"http://127.0.0.1:{port}/x.ts"
    with pytest.raises(SourceError):
        open_live(address, LiveOptions(opening_seconds=0.0))
    began: list[servers.HttpServer] = []
    timer = threading.Timer(1.0, lambda: began.append(servers.ts_server(ts, port)))
    timer.start()
    try:
        with open_live(address, LiveOptions(opening_seconds=math.inf)) as source:
            assert len(list(source.clips(2, 1.0, duration_seconds=1.0))) == 1
    finally:
        timer.join()
        began[0].stop()
    assert "is not there yet" in caplog.text
    assert "waiting for it" in caplog.text


@pytest.mark.parametrize("num_good", [0, 1, 5])
def test_where_nothing_decodes_is_told_on_the_clock_of_what_is_shown(tmp_path: Path, num_good: int) -> None:
    """And not by the packets that have come since."""
    server, _ = barren_server(tmp_path, "turns" if num_good else "bad", "good", num_good=num_good)
    ends, stopped = [0.0], ""
    try:
        options = LiveOptions(stall_seconds=2.0, reconnect_seconds=30)
        with open_live(f"http://127.0.0.1:{server.port}/x.ts", options) as source:
            for clip in source.clips(2, 0.5, duration_seconds=60.0):
                told = [each for each in source.problems if "connecting again" in each]
                if told:
                    stopped = told[0]
                    break
                ends.append(clip.end_seconds)
    finally:
        server.stop()
    if not num_good:
        assert "the source stopped before anything was shown (nothing of 2 s could be decoded)" in stopped
        return
    place = re.search(r"stopped at ([\d.]+) s \(nothing of 2 s could be decoded\)", stopped)
    assert place is not None
    assert float(place[1]) == pytest.approx(ends[-1], abs=0.6)


def test_a_closed_source_lets_go_of_its_decoder(tmp_path):
    """At once: where channels come and go, each decoder has threads."""
    body = encoded(tmp_path, "short", counting())
    gc.collect()
    gc.disable()
    try:
        clips, source = watch(body, 2)  # which is held, as by a channel that has ended
        assert len(clips) >= SECONDS - 1
        assert source.num_reconnects == 0
        assert not [each for each in gc.get_objects() if type(each) is Connection]
    finally:
        gc.enable()
