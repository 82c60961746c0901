"""Servers that do not do what they say, and playlists of which nothing is there."""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import time
from pathlib import Path
from random import Random

import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.address import LiveOptions
from svlm_cli.media.live.playlist import best_first, samples, variants
from svlm_cli.media.live.source import open_live
from tests.media import live_servers as servers
from tests.media.live.test_feeds import ffmpeg, segments

SECONDS = 3
SUFFIXES = (".mp4", ".mkv", ".avi", ".ts", ".mpg", ".flv", ".ogv", ".wmv", ".mxf", "")


class Ranges(http.server.BaseHTTPRequestHandler):
    """Files, by parts or whole; says what it likes of it.

    ``honest`` sends parts; ``false`` says so and sends whole files; ``none`` says nothing and sends whole
    files; ``late`` sends the first answer whole, and parts from then on; ``zero`` calls the whole file a
    part; ``close`` says nothing at all, and ends the connection when the file ends.
    """

    protocol_version = "HTTP/1.1"
    folder: Path
    way: str
    log: list[str]
    num_cut = 0

    def do_GET(self) -> None:
        path = self.folder / self.path.strip("/")
        if not path.is_file():
            self.send_error(404)
            return
        body, asked = path.read_bytes(), self.headers.get("Range", "")
        self.log.append(asked)
        sends_parts = self.way == "honest" or (self.way == "late" and len(self.log) > 1)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        begin, end = int(first or 0), int(last or len(body) - 1)
        is_part = sends_parts and bool(asked)
        self.send_response(206 if is_part or (asked and self.way == "zero") else 200)
        if asked and self.way == "zero":
            self.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
        if is_part:
            self.send_header("Content-Range", f"bytes {begin}-{end}/{len(body)}")
            body = body[begin : end + 1]
        if self.way != "close":
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # as libav asks; without a word it goes on to use it
        if self.way not in ("none", "close"):
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        is_cut = len(self.log) <= self.num_cut
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if is_cut else body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path, way: str, *, num_cut: int = 0):
    log: list[str] = []
    server = servers.HttpServer(
        type("Own", (Ranges,), {"folder": folder, "way": way, "log": log, "num_cut": num_cut})
    )
    try:
        yield f"http://127.0.0.1:{server.port}", log
    finally:
        server.stop()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures and sound in all containers, more of them than libav holds."""
    folder = tmp_path_factory.mktemp("films")
    picture = ("-f", "lavfi", "-i", f"nullsrc=s=160x96:r=25:d={SECONDS},geq=random(1)*255:128:128")
    sound = ("-f", "lavfi", "-i", f"sine=d={SECONDS}:r=48000")
    coding = {
        ".mpg": ("-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2"),
        ".mxf": ("-c:v", "mpeg2video", "-q:v", "2", "-c:a", "pcm_s16le"),
        ".ogv": ("-c:v", "libtheora", "-q:v", "9", "-c:a", "libvorbis"),
        ".wmv": ("-c:v", "mpeg4", "-q:v", "2", "-c:a", "wmav2"),
        "": ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-f", "mp4"),
    }
    usual = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv420p", "-c:a", "aac")
    for suffix in SUFFIXES:
        ffmpeg(*picture, *sound, *coding.get(suffix, usual), folder / f"film{suffix}")
        assert (folder / f"film{suffix}").stat().st_size > 1 << 18
    first = ("-c", "copy", "-movflags", "+faststart")
    ffmpeg("-i", folder / "film.mp4", *first, folder / "first.mp4", "-c", "copy", folder / "film.h264")
    return folder


@pytest.mark.parametrize("way", ["honest", "false", "none", "late", "zero"])
def test_a_file_is_read_once_or_told_not_to_be_playable(films: Path, way: str) -> None:
    for name in (*(f"film{suffix}" for suffix in SUFFIXES), "first.mp4"):
        began = time.monotonic()
        with serving(films, way) as (address, log):
            if name in ("film.mp4", "film") and way in ("false", "none", "zero"):
                with pytest.raises(SourceError, match=r"index at its end.*faststart") as caught:
                    open_live(f"{address}/{name}")
                assert ("says that it sends parts" in str(caught.value)) == (way != "none")
                assert len(log) <= 6
            else:
                with open_live(f"{address}/{name}", LiveOptions(reconnect_seconds=2)) as source:
                    assert not source.is_live, name
                    clips = list(source.clips(2, 1.0))
                    assert (len(clips), source.problems) == (SECONDS, []), name
                assert len(log) <= 30, name
        assert time.monotonic() - began < 32, name


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mpg", ".flv", ".avi"])
def test_a_connection_that_breaks_in_a_file_loses_nothing(films: Path, suffix: str) -> None:
    """The server sends whole files, so that it is read from its beginning, and each second is shown once."""
    for way in ("none", "false"):
        with (
            serving(films, way, num_cut=1) as (address, _),
            open_live(f"{address}/film{suffix}", LiveOptions(reconnect_seconds=5)) as source,
        ):
            seconds = [clip.start_seconds for clip in source.clips(2, 1.0)]
            assert seconds == list(map(float, range(SECONDS)))
            assert len([each for each in source.problems if "connecting again" in each]) <= 1


STATING = (".mkv", ".avi", ".flv", ".wmv", ".mxf", "first.mp4")


@pytest.mark.parametrize("name", STATING)
def test_a_file_that_states_its_length_has_ended_when_it_was_shown(films: Path, name: str) -> None:
    """Nobody tells how many bytes there are, so that its end looks like a break."""
    name = name if name == "first.mp4" else f"film{name}"
    for num_cut in (0, 1):
        options = LiveOptions(reconnect_seconds=5)
        with (
            serving(films, "close", num_cut=num_cut) as (address, log),
            open_live(f"{address}/{name}", options) as source,
        ):
            assert not source.is_live
            assert [clip.start_seconds for clip in source.clips(2, 1.0)] == [0.0, 1.0, 2.0]
            assert num_cut or source.problems == []
        assert len(log) <= 8, log


@pytest.mark.parametrize("name", ["film.mkv", "first.mp4"])
def test_a_file_that_always_ends_too_early_ends_once(films: Path, name: str) -> None:
    with (
        serving(films, "close", num_cut=99) as (address, log),
        open_live(f"{address}/{name}", LiveOptions(reconnect_seconds=5)) as source,
    ):
        assert 1 <= len(list(source.clips(2, 1.0))) < SECONDS
        stopped, *_, ended = source.problems
    assert len(log) <= 8
    place = re.search(r"the source stopped at ([\d.]+) s", stopped)
    assert place is not None
    assert f"the source ended at {place[1]} s, of 3.0 s that it states" in ended


@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".h264"])
def test_a_file_without_any_length_is_told_and_not_repeated(films: Path, suffix: str) -> None:
    with serving(films, "close") as (address, log), open_live(f"{address}/film{suffix}") as source:
        clips = source.clips(2, 1.0)
        with pytest.raises(SourceError, match="no broadcast but a file"):
            list(clips)
    assert len(log) <= 8


def test_a_late_index_is_told_where_nothing_is_told(films: Path) -> None:
    with serving(films, "close") as (address, log):
        with pytest.raises(SourceError, match=r"index at its end.*faststart"):
            open_live(f"{address}/film.mp4")
        assert len(log) <= 6


def master(folder: Path, dice: Random) -> tuple[list[str], int]:
    """A list of variants, of some of which nothing is there; the heights of those that are gone."""
    heights = dice.sample([54, 72, 90, 108], 3)
    gone = dice.sample(heights, dice.randrange(1, 3))
    lines = ["#EXTM3U"]
    for height in heights:
        width = height * 16 // 9
        segments(folder, f"v{height}-", f"{width}x{height}")
        times = dice.choice("xX")
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={height},RESOLUTION={width}{times}{height}",
            f"v{height}-.m3u8",
        ]
        if height in gone:
            for each in folder.glob(f"v{height}-*.ts"):
                each.unlink()
    (folder / "master.m3u8").write_text("\n".join(lines) + "\n")
    return [f"{height} lines" for height in gone], max(set(heights) - set(gone))


def test_a_variant_whose_segments_are_gone_gives_way_to_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        gone, best = master(folder, Random(f"gone {seed}"))
        server = servers.file_server(folder)
        caplog.clear()
        began = time.monotonic()
        try:
            with open_live(f"http://127.0.0.1:{server.port}/master.m3u8") as source:
                assert source.info.height == best
        finally:
            server.stop()
        assert time.monotonic() - began < 20
        told = [each for each in caplog.messages if "no segment can be had (HTTP 404)" in each]
        assert len(told) <= len(gone)
        assert all(any(height in each for height in gone) for each in told)


class Refusing(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and no segment of the variants that are named."""

    refused: tuple[str, ...]
    status: int

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if name.startswith(self.refused) and not name.endswith(".m3u8"):
            self.send_error(self.status)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("status", [403, 410, 500, 503])
