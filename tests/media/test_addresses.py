"""What is said of an address: no password to anybody, no key and no path to viewers."""

from __future__ import annotations

import pytest

from svlm_cli.media.address import public_name, shown_address


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rtsp://camera.local/stream", "rtsp://camera.local/stream"),
        ("rtsp://me:secret@camera.local/stream", "rtsp://me:***@camera.local/stream"),
        ("rtsp://me:se@cr:et@camera.local:554/a@b", "rtsp://me:***@camera.local:554/a@b"),
        ("https://host/x?by=me@home", "https://host/x?by=me@home"),
        ("udp://@239.0.0.1:1234", "udp://@239.0.0.1:1234"),
    ],
)
def test_passwords_are_not_shown(source: str, expected: str) -> None:
    assert shown_address(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/home/me/films/cup.mp4", "cup.mp4"),
        ("films/cup.mp4", "cup.mp4"),
        ("file:///home/me/cup.mp4", "cup.mp4"),
        ("cup.mp4", "cup.mp4"),
        ("rtsp://me:***@camera.local:554/live/key/stream", "rtsp://camera.local:554/stream"),
        ("rtsp://key@camera.local", "rtsp://camera.local"),
        ("https://host/a/b/live.m3u8?token=secret#part", "https://host/live.m3u8"),
        ("https://host/a/b/?token=secret", "https://host/b"),
        ("rtmp://host/app/secret-key", "rtmp://host/app"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("arena:soccer?seed=7&minutes=inf", "arena:soccer?seed=7&minutes=inf"),
        ("camera:0", "camera:0"),
        ("/dev/video0", "/dev/video0"),
        ("-", "-"),
    ],
)
def test_viewers_see_a_base_name(source: str, expected: str) -> None:
    assert public_name(source) == expected
