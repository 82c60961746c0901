"""What live feeds do and servers cannot: variants, renditions that stop, packets that never decode."""

from __future__ import annotations

import contextlib
import functools
import http.server
import random
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from svlm_cli.errors import SourceError, SourceLostError
from svlm_cli.media.address import LiveOptions
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.live.glimpse import glimpse
from svlm_cli.media.live.playlist import best_first, variants
from svlm_cli.media.live.source import open_live
from tests.media import live_servers as servers

SEGMENTS = 8
BARREN_SECONDS, PIECE = 10, 188 * 20


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([servers.need_ffmpeg(), "-v", "error", "-y", *map(str, arguments)], check=True)


def segments(folder: Path, name: str, size: str = "160x90", *coding: str) -> Path:
    """Half a second of MPEG-TS each, with a key picture; brightness tells which one it is."""
    picture = f"nullsrc=size={size}:rate=20:d={SEGMENTS / 2},geq=lum='floor(T*2)*20+40':cb=128:cr=128"
    cut = ("-f", "hls", "-hls_time", "0.5", "-hls_list_size", "0", "-hls_segment_filename")
    video = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-bf", "0", *coding)
    ffmpeg("-f", "lavfi", "-i", picture, *video, *cut, folder / f"{name}%d.ts", folder / f"{name}.m3u8")
    return folder / f"{name}.m3u8"


