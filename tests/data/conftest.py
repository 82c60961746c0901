"""A film and a site that serves it."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import pytest

from tests.data.loopback import Site, serve
from tests.data.web import FPS, SECONDS


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A mp4 of noise (so that it is large) with sound."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    dice = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        for _ in range(SECONDS * FPS):
            picture = dice.integers(0, 256, (96, 128, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
        tone = (8000 * np.sin(np.arange(SECONDS * 16_000) * 0.2)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path.read_bytes()


@pytest.fixture
def site(film: bytes) -> Iterator[Site]:
    video = '<video src="/{}.mp4"></video>'
    page = f"<html><title>Cup a/../b %(id)s</title><body>{video.format('film')}</body></html>"
    two = f"<html><title>Two</title><body>{video.format('film')}{video.format('other')}</body></html>"
    names = ("film", "other", "cut", "slow", "forbidden", "one", "two", "three")
    files = {f"/{name}.mp4": film for name in names}
    files |= {"/page.html": page.encode(), "/two.html": two.encode()}
    files |= {"/words.html": b"<html><body>words</body></html>", "/fake.mp4": b"this is text " * 3000}
    with serve(
        Site(
            files=files,
            cut={"/cut.mp4": 3},
            status={"/forbidden.mp4": 403, "/busy.mp4": 429},
            bytes_per_second={"/slow.mp4": 3 * len(film)},
            loops=frozenset({"/loop.mp4"}),
        )
    ) as running:
        yield running
