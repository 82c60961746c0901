"""A minute of every kind of live feed that goes wrong, all of them at once, on loopback.

Pictures are as bright as their second, so that each step tells when what it shows was sent.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from svlm_cli import LiveOptions, SourceError, open_source
from tests.media import live_servers as servers

pytestmark = pytest.mark.slow
SECONDS, RATE, LEVEL, WINDOW = 60, 10, 2.5, 5
SENT = SECONDS + 20
ADVERTISEMENT = range(25, 40)
OUTAGE = (20.0, 30.0)
OPTIONS = LiveOptions(stall_seconds=4, reconnect_seconds=30)


def ffmpeg(*arguments: object) -> None:
    subprocess.run([servers.need_ffmpeg(), "-v", "error", "-y", *map(str, arguments)], check=True)


def pictures(size: str, *coding: object) -> list[object]:
    shown = f"color=s=32x18:r={RATE}:d={SENT},geq=lum='20+floor(T)*{LEVEL}':cb=128:cr=128,scale={size}"
    coder = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", 10, "-g", RATE, "-pix_fmt", "yuv420p")
    return ["-f", "lavfi", "-i", shown, *coder, *(coding or ("-bf", 0))]


def hls(folder: Path, name: str, *made: object, kind: str = "mpegts") -> None:
    """Segments of a second each, ``NAME0.ts`` and so on, or fragments of MP4 and their ``NAME.init``."""
    suffix = "ts" if kind == "mpegts" else "m4s"
    options = ("-f", "hls", "-hls_time", 1, "-hls_list_size", 0, "-hls_segment_type", kind)
    named = (
        "-hls_fmp4_init_filename",
        f"{name}.init",
        "-hls_segment_filename",
        folder / f"{name}%d.{suffix}",
    )
    ffmpeg(*made, *options, *named, folder / f"{name}.full")


@dataclass
class Feed:
    """A live playlist: what it lists by the second in which that was sent.

    Args:
        segment: the lines of a second.
        stops: from which second on it does not grow.
    """

    segment: Callable[[int], str]
    stops: float = float("inf")


@dataclass
class Station:
    folder: Path
    feeds: dict[str, Feed]
    files: dict[str, str] = field(default_factory=dict)
    gone: Callable[[str, float], bool] = lambda _name, _at: False
    began: float = field(default_factory=time.monotonic)
    log: list[str] = field(default_factory=list)


class Live(http.server.SimpleHTTPRequestHandler):
    station: Station

    def do_GET(self) -> None:
        name, at = self.path.lstrip("/"), time.monotonic() - self.station.began
        self.station.log.append(name)
        if self.station.gone(name, at):
            self.send_error(404)
        elif name in self.station.files:
            self.answer(self.station.files[name])
        elif name in self.station.feeds:
            self.answer(self.listed(self.station.feeds[name], at))
        else:
            super().do_GET()

    def listed(self, feed: Feed, at: float) -> str:
        last = WINDOW + int(min(at, feed.stops))
        first = last - WINDOW
        head = f"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        return head + "".join(feed.segment(second) for second in range(first, last))

    def answer(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def plain(name: str) -> Callable[[int], str]:
    return lambda second: f"#EXTINF:1,\n{name}{second}.ts\n"


def interrupted(second: int) -> str:
    """The programme, and an advertisement of another size with an initialisation of its own."""
    name = "ad" if second in ADVERTISEMENT else "show"
    turns = second in (ADVERTISEMENT.start, ADVERTISEMENT.stop)
    mark = "#EXT-X-DISCONTINUITY\n" if turns else ""
    return f'{mark}#EXT-X-MAP:URI="{name}.init"\n#EXTINF:1,\n{name}{second}.m4s\n'


class Paced(http.server.BaseHTTPRequestHandler):
    """MPEG-TS at its own pace; in an outage nobody answers, or what is sent does not decode."""

    body: bytes
    began: float
    answers: bool

    def do_GET(self) -> None:
        if self.is_out() and not self.answers:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        with contextlib.suppress(OSError):
            at = self.place()
            while at < len(self.body) and (self.answers or not self.is_out()):
                until = self.place()
                piece = self.body[at:until]
                if self.is_out():  # the header of every slice names a parameter set that was never sent
                    piece = re.sub(
                        b"(\x00\x00\x01[\x65\x41\x61\x01\x21])..",
                        rb"\g<1>" + b"\x01\x55",
                        piece,
                        flags=re.DOTALL,
                    )
                self.wfile.write(piece)
                at = max(at, until)
                time.sleep(0.05)

    def is_out(self) -> bool:
        return OUTAGE[0] <= time.monotonic() - self.began < OUTAGE[1]

    def place(self) -> int:
        share = (3 + time.monotonic() - self.began) / SENT
        return int(len(self.body) // 188 * min(1.0, share)) * 188

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Seen:
    """What came of a minute: for each step the second that it shows, and what was told."""

    size: tuple[int, int]
    shown: list[int]
    problems: list[str]
    wall_seconds: float
    downloads: list[str]


def watch(address: str, options: LiveOptions = OPTIONS) -> Seen:
    began = time.monotonic()
    with open_source(address, options) as source:
        shown = [
            round((float(np.median(clip.frames[..., 1])) / 1.164 - 4) / LEVEL)
            for clip in source.clips(2, 1.0, duration_seconds=SECONDS)
        ]
        size = (source.info.width, source.info.height)
        return Seen(size, shown, source.problems, time.monotonic() - began, [])


def rendition(name: str, size: str, bits: int, more: str = "") -> str:
    return f"#EXT-X-STREAM-INF:BANDWIDTH={bits},RESOLUTION={size}{more}\n{name}.m3u8\n"


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    folder = tmp_path_factory.mktemp("live")
    sizes = {"low": "320x180", "mid": "640x360", "high": "1280x720"}
    for name, size in sizes.items():
        hls(folder, name, *pictures(size))
    hls(folder, "sound", "-f", "lavfi", "-i", f"sine=d={SENT}", "-c:a", "aac")
    hls(folder, "show", *pictures("320x180"), kind="fmp4")
    hls(folder, "ad", *pictures("256x144", "-bf", 2, "-profile:v", "high", "-coder", 1), kind="fmp4")
    ffmpeg(*pictures("320x180"), "-muxrate", "600k", "-f", "mpegts", folder / "paced.ts")
    audio = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en",DEFAULT=YES,URI="sound.m3u8"\n'
    with_sound = "#EXTM3U\n" + audio + rendition("low", sizes["low"], 1000, ',AUDIO="a"')
    both = "#EXTM3U\n" + rendition("low", sizes["low"], 1000) + rendition("mid", sizes["mid"], 3000)
    all_three = with_sound + rendition("mid", sizes["mid"], 3000, ',AUDIO="a"')
    all_three += rendition("high", sizes["high"], 9000, ',AUDIO="a"')
    feeds = {f"{name}.m3u8": Feed(plain(name)) for name in [*sizes, "sound"]}
    stations = {
        "sound stops": Station(
            folder, {**feeds, "sound.m3u8": Feed(plain("sound"), 5)}, {"live.m3u8": with_sound}
        ),
        "unnamed, sound stops": Station(
            folder, {**feeds, "sound.m3u8": Feed(plain("sound"), 5)}, {"live": with_sound}
        ),
        "unnamed, variant stops": Station(
            folder, {**feeds, "low.m3u8": Feed(plain("low"), 5)}, {"live": both}
        ),
        "best of three": Station(folder, feeds, {"live.m3u8": all_three}),
        "best up to 360": Station(folder, feeds, {"live.m3u8": all_three}),
        "variant goes": Station(
            folder, feeds, {"live.m3u8": all_three}, lambda name, at: at > 20 and name.startswith("high")
        ),
        "advertisement": Station(folder, {"live.m3u8": Feed(interrupted)}),
    }
    body = (folder / "paced.ts").read_bytes()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(16) as pool:
        running = {}
        for name, station in stations.items():
            handler = functools.partial(type("Own", (Live,), {"station": station}), directory=str(folder))
            server = servers.HttpServer(handler)
            stack.callback(server.stop)
            options = LiveOptions(stall_seconds=4, max_height=360 if "360" in name else 720)
            station.began = time.monotonic()
            address = f"http://127.0.0.1:{server.port}/live{'' if name.startswith('unnamed') else '.m3u8'}"
            running[name] = pool.submit(watch, address, options)
        for name, answers in (("outage", False), ("outage that answers", True)):
            fields = {"body": body, "began": time.monotonic(), "answers": answers}
            server = servers.HttpServer(type("Own", (Paced,), fields))
            stack.callback(server.stop)
            running[name] = pool.submit(watch, f"http://127.0.0.1:{server.port}/live.ts")
        found = {name: each.result() for name, each in running.items()}
        for name, station in stations.items():
            found[name].downloads[:] = station.log
        for name, each in found.items():
            print(name, each.size, len(each.shown), "steps", each.shown, each.problems, sep="\n  ")
        yield found


def is_steady(shown: list[int], num_lost: int = 0) -> bool:
    """Whether steps show one second after the other, but for so many that were not there to be shown."""
    steps = np.diff(shown)
    return bool((steps >= 0).all() and steps.max() <= num_lost + 2 and shown[-1] - shown[0] >= len(shown) - 3)


@pytest.mark.parametrize(
    "name",
    ["sound stops", "unnamed, sound stops", "unnamed, variant stops", "best of three", "best up to 360"],
)
def test_what_is_not_used_holds_nothing_up(minute: dict[str, Seen], name: str) -> None:
    seen = minute[name]
    assert seen.problems == []
    assert len(seen.shown) == SECONDS
    assert is_steady(seen.shown)
    assert seen.wall_seconds < SECONDS + 10


def test_one_variant_is_shown_and_downloaded(minute: dict[str, Seen]) -> None:
    for name, size, taken in (
        ("best of three", (1280, 720), "high"),
        ("best up to 360", (640, 360), "mid"),
        ("unnamed, variant stops", (640, 360), "mid"),
    ):
        seen = minute[name]
        assert seen.size == size
        counted = [each for each in seen.downloads if each.endswith(".ts") and not each.startswith(taken)]
        assert len(counted) <= (0 if not name.startswith("unnamed") else 6)


def test_a_variant_that_goes_gives_way_to_the_next(minute: dict[str, Seen]) -> None:
    seen = minute["variant goes"]
    assert len(seen.shown) >= SECONDS - 15
    assert is_steady(seen.shown, num_lost=15)
    assert sum("is back" in each for each in seen.problems) == 1


def test_pictures_come_back_after_an_initialisation_that_changed(minute: dict[str, Seen]) -> None:
    seen = minute["advertisement"]
    assert len(seen.shown) >= SECONDS - 2 * (OPTIONS.stall_seconds + 4)
    assert is_steady(seen.shown, num_lost=int(OPTIONS.stall_seconds) + 5)
    assert any(second in ADVERTISEMENT for second in seen.shown)
    assert sum("connecting again" in each for each in seen.problems) == sum(
        "is back" in each for each in seen.problems
    )


@pytest.mark.parametrize("name", ["outage", "outage that answers"])
def test_it_is_back_when_a_picture_is_shown(minute: dict[str, Seen], name: str) -> None:
    seen = minute[name]
    length = OUTAGE[1] - OUTAGE[0]
    (back,) = (
        float(each.split("back after ")[1].split(" s")[0]) for each in seen.problems if "is back" in each
    )
    # A feed that answers is noticed once nothing of it has decoded for as long as patience lasts.
    assert length - (OPTIONS.stall_seconds + 2 if "answers" in name else 1) <= back <= length + 6
    assert is_steady(seen.shown, num_lost=int(length) + 6)
    assert len(seen.shown) >= SECONDS - length - 7


def test_a_server_that_cannot_serve_a_file_so_is_one_error(tmp_path: Path) -> None:
    noise = "nullsrc=size=320x180:rate=25:d=4,geq=random(1)*255:128:128"
    ffmpeg("-f", "lavfi", "-i", noise, "-c:v", "libx264", "-preset", "ultrafast", tmp_path / "late.mp4")
    server = servers.file_server(tmp_path)
    began = time.monotonic()
    try:
        with pytest.raises(SourceError, match="index at its end"):
            open_source(f"http://127.0.0.1:{server.port}/late.mp4")
    finally:
        server.stop()
    assert time.monotonic() - began < 20