def test_whatever_keeps_segments_back_the_next_variant_is_shown(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["#EXTM3U"]
    for name, size in (("high", "160x90"), ("low", "96x54")):
        segments(tmp_path, name, size)
        lines += [f"#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION={size}", f"{name}.m3u8"]
    (tmp_path / "master.m3u8").write_text("\n".join(lines) + "\n")
    fields = {"refused": ("high",), "status": status}
    server = servers.HttpServer(functools.partial(type("Own", (Refusing,), fields), directory=str(tmp_path)))
    began = time.monotonic()
    try:
        with open_live(f"http://127.0.0.1:{server.port}/master.m3u8") as source:
            assert source.info.height == 54
        assert f"of the variant of 90 lines no segment can be had (HTTP {status})" in caplog.text
        with pytest.raises(SourceError, match=f"HTTP {status}"):
            open_live(f"http://127.0.0.1:{server.port}/high.m3u8")
    finally:
        server.stop()
    assert time.monotonic() - began < 32


@pytest.mark.parametrize("has_offsets", [True, False])
def test_a_playlist_of_parts_needs_a_server_of_parts(tmp_path: Path, has_offsets: bool) -> None:
    """Without them libav shows the first segment and ends."""
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=20:d=4", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    cut = ("-g", "20", "-f", "hls", "-hls_time", "1", "-hls_flags", "single_file", "-hls_list_size", "0")
    ffmpeg(*picture, *cut, tmp_path / "a.m3u8")
    if not has_offsets:  # which may be left out where parts follow each other
        text = (tmp_path / "a.m3u8").read_text()
        (tmp_path / "a.m3u8").write_text(re.sub(r"(BYTERANGE:\d+)@\d+", r"\1", text))
    for way in ("none", "false", "honest"):
        with serving(tmp_path, way) as (address, _):
            if way == "honest":
                with open_live(f"{address}/a.m3u8") as source:
                    assert len(list(source.clips(2, 1.0))) == 4
            else:
                with pytest.raises(SourceError, match="sends no parts of files"):
                    open_live(f"{address}/a.m3u8")


def test_a_variant_without_what_comes_before_its_segments_gives_way(tmp_path: Path) -> None:
    lines = ["#EXTM3U"]
    for name, size in (("high", "160x90"), ("low", "96x54")):
        video = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=20:d=3", "-c:v", "libx264", "-pix_fmt", "yuv420p")
        parts = ("-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", f"{name}-init.mp4")
        ffmpeg(*video, "-g", "20", "-f", "hls", "-hls_time", "1", *parts, tmp_path / f"{name}.m3u8")
        lines += [f"#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION={size}", f"{name}.m3u8"]
    (tmp_path / "master.m3u8").write_text("\n".join(lines) + "\n")
    (tmp_path / "high-init.mp4").unlink()
    server = servers.file_server(tmp_path)
    try:
        with open_live(f"http://127.0.0.1:{server.port}/master.m3u8") as source:
            assert source.info.height == 54
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["master.m3u8", "v90-.m3u8"])
def test_a_playlist_of_which_nothing_is_there_is_one_error_at_once(tmp_path: Path, name: str) -> None:
    segments(tmp_path, "v90-")
    for each in tmp_path.glob("*.ts"):
        each.unlink()
    lines = ["#EXTM3U", "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=160x90", "v90-.m3u8"]
    (tmp_path / "master.m3u8").write_text("\n".join(lines) + "\n")
    server = servers.file_server(tmp_path)
    began = time.monotonic()
    try:
        with pytest.raises(SourceError, match=r"HTTP 404.*try again later"):
            open_live(f"http://127.0.0.1:{server.port}/{name}")
    finally:
        server.stop()
    assert time.monotonic() - began < 20


