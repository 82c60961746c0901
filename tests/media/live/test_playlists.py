"""Playlists that lead to playlists: refused at once, where libav would go from one to the next."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from svlm_cli.errors import SourceError
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.live.source import open_live
from svlm_cli.media.loops import is_master, lists_playlists
from tests.media import live_servers as servers
from tests.media.live.test_feeds import asked_server, segments

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
    assert time.monotonic() - began < 5


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