class Asked(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and notes what is asked for; a playlist lists what is out by now."""

    log: list[str]
    began: float
    stalled: frozenset[str] = frozenset()

    def do_GET(self) -> None:
        self.log.append(self.path.rpartition("/")[2])
        name = self.log[-1]
        if name.endswith(".m3u8") and name != "master.m3u8":
            out = 3 if name in self.stalled else 3 + int(2 * (time.monotonic() - self.began))
            self.answer(live_playlist(Path(self.directory) / name, min(out, SEGMENTS)))
        else:
            super().do_GET()

    def answer(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def live_playlist(path: Path, num_out: int) -> str:
    """The first segments of a playlist, without an end until all are out."""
    lines = path.read_text().splitlines()
    places = [number for number, line in enumerate(lines) if line.endswith(".ts")]
    kept = lines[: places[num_out - 1] + 1]
    return "\n".join(kept + (["#EXT-X-ENDLIST"] if num_out == len(places) else [])) + "\n"


def asked_server(folder: Path, **more: Any) -> tuple[servers.HttpServer, list[str]]:
    log: list[str] = []
    own = type("Own", (Asked,), {"log": log, "began": time.monotonic(), **more})
    return servers.HttpServer(functools.partial(own, directory=str(folder))), log


def test_one_variant_is_taken_and_no_other_is_downloaded(tmp_path: Path) -> None:
    sizes = {"low": "96x54", "high": "320x180", "mid": "160x90"}
    lines = ["#EXTM3U", '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en",DEFAULT=YES,URI="sound.m3u8"']
    for name, size in sizes.items():
        segments(tmp_path, name, size)
        bits = len(name) * 1000
        lines += [f'#EXT-X-STREAM-INF:BANDWIDTH={bits},RESOLUTION={size},AUDIO="a"', f"{name}.m3u8"]
    (tmp_path / "master.m3u8").write_text("\n".join(lines) + "\n")
    server, log = asked_server(tmp_path)
    try:
        address = f"http://127.0.0.1:{server.port}/master.m3u8"
        with open_live(address, LiveOptions(max_height=100)) as source:
            assert (source.info.width, source.info.height) == (160, 90)
            assert len(list(source.clips(2, 1.0, duration_seconds=1.0))) == 1
    finally:
        server.stop()
    assert {re.sub(r"\d*\..*", "", name) for name in log} == {"master", "mid"}


def test_a_rendition_that_stops_does_not_hold_the_pictures_up(tmp_path: Path) -> None:
    """The address does not say that it is a playlist, so that libav sees all of it."""
    for name, size in (("low", "96x54"), ("high", "160x90")):
        segments(tmp_path, name, size)
    lines = ["#EXTM3U", "#EXT-X-STREAM-INF:BANDWIDTH=1000,RESOLUTION=96x54", "low.m3u8"]
    lines += ["#EXT-X-STREAM-INF:BANDWIDTH=2000,RESOLUTION=160x90", "high.m3u8"]
    (tmp_path / "master").write_text("\n".join(lines) + "\n")
    server, log = asked_server(tmp_path, stalled=frozenset({"low.m3u8"}))
    try:
        began = time.monotonic()
        with open_live(f"http://127.0.0.1:{server.port}/master", LiveOptions(stall_seconds=3)) as source:
            assert source.info.height == 90
            clips = list(source.clips(2, 1.0))
            assert source.problems == []
        assert len(clips) >= 2
        assert time.monotonic() - began < 25
    finally:
        server.stop()
    assert f"high{SEGMENTS - 1}.ts" in log


@pytest.mark.parametrize("seed", range(3))
def test_the_best_variant_by_a_plain_reading(seed: int) -> None:
    """Against the definition: no fitting variant is higher, and of its height none has more bits."""
    dice = random.Random(seed)
    listed = [(dice.choice([0, 180, 360, 540, 720, 1080]), dice.randrange(1, 9) * 100) for _ in range(6)]
    text = "#EXTM3U\n"
    for number, (height, bits) in enumerate(listed):
        size = f",RESOLUTION={height * 16 // 9}x{height}" if height else ',CODECS="mp4a.40.2"'
        text += f'#EXT-X-STREAM-INF:NAME="a,b",BANDWIDTH={bits}{size}\n\n# a remark\n'
        text += f"v{number}/x.m3u8?t={number}\n"
    found = best_first(variants(text, "https://host/live/master.m3u8?k=1"), 540)
    known = [each for each in listed if each[0]]
    fitting = [each for each in known if each[0] <= 540]
    best = max(fitting) if fitting else min(known, key=lambda each: (each[0], -each[1]))
    number = listed.index(best)
    assert found[0].url == urljoin("https://host/live/", f"v{number}/x.m3u8?t={number}")
    assert len(found) == len(known)


def test_what_is_no_master_has_no_variants() -> None:
    assert variants("#EXTM3U\n#EXTINF:2,\na.ts\n", "http://h/x.m3u8") == []
    assert variants("<html>#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8</html>", "http://h/x.m3u8") == []
    two = variants(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\na.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=8\nb.m3u8", "http://h/"
    )
    assert [each.url for each in best_first(two, 720)] == ["http://h/a.m3u8", "http://h/b.m3u8"]


def test_of_a_master_playlist_on_the_disk_the_best_is_read(tmp_path: Path) -> None:
    lines = ["#EXTM3U"]
    for name, size in (("low", "96x54"), ("high", "160x90"), ("mid", "128x72")):
        segments(tmp_path, name, size)
        lines += [f"#EXT-X-STREAM-INF:BANDWIDTH=1000,RESOLUTION={size}", f"{name}.m3u8"]
    (tmp_path / "master.m3u8").write_text("\n".join(lines) + "\n")
    with open_video(tmp_path / "master.m3u8") as reader:
        assert reader.frames_at([1.2]).shape == (1, 90, 160, 3)


def test_a_variant_that_is_gone_gives_way_to_the_next(tmp_path: Path) -> None:
    segments(tmp_path, "low", "96x54")
    lines = ["#EXTM3U", "#EXT-X-STREAM-INF:BANDWIDTH=2000,RESOLUTION=160x90", "gone/high.m3u8"]
    lines += ["#EXT-X-STREAM-INF:BANDWIDTH=1000,RESOLUTION=96x54", "low.m3u8"]
    (tmp_path / "master.m3u8").write_text("\n".join(lines) + "\n")
    server = servers.file_server(tmp_path)
    try:
        with open_live(f"http://127.0.0.1:{server.port}/master.m3u8") as source:
            assert source.info.height == 54
    finally:
        server.stop()


def test_a_master_opens_no_file_of_this_machine_and_a_bad_address_costs_itself_alone(tmp_path: Path) -> None:
    """A server may list what it likes: only what is fetched from a server is a variant."""
    secret, served = tmp_path / "secret", tmp_path / "served"
    for folder in (secret, served):
        folder.mkdir()
        segments(folder, "low", "96x54")
    local = (secret / "low.m3u8").as_posix()
    listed = [f"file://{local}", f"FILE:{local}", "http://[::1", "https://", "udp://127.0.0.1:9"]
    dice = random.Random(5)
    dice.shuffle(listed)
    lines = ["#EXTM3U"]
    for place in listed:
        lines += ["#EXT-X-STREAM-INF:BANDWIDTH=9000,RESOLUTION=1280x720", place]
    (served / "bad.m3u8").write_text("\n".join(lines) + "\n")
    lines += ["#EXT-X-STREAM-INF:BANDWIDTH=1000,RESOLUTION=96x54", "low.m3u8"]
    (served / "good.m3u8").write_text("\n".join(lines) + "\n")
    server = servers.file_server(served)
    base = f"http://127.0.0.1:{server.port}"
    try:
        assert [each.url for each in variants("\n".join(lines), f"{base}/x.m3u8")] == [f"{base}/low.m3u8"]
        with open_live(f"{base}/good.m3u8") as source:
            assert source.info.height == 54
        with pytest.raises(SourceError):
            open_live(f"{base}/bad.m3u8")
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["http://[::1", "https://[", "rtsp://[::1/x"])
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    with pytest.raises(SourceError):
        open_live(address)


class Barren(http.server.BaseHTTPRequestHandler):
    """MPEG-TS at five times its pace, to each who asks another one; the last one to all who come later."""

    bodies: list[bytes]
    log: list[float]

    def do_GET(self) -> None:
        self.log.append(time.monotonic())
        body = self.bodies[min(len(self.log), len(self.bodies)) - 1]
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        with contextlib.suppress(OSError):
            for start in range(0, len(body), PIECE):
                self.wfile.write(body[start : start + PIECE])
                time.sleep(BARREN_SECONDS / 5 * PIECE / len(body))

    def log_message(self, *_: object) -> None:
        pass


def barren_server(folder: Path, *kinds: str, num_good: int = 1) -> tuple[servers.HttpServer, list[float]]:
    """Answers with each of ``good``, ``turns`` (good for some seconds) and ``bad`` in turn."""
    picture = f"testsrc2=size=96x54:rate=40:d={BARREN_SECONDS}"
    coding = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-bf", "0", "-f", "mpegts")
    ffmpeg("-f", "lavfi", "-i", picture, *coding, folder / "good.ts")
    good = (folder / "good.ts").read_bytes()
    # The header of every slice names a parameter set that was never sent: packets stay as they are.
    bad = re.sub(b"(\x00\x00\x01[\x65\x41\x61\x01\x21])..", rb"\g<1>" + b"\x01\x55", good, flags=re.DOTALL)
    assert len(bad) == len(good) != 0
    assert bad != good
    turn = num_good * len(good) // BARREN_SECONDS
    made = {"good": good, "bad": bad, "turns": good[:turn] + bad[turn:]}
    log: list[float] = []
    fields = {"bodies": [made[kind] for kind in kinds], "log": log}
    return servers.HttpServer(type("Own", (Barren,), fields)), log


def test_a_feed_that_never_decodes_is_connected_again(tmp_path: Path) -> None:
    server, _ = barren_server(tmp_path, "turns", "bad", "good")
    options = LiveOptions(stall_seconds=1.0, reconnect_seconds=30)
    told: list[str] = []
    try:
        with open_live(f"http://127.0.0.1:{server.port}/x.ts", options) as source:
            for clip in source.clips(2, 0.5, duration_seconds=60.0):
                told = source.problems
                if any("is back" in each for each in told) and clip.index:
                    break
    finally:
        server.stop()
    told = [each for each in told if "damaged" not in each]
    assert "nothing of 1 s could be decoded" in told[0]
    assert re.search(r"is back after [\d.]+ s, 2 tries", told[1])  # not before a picture was shown
    assert len(told) == 2


def test_pauses_grow_until_a_picture_is_shown(tmp_path: Path) -> None:
    """A server that takes every connection and sends nothing that decodes is given up in time."""
    server, log = barren_server(tmp_path, "turns", "bad")
    options = LiveOptions(stall_seconds=0.5, reconnect_seconds=4)
    try:
        with open_live(f"http://127.0.0.1:{server.port}/x.ts", options) as source:
            with pytest.raises(SourceLostError, match="did not come back within 4 s"):
                list(source.clips(2, 0.5, duration_seconds=60.0))
            assert not any("is back" in each for each in source.problems)
            assert sum("connecting again" in each for each in source.problems) == 1
    finally:
        server.stop()
    assert len(log) <= 6


@pytest.mark.parametrize("name", ["late.mp4", "late"])
def test_a_server_that_cannot_serve_a_file_so_is_told_at_once(tmp_path: Path, name: str) -> None:
    noise = "nullsrc=size=320x180:rate=25:d=4,geq=random(1)*255:128:128"
    coding = ("-c:v", "libx264", "-preset", "ultrafast", "-f", "mp4")
    ffmpeg("-f", "lavfi", "-i", noise, *coding, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 1 << 20
    server, log = asked_server(tmp_path)
    began = time.monotonic()
    try:
        with pytest.raises(SourceError, match=r"index at its end.*no parts.*faststart"):
            open_live(f"http://127.0.0.1:{server.port}/{name}")
    finally:
        server.stop()
    assert len(log) <= 3
    assert time.monotonic() - began < 20


def test_dash_is_told_apart_from_damage() -> None:
    with pytest.raises(SourceError, match=r"reads no DASH.*mpegts"):
        open_live("http://127.0.0.1:1/live/manifest.mpd?token=1")


def test_a_file_with_its_index_first_is_played_without_parts(tmp_path: Path) -> None:
    noise = "nullsrc=size=320x180:rate=25:d=2,geq=random(1)*255:128:128"
    first = ("-movflags", "+faststart", tmp_path / "first.mp4")
    ffmpeg("-f", "lavfi", "-i", noise, "-c:v", "libx264", "-preset", "ultrafast", *first)
    server, _ = asked_server(tmp_path)
    try:
        with open_live(f"http://127.0.0.1:{server.port}/first.mp4") as source:
            assert len(list(source.clips(2, 1.0))) == 2
    finally:
        server.stop()


def test_a_glimpse_keeps_the_password_for_its_own_server() -> None:
    seen: list[str | None] = []

    class Guarded(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(302 if self.path == "/a" else 200)
            if self.path == "/a":
                self.send_header("Location", "/b")
            self.send_header("Set-Cookie", "k=1; path=/")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = servers.HttpServer(Guarded)
    try:
        found = glimpse(f"http://me:s%40cret@127.0.0.1:{server.port}/a", {}, 3.0, 10)
    finally:
        server.stop()
    assert found is not None
    assert found.url == f"http://me:s%40cret@127.0.0.1:{server.port}/b"
    assert found.cookies == "k=1; path=/"
    assert seen == ["Basic bWU6c0BjcmV0"] * 2
    assert glimpse("http://127.0.0.1:1/x", {}, 1.0, 10) is None
