"""Fetching as the tests do it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from svlm_cli.data.fetch.folder import Fetched, fetch_all
from svlm_cli.data.fetch.one import FetchOptions
from svlm_cli.media.web.download import DownloadOptions
from tests.data.loopback import Site

SECONDS, FPS = 4, 10


def fetch_one(source: str, folder: Path, **download: object) -> Fetched:
    options = FetchOptions(download=DownloadOptions(**download))  # type: ignore[arg-type]
    (result,) = fetch_all([source], folder, options)
    return result


def with_hls(site: Site, film: bytes, folder: Path) -> list[str]:
    """Serve the film as HLS under /list.m3u8; the paths of its fragments."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    source = folder / "film.mp4"
    source.write_bytes(film)
    how = [
        "-c:v",
        "libx264",
        "-g",
        "5",
        "-c:a",
        "copy",
        "-f",
        "hls",
        "-hls_time",
        "0.5",
        "-hls_list_size",
        "0",
    ]
    run = ["ffmpeg", "-loglevel", "error", "-i", str(source), *how, str(folder / "list.m3u8")]
    subprocess.run(run, check=True)
    site.files = {**site.files, **{f"/{path.name}": path.read_bytes() for path in folder.glob("list*")}}
    return sorted(f"/{path.name}" for path in folder.glob("list*.ts"))


def command(folder: Path, *arguments: str) -> list[str]:
    """The words behind ``svlm``."""
    return ["fetch", *arguments, "--out", str(folder)]
