"""What a cut, a kill, a full disk or another run leaves, and what the next run makes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.cli import run
from svlm_cli.data.manifest import Manifest
from svlm_cli.media.web import halves
from svlm_cli.media.web.download import Address, DownloadOptions, RemoteVideo, look_up
from svlm_cli.media.web.halves import Halves
from tests.data.loopback import Site
from tests.data.web import command, fetch_one, with_hls
from tests.trust.forked import Svlm


def facts_of(address: str) -> Mapping[str, Any]:
    found = look_up(Address(address), DownloadOptions())
    assert isinstance(found, RemoteVideo)
    return found.facts


def test_a_connection_that_is_cut_is_taken_up_where_it_broke(site: Site, film: bytes, tmp_path: Path) -> None:
    video = fetch_one(site.url("/cut.mp4"), tmp_path).video
    assert (tmp_path / video.path).read_bytes() == film
    starts = site.starts["/cut.mp4"]
    assert sorted(starts) == starts
    assert starts[-1] > len(film) // 2


def test_a_whole_file_without_its_line_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    """A kill between the two."""
    video = fetch_one(site.url("/film.mp4"), tmp_path).video
    (tmp_path / "videos.jsonl").unlink()
    starts = len(site.starts["/film.mp4"])
    again = fetch_one(site.url("/film.mp4"), tmp_path)
    assert again.video.sha256 == video.sha256
    assert len(site.starts["/film.mp4"]) == starts + 1  # what the address holds, and no more


def test_killed_in_the_middle_of_three_and_run_again(site: Site, film: bytes, tmp_path: Path) -> None:
    names = ("/one.mp4", "/two.mp4", "/three.mp4")
    site.bytes_per_second = dict.fromkeys(names, len(film) / 3)
    arguments = command(tmp_path, *map(site.url, names), "--workers", "3")
    started = Svlm(arguments, tmp_path / "log")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        halves = [path.stat().st_size for path in tmp_path.rglob("*.part")]
        if len(halves) == 3 and min(halves) > len(film) // 8:
            break
        time.sleep(0.02)
    started.signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert not Manifest(tmp_path).exists
    assert len(list(tmp_path.rglob("*.part"))) == 3
    site.bytes_per_second = {}
    first_tries = {name: len(site.starts[name]) for name in names}
    assert run(arguments) == 0
    videos = Manifest(tmp_path).videos()
    assert [(tmp_path / video.path).read_bytes() == film for video in videos] == [True] * 3
    assert not list(tmp_path.rglob("*.part"))
    for name in names:
        assert max(site.starts[name][first_tries[name] :]) > len(film) // 8  # went on, did not repeat
    lines = (tmp_path / "videos.jsonl").read_bytes()
    assert run(arguments) == 0
    assert (tmp_path / "videos.jsonl").read_bytes() == lines


def test_hls_killed_again_and_again_is_the_same_file(site: Site, film: bytes, tmp_path: Path) -> None:
    fragments = with_hls(site, film, tmp_path)
    assert len(fragments) >= 6
    wanted = fetch_one(site.url("/list.m3u8"), tmp_path / "undisturbed").video
    folder = tmp_path / "killed"
    site.bytes_per_second = dict.fromkeys(fragments, 4 * len(site.files[fragments[0]]))
    for _ in range(3):
        started = Svlm(command(folder, site.url("/list.m3u8")), tmp_path / "log")
        before = len(list(folder.rglob("*-Frag*")))
        deadline = time.monotonic() + 60
        while len(list(folder.rglob("*-Frag*"))) < before + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        started.signal(signal.SIGKILL)
        started.wait()
    # What a kill between two writes of yt-dlp leaves: a fragment too many, a half one that is whole.
    (partial,) = [path for path in (folder / ".partial").iterdir() if path.is_dir()]
    with (partial / "media.mp4.part").open("ab") as file:
        file.write(site.files[fragments[0]])
    (partial / "media.mp4").write_bytes(site.files[fragments[0]])
    (partial / f"media.mp4.part-Frag{len(fragments)}.part").write_bytes(site.files[fragments[-1]])
    served = sum(site.served_bytes[name] for name in fragments)
    again = fetch_one(site.url("/list.m3u8"), folder).video
    assert again.sha256 == wanted.sha256
    assert sum(site.served_bytes[name] for name in fragments) - served < 2 * served


@pytest.mark.parametrize("more", [0, 500_000])
def test_a_half_that_is_whole_or_too_long_ends_well(
    site: Site, film: bytes, tmp_path: Path, more: int
) -> None:
    video = fetch_one(site.url("/film.mp4"), tmp_path / "other").video
    half = tmp_path / ".partial" / video.id / "media.mp4.part"
    Halves(half.parent, facts_of(site.url("/film.mp4")))
    half.write_bytes(film + bytes(more))
    results = [fetch_one(site.url("/film.mp4"), tmp_path) for _ in range(2)]
    assert (tmp_path / results[-1].video.path).read_bytes() == film


def test_after_a_power_cut_a_half_is_believed_as_far_as_it_was_forced_to_the_disk(
    site: Site, film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest may be zeros, of the right length."""
    video = fetch_one(site.url("/film.mp4"), tmp_path / "other").video
    half = tmp_path / ".partial" / video.id / "media.mp4.part"
    started = Halves(half.parent, facts_of(site.url("/film.mp4")))
    half.write_bytes(film[:50_000])
    started.sync()
    half.write_bytes(film[:50_000] + bytes(len(film) - 60_000))
    (half.parent / "media.mp4").write_bytes(bytes(len(film)))
    monkeypatch.setattr(halves, "boot_id", lambda: "the next start")
    begun = len(site.starts["/film.mp4"])
    assert fetch_one(site.url("/film.mp4"), tmp_path).video.sha256 == video.sha256
    assert site.starts["/film.mp4"][begun:][-1] == 50_000


