"""Playlists that lead to playlists: refused at once, where libav would go from one to the next."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.address import LiveOptions
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.live.connecting import Connector
from svlm_cli.media.live.source import open_live
from svlm_cli.media.loops import is_master, lists_playlists
from tests.media import live_servers as servers
from tests.media.live.test_feeds import asked_server, ffmpeg, segments

HEIGHTS = (54, 72, 90, 108)
VARIANT = "#EXT-X-STREAM-INF:BANDWIDTH={},RESOLUTION={}\n{}\n"
MASTERS = {
    "inner": VARIANT.format(1000, "160x90", "low.m3u8"),
    "master": VARIANT.format(2000, "320x180", "inner.m3u8"),
    "episodes": "#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nlow.m3u8\n",
    "both": VARIANT.format(2000, "320x180", "inner.m3u8") + VARIANT.format(1000, "160x90", "low.m3u8"),
    "second": VARIANT.format(2000, "320x180", "episodes.m3u8"),
}


@pytest.fixture
def playlists(tmp_path: Path) -> Path:
    segments(tmp_path, "low")
    for name, body in MASTERS.items():
        (tmp_path / f"{name}.m3u8").write_text(f"#EXTM3U\n{body}")
    return tmp_path


@pytest.mark.parametrize("name", ["master", "episodes", "second"])
def test_a_playlist_of_playlists_is_one_error_at_once(playlists: Path, name: str) -> None:
    server = servers.file_server(playlists)
    began = time.monotonic()
    try:
        for place in (f"http://127.0.0.1:{server.port}/{name}.m3u8", str(playlists / f"{name}.m3u8")):
            with pytest.raises(SourceError, match="leads to playlists and"):
                (open_live if "://" in place else open_video)(place)
    finally:
        server.stop()
    assert time.monotonic() - began < 20


def test_a_variant_that_lists_variants_gives_way_to_the_next(playlists: Path) -> None:
    server, log = asked_server(playlists)
    try:
        with open_live(f"http://127.0.0.1:{server.port}/low.m3u8") as source:
            assert source.info.height == 90
        log.clear()
        (playlists / "master.m3u8").write_text((playlists / "both.m3u8").read_text())
        (playlists / "inner.m3u8").write_text(f"#EXTM3U\n{MASTERS['second']}")
    finally:
        server.stop()
    plain = servers.file_server(playlists)
    try:
        with open_live(f"http://127.0.0.1:{plain.port}/both.m3u8") as source:
            assert source.info.height == 90
    finally:
        plain.stop()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#EXTM3U\n#EXTINF:2,\na.ts\n", False),
        ("#EXTM3U\n#EXTINF:2,\nhttp://host/live/x.m3u8?k=1\n", True),
        ("#EXTM3U\n#EXTINF:2,\nx.M3U8#a\n", True),
        ("#EXTM3U\n#EXTINF:2,\n./a\n", True),
        ("#EXTM3U\n#EXTINF:2,\nhttp://[::1\n", False),
        ("#EXTINF:2,\nx.m3u8\n", False),
    ],
)
def test_what_a_playlist_lists(text: str, expected: bool) -> None:
    assert lists_playlists(text, "http://host/live/a") is expected
    assert not is_master(text)


@pytest.fixture(scope="module")
def heights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heights")
    for height in HEIGHTS:
        segments(folder, f"v{height}-", f"{height * 16 // 9}x{height}")
    ffmpeg("-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac", "-f", "hls", folder / "sound.m3u8")
    return folder


@pytest.mark.parametrize("seed", range(10))
def test_heights_that_are_not_told_are_found_out(
    heights: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    dice = Random(f"heights {seed}")
    listed = dice.sample(HEIGHTS, dice.randrange(2, 5))
    most = dice.choice([40, 54, 60, 72, 100, 108, 200])
    told = [dice.random() < 0.4 and seed > 3 for _ in listed]
    text = "#EXTM3U\n"
    for height, is_told in zip(listed, told, strict=True):
        # Some claim what is not so.
        size = f",RESOLUTION=160x{dice.choice([height, height, most])}" if is_told else ""
        text += f"#EXT-X-STREAM-INF:BANDWIDTH={dice.randrange(1, 9)}{size}\nv{height}-.m3u8\n"
    if dice.random() < 0.5:
        text += "#EXT-X-STREAM-INF:BANDWIDTH=9\nsound.m3u8\n"
    name = dice.choice([f"{seed}.m3u8", f"{seed}"])
    (heights / name).write_text(text)
    server = servers.file_server(heights)
    try:
        address = f"http://127.0.0.1:{server.port}/{name}"
        connector = Connector(address, "air", LiveOptions(max_height=most))
        shown = []
        for _ in range(2):
            video = connector.connect()
            shown.append(video.stream.codec_context.height)
            assert connector.playing.url.endswith(f"/v{shown[-1]}-.m3u8")
            video.close()
    finally:
        server.stop()
    fitting = [height for height in listed if height <= most]
    assert all(height in (fitting or [min(listed)]) for height in shown)
    warned = [each for each in caplog.messages if f"no variant has at most {most} lines" in each]
    assert len(warned) == (not fitting)
