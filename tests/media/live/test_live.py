"""Live sources of real servers on loopback, each cut in mid-stream and restored.

What is broadcast says which second it is (``live_servers.broadcast_file``), and the wall clock says when each
clip came: both are independent of the times that the source gives its clips. The servers run side by side.
"""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.errors import SourceError, SourceLostError
from svlm_cli.media.address import LiveOptions, is_live_address
from svlm_cli.media.live import connecting
from svlm_cli.media.live.source import LiveSource, open_live
from svlm_cli.settings import Pace, StreamSettings
from svlm_cli.stream.pacing import PlayClock
from tests.media import live_servers as servers

CUT_AFTER, AWAY, STALL = 4.0, 3.0, 2.0
LATE_SECONDS = 2.8  # of a busy machine; a stream that waited for its source would be later by AWAY and more
KINDS = ("http", "hls", "rtsp", "udp")


@dataclass
class Seen:
    """What came of a broadcast: (start, level, wall seconds) of each clip, and what was told."""

    clips: list[tuple[float, float, float]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    cut_at: float = 0.0


class Broadcaster:
    """A server of one kind at one address, which can be taken away and put back."""

    def __init__(self, kind: str, folder: Path, file: Path, ts: Path) -> None:
        self.kind = kind
        udp = kind == "udp"
        port = servers.free_port(servers.socket.SOCK_DGRAM if udp else servers.socket.SOCK_STREAM)
        self._web = None
        if kind == "hls":
            (folder / "live").mkdir()
            self._web = servers.file_server(folder / "live")
            self.address = f"http://127.0.0.1:{self._web.port}/live.m3u8"
        else:
            scheme = "http" if kind == "http" else kind
            self.address = f"{scheme}://127.0.0.1:{port}" + ("" if udp else "/live")
            self.address += {"http": ".ts", "rtmp": "/x"}.get(kind, "")
        make: dict[str, Callable[[], servers.Process | servers.HttpServer]] = {
            "http": partial(servers.ts_server, ts, port),
            "hls": partial(servers.hls_sender, file, folder / "live"),
            "rtsp": partial(servers.rtsp_server, port),
            "rtmp": partial(servers.sender, file, "-f", "flv", "-listen", "1", self.address),
            "udp": partial(servers.sender, file, "-f", "mpegts", f"{self.address}?pkt_size=1316"),
        }
        self._make = make[kind]
        self._server = self._make()

    def cut(self) -> None:
        self._server.stop()

    def restore(self) -> None:
        self._server = self._make()

    def stop(self) -> None:
        self._server.stop()
        if self._web is not None:
            self._web.stop()


def watch(broadcaster: Broadcaster, seconds: float) -> Seen:
    """Look on for a while; the server is away for a part of it."""
    seen = Seen()
    options = LiveOptions(stall_seconds=STALL, reconnect_seconds=30)

    def cut() -> None:
        time.sleep(CUT_AFTER)
        seen.cut_at = time.monotonic()
        broadcaster.cut()
        time.sleep(AWAY)
        broadcaster.restore()

    with opened(broadcaster.address, options) as source:
        clock = PlayClock(StreamSettings(pace=Pace.REALTIME))
        cutter = threading.Thread(target=cut)
        for clip in source.clips(4, 1.0, 0.0, seconds, clock):
            if clip.index == 0:
                cutter.start()
                clock.hold(clip.end_seconds, float("inf"))
            level = float(clip.frames[0, :, :100].mean())
            seen.clips.append((clip.start_seconds, level, time.monotonic()))
        seen.told = source.problems
    cutter.join()
    return seen


def opened(address: str, options: LiveOptions):
    """Servers take a moment to come up."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return open_live(address, options)
        except SourceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("broadcast")
    file = servers.broadcast_file(folder / "count.mp4")
    ts = folder / "count.ts"
    command = [servers.need_ffmpeg(), "-v", "error", "-i", str(file), "-c", "copy", str(ts)]
    subprocess.run(command, check=True)
    return file, ts


@pytest.fixture(scope="module")
def watched(files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Seen]]]:
    with ThreadPoolExecutor(len(KINDS)) as pool:

        def run(kind: str) -> Seen:
            broadcaster = Broadcaster(kind, tmp_path_factory.mktemp(kind), *files)
            try:
                return watch(broadcaster, 20.0)
            finally:
                broadcaster.stop()

        yield {kind: pool.submit(run, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_was_cut_goes_on(watched: dict[str, Future[Seen]], kind: str) -> None:
    seen = watched[kind].result(120)
    starts = [start for start, _, _ in seen.clips]
    gaps = [(a, b) for a, b in itertools.pairwise(starts) if b - a > 1.5]
    assert starts[0] == 0.0
    assert starts == sorted(set(starts))
    assert len(gaps) == 1, starts
    last_before, first_after = gaps[0]
    told = " | ".join(seen.told)
    assert "the source stopped at" in told
    assert "the source is back after" in told
    # Nothing is lost before the gap, and time goes on behind it: by the wall clock every clip came when it
    # should, counted from the first.
    zero = seen.clips[0][2] - 1.0
    assert [start for start in starts if start <= last_before] == list(np.arange(last_before + 1))
    for start, _, came in seen.clips:
        if start != last_before or kind == "http":  # a silent loss is noticed once it is a stall
            late = came - zero - (start + 1)
            # What a server has at hand comes at once: segments of HLS.
            assert (-6 if kind == "hls" else -2) <= late <= LATE_SECONDS, (start, seen)
    assert first_after + 1 <= 20
    assert AWAY - 1.1 <= first_after - last_before <= AWAY + 11


@pytest.mark.parametrize("kind", ["http", "hls", "udp"])
def test_pictures_are_those_of_their_second(watched: dict[str, Future[Seen]], kind: str) -> None:
    """The broadcast counts seconds; between two neighbouring clips it must count one."""
    seen = watched[kind].result(120)
    num_checked = 0
    is_back = False  # a broadcast that is back begins within a step
    for (start, level, _), (next_start, next_level, _) in itertools.pairwise(seen.clips):
        was_back, is_back = is_back, next_start - start > 1
        if not is_back and not was_back:
            change = round((next_level - level) / (servers.LEVELS_A_SECOND * 255 / 219))  # limited range luma
            assert change in (1, 1 - servers.BROADCAST_SECONDS), (start, seen)
            num_checked += 1
    assert num_checked >= 6


def look_on(source: LiveSource, at_second_clip: Callable[[], None]) -> None:
    for clip in source.clips(2, 1.0):
        if clip.index == 1:
            at_second_clip()


def test_a_source_that_does_not_come_back_ends_with_a_clear_error(files, tmp_path: Path) -> None:
    broadcaster = Broadcaster("http", tmp_path, *files)
    source = opened(broadcaster.address, LiveOptions(stall_seconds=1, reconnect_seconds=1.5))
    lost = r"stopped at .* did not come back within 1\.5 s: .*refused"
    with source, pytest.raises(SourceLostError, match=lost):
        look_on(source, broadcaster.stop)


def test_what_falls_silent_counts_as_lost(files, tmp_path: Path) -> None:
    """A server that keeps its connection and sends nothing more."""
    broadcaster = Broadcaster("rtsp", tmp_path, *files)
    try:
        source = opened(broadcaster.address, LiveOptions(stall_seconds=1, reconnect_seconds=0.5))
        with source, pytest.raises(SourceLostError):
            look_on(source, broadcaster._server.freeze)
        assert any("stopped at" in problem and "1 s" in problem for problem in source.problems)
    finally:
        broadcaster._server.go_on()
        broadcaster.stop()


def test_rtmp_is_streamed(files, tmp_path: Path) -> None:
    broadcaster = Broadcaster("rtmp", tmp_path, *files)
    try:
        with opened(broadcaster.address, LiveOptions()) as source:
            assert source.is_live
            starts = [clip.start_seconds for clip in source.clips(4, 1.0, 0.0, 4.0)]
    finally:
        broadcaster.stop()
    assert starts == [0.0, 1.0, 2.0, 3.0]


def test_nobody_there_is_told_at_once() -> None:
    port = servers.free_port()
    with pytest.raises(SourceError, match="does not speak this protocol"):
        open_live(f"srt://127.0.0.1:{port}")
    for address in (f"http://127.0.0.1:{port}/live.m3u8", f"rtsp://127.0.0.1:{port}/live"):
        with pytest.raises(SourceError, match="refused"):
            open_live(address)


def test_a_pipe_is_streamed_and_its_end_is_an_end(files) -> None:
    command = [servers.need_ffmpeg(), "-v", "error", "-re", "-i", str(files[1]), "-t", "5"]
    with subprocess.Popen([*command, "-c", "copy", "-f", "mpegts", "-"], stdout=subprocess.PIPE) as sent:
        done = subprocess.run(
            [sys.executable, "-m", "svlm_cli", "stream", "-", "--json", "--quiet"],
            stdin=sent.stdout,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    events = done.stdout.splitlines()
    assert '"pace": "realtime"' in events[0]
    assert sum('"type": "step"' in event for event in events) in (5, 6)  # copied up to a keyframe
    assert '"type": "end"' in events[-1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("match.mp4", False),
        ("C:\\match.mp4", False),
        ("arena:soccer", False),
        ("file:///x.mp4", False),
        ("-", True),
        ("camera:0", True),
        ("/dev/video1", True),
        ("RTSP://host/x", True),
        ("https://host/x.m3u8", True),
        ("http:", False),
    ],
)
def test_what_is_live(source: str, expected: bool) -> None:
    assert is_live_address(source) is expected


def test_a_camera_that_is_not_there_is_told() -> None:
    with pytest.raises(SourceError, match="cannot open camera:97: No such file"):
        open_live("camera:97")


def test_a_password_is_not_shown() -> None:
    port = servers.free_port()
    with pytest.raises(SourceError, match="refused") as refused:
        open_live(f"rtsp://me:secret@127.0.0.1:{port}/live?user=a@b")
    assert "secret" not in str(refused.value)
    assert f"rtsp://me:***@127.0.0.1:{port}/live?user=a@b" in str(refused.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_never_answers_can_be_left_at_once(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x.ts"
        command = [sys.executable, "-m", "svlm_cli", "stream", address]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = silent.accept()
            process.send_signal(number)
            _, talk = process.communicate(timeout=12)  # libav would wait for 20 seconds
            connection.close()
    assert process.returncode == 128 + number
    assert "Traceback" not in talk


def test_a_server_that_does_not_answer_in_time_is_told(monkeypatch) -> None:
    monkeypatch.setattr(connecting, "OPEN_SECONDS", 0.5)
    monkeypatch.setattr(connecting, "SHORTEST_PATIENCE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x.ts"
        with pytest.raises(SourceError, match="no answer in time"):
            open_live(address)


def test_a_closed_playlist_is_an_end_and_no_alarm(files, tmp_path: Path) -> None:
    broadcaster = Broadcaster("hls", tmp_path, *files)
    playlist = tmp_path / "live" / "live.m3u8"
    try:
        with opened(broadcaster.address, LiveOptions(stall_seconds=4)) as source:
            for clip in source.clips(2, 1.0):
                if clip.index == 2:
                    broadcaster.cut()
                    playlist.write_text(playlist.read_text() + "#EXT-X-ENDLIST\n")
        assert clip.index >= 2
        assert source.problems == []
    finally:
        broadcaster.stop()