def test_another_quality_is_another_file(site: Site, film: bytes, tmp_path: Path) -> None:
    """Halves of one are not taken for halves of the other."""
    fragments = with_hls(site, film, tmp_path)
    for name, rate, size in (("low", 100_000, "64x48"), ("high", 900_000, "640x480")):
        lines = site.files["/list.m3u8"].decode().replace("list", name)
        site.files = {**site.files, f"/{name}.m3u8": lines.encode()}
        for fragment in fragments:
            site.files[fragment.replace("list", name)] = site.files[fragment]
        head = site.files.get("/master.m3u8", b"#EXTM3U\n").decode()
        head += f"#EXT-X-STREAM-INF:BANDWIDTH={rate},RESOLUTION={size}\n{name}.m3u8\n"
        site.files["/master.m3u8"] = head.encode()
    broken = fragments[-1].replace("list", "low")
    site.status = {broken: 403}
    assert fetch_one(site.url("/master.m3u8"), tmp_path / "m", max_height=48).video is None
    assert list((tmp_path / "m").rglob("*-Frag*"))
    assert fetch_one(site.url("/master.m3u8"), tmp_path / "m", max_height=480).video is not None
    for fragment in fragments:
        assert site.served_bytes[fragment.replace("list", "high")] >= len(site.files[fragment])


def test_two_runs_share_a_folder(site: Site, film: bytes, tmp_path: Path) -> None:
    site.bytes_per_second = {"/film.mp4": len(film)}
    arguments = command(tmp_path, site.url("/film.mp4"), site.url("/other.mp4"))
    both = [Svlm(arguments, tmp_path / name) for name in ("log1", "log2")]
    assert [started.wait() for started in both] == [0, 0]
    assert len((tmp_path / "videos.jsonl").read_text().splitlines()) == 2
    assert site.served_bytes["/film.mp4"] < 1.5 * len(film) + 300_000


def test_a_full_disk_is_told_and_harms_nothing(site: Site, film: bytes, tmp_path: Path) -> None:
    """The limit of a process stands in for the disk's; both refuse to write."""
    fetch_one(site.url("/film.mp4"), tmp_path)
    before = (tmp_path / "videos.jsonl").read_bytes()
    line = " ".join(command(tmp_path, site.url("/other.mp4")))
    small = f"ulimit -f {len(film) // 1024 // 2}; exec {sys.executable} -m svlm_cli {line}"
    done = subprocess.run(["bash", "-c", small], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "disk full" in done.stderr
    assert (tmp_path / "videos.jsonl").read_bytes() == before
    assert fetch_one(site.url("/other.mp4"), tmp_path).video.sha256 == Manifest(tmp_path).videos()[0].sha256


def test_ctrl_c_ends_at_once_although_a_server_hangs(site: Site, film: bytes, tmp_path: Path) -> None:
    site.bytes_per_second = {"/film.mp4": len(film) / 100}
    started = Svlm(command(tmp_path, site.url("/film.mp4")), tmp_path / "log")
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    started.signal(signal.SIGINT)
    assert started.wait(20) == 130
    assert "run the same command again" in started.talk
    assert list(tmp_path.rglob("*.part"))


def test_a_match_stops_at_sigterm(tmp_path: Path) -> None:
    arguments = command(tmp_path, "arena:soccer,seed=1000003,minutes=1440,size=168x112")
    started = [sys.executable, "-m", "svlm_cli", *arguments]  # its threads end as an interpreter does
    process = subprocess.Popen(started, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    try:
        while not list(tmp_path.rglob("*.lock")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert not list(tmp_path.rglob("*.lock"))
    assert not list(tmp_path.rglob("*.mp4"))