def test_of_variants_that_all_fail_the_first_one_is_told(tmp_path: Path) -> None:
    """The last one may be of sound alone, whose error is of no use."""
    ffmpeg("-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac", "-f", "hls", tmp_path / "sound.m3u8")
    (tmp_path / "high.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ntext.ts\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "text.ts").write_text("no pictures\n" * 400)
    lines = ["#EXTM3U", "#EXT-X-STREAM-INF:BANDWIDTH=2000,RESOLUTION=160x90", "high.m3u8"]
    lines += ["#EXT-X-STREAM-INF:BANDWIDTH=1000", "sound.m3u8"]
    (tmp_path / "master.m3u8").write_text("\n".join(lines) + "\n")
    server = servers.file_server(tmp_path)
    try:
        with pytest.raises(SourceError) as caught:
            open_live(f"http://127.0.0.1:{server.port}/master.m3u8")
    finally:
        server.stop()
    assert "sound" not in str(caught.value)


def test_sizes_are_read_however_they_are_written() -> None:
    for times in ("x", "X", " x ", "×"):
        text = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=1280{times}720\na.m3u8\n"
        assert [each.height for each in best_first(variants(text, "http://h/"), 720)] == [720]


def test_what_is_asked_for_of_a_playlist() -> None:
    listed = "".join(f"#EXTINF:1,\n{number}.ts\n" for number in range(9))
    assert samples(f"#EXTM3U\n{listed}", "http://h/") == [f"http://h/{number}.ts" for number in (8, 4, 0)]
    gap = "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-GAP\n#EXTINF:1,\nb.ts\n#EXTINF:1,\nfile:///etc/c.ts\n"
    assert samples(gap, "http://h/") == ["http://h/a.ts"]
    assert samples("#EXTM3U\n", "http://h/") == []
