"""yt-dlp against servers on loopback: what comes, what is told, what a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from svlm_cli.data.fetch import Fetched, expand, fetch_all
from svlm_cli.data.fetch_one import FetchOptions, sha256_of
from svlm_cli.data.manifest import Manifest
from svlm_cli.errors import UsageError
from svlm_cli.media.download import DownloadOptions
from svlm_cli.media.download_checks import browser_cookies, parse_rate
from tests.data.loopback import Site, serve

SECONDS, FPS = 4, 10


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


def fetch_one(source: str, folder: Path, **download: object) -> Fetched:
    options = FetchOptions(download=DownloadOptions(**download))  # type: ignore[arg-type]
    (result,) = fetch_all([source], folder, options)
    return result


def test_a_direct_file_comes_as_it_is(site: Site, film: bytes, tmp_path: Path) -> None:
    result = fetch_one(site.url("/film.mp4"), tmp_path)
    assert result.is_new
    assert (tmp_path / result.video.path).read_bytes() == film
    assert result.video.duration_seconds == pytest.approx(SECONDS, abs=0.15)
    assert result.video.has_audio
    assert result.video.sha256 == sha256_of(tmp_path / result.video.path)
    assert Manifest(tmp_path).videos() == [result.video]


def test_what_is_there_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    first = fetch_one(site.url("/film.mp4"), tmp_path)
    asked = dict(site.served_bytes)
    again = fetch_one(site.url("/film.mp4"), tmp_path)
    assert (again.is_new, again.video) == (False, first.video)
    assert dict(site.served_bytes) == asked


def test_addresses_that_end_alike_are_two_videos(site: Site, tmp_path: Path) -> None:
    ids = {fetch_one(site.url(f"/film.mp4?match={n}"), tmp_path).video.id for n in (1, 2)}
    assert len(ids) == 2


def test_a_page_is_its_video_under_a_safe_name(site: Site, film: bytes, tmp_path: Path) -> None:
    video = fetch_one(site.url("/page.html"), tmp_path).video
    assert (tmp_path / video.path).read_bytes() == film
    assert "Cup" in video.title
    assert (tmp_path / video.path).parent == tmp_path / "videos"
    assert "/" not in video.id


def test_a_page_of_two_is_two_and_a_limit_holds(site: Site, tmp_path: Path) -> None:
    results = list(fetch_all([site.url("/two.html")], tmp_path))
    assert len({result.video.id for result in results}) == 2
    again = list(fetch_all([site.url("/two.html")], tmp_path))
    assert [result.is_new for result in again] == [False, False]
    limited = FetchOptions(download=DownloadOptions(limit=1))
    assert len(list(fetch_all([site.url("/two.html")], tmp_path / "other", limited))) == 1


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


def test_hls_is_one_file(site: Site, film: bytes, tmp_path: Path) -> None:
    with_hls(site, film, tmp_path)
    video = fetch_one(site.url("/list.m3u8"), tmp_path / "out").video
    assert video.duration_seconds == pytest.approx(SECONDS, abs=0.3)
    assert video.has_audio


def test_a_connection_that_is_cut_is_taken_up_where_it_broke(site: Site, film: bytes, tmp_path: Path) -> None:
    video = fetch_one(site.url("/cut.mp4"), tmp_path).video
    assert (tmp_path / video.path).read_bytes() == film
    starts = site.starts["/cut.mp4"]
    assert sorted(starts) == starts
    assert starts[-1] > len(film) // 2


def test_a_slow_server_is_waited_for(site: Site, film: bytes, tmp_path: Path) -> None:
    seen: list[int] = []
    (result,) = fetch_all(
        [site.url("/slow.mp4")], tmp_path, on_progress=lambda each: seen.append(each.done_bytes)
    )
    assert (tmp_path / result.video.path).read_bytes() == film
    assert len({done for done in seen if done}) > 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing.mp4", "removed (404)"),
        ("/forbidden.mp4", "forbidden (403)"),
        ("/busy.mp4", "too many requests (429)"),
        ("/loop.mp4", "network"),
        ("/words.html", "not a video"),
        ("/fake.mp4", "not a video"),
    ],
)
def test_a_failure_is_named_and_leaves_nothing(site: Site, tmp_path: Path, path: str, reason: str) -> None:
    result = fetch_one(site.url(path), tmp_path)
    assert result.video is None
    assert result.problem.startswith(reason)
    assert result.source == site.url(path)
    assert not list(tmp_path.rglob("*.mp4"))
    assert not Manifest(tmp_path).exists


def test_failures_do_not_stop_the_others(site: Site, tmp_path: Path) -> None:
    names = ("/missing.mp4", "/film.mp4", "/forbidden.mp4", "/other.mp4")
    results = list(fetch_all([site.url(name) for name in names], tmp_path))
    assert sorted(result.source.rsplit("/", 1)[1] for result in results if result.video) == [
        "film.mp4",
        "other.mp4",
    ]
    assert len(results) == 4


def test_pictures_alone(site: Site, tmp_path: Path) -> None:
    video = fetch_one(site.url("/film.mp4"), tmp_path, with_audio=False).video
    assert not video.has_audio
    with av.open(str(tmp_path / video.path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == SECONDS * FPS


def test_a_whole_file_without_its_line_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    """A kill between the two."""
    video = fetch_one(site.url("/film.mp4"), tmp_path).video
    (tmp_path / "videos.jsonl").unlink()
    starts = len(site.starts["/film.mp4"])
    again = fetch_one(site.url("/film.mp4"), tmp_path)
    assert again.video.sha256 == video.sha256
    assert len(site.starts["/film.mp4"]) == starts + 1  # what the address holds, and no more


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "svlm_cli", "fetch", *arguments, "--out", str(folder)]


def test_killed_in_the_middle_of_three_and_run_again(site: Site, film: bytes, tmp_path: Path) -> None:
    names = ("/one.mp4", "/two.mp4", "/three.mp4")
    site.bytes_per_second = dict.fromkeys(names, len(film) / 3)
    run = command(tmp_path, *map(site.url, names), "--workers", "3")
    process = subprocess.Popen(run, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        halves = [path.stat().st_size for path in tmp_path.rglob("*.part")]
        if len(halves) == 3 and min(halves) > len(film) // 8:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not Manifest(tmp_path).exists
    assert len(list(tmp_path.rglob("*.part"))) == 3
    site.bytes_per_second = {}
    first_tries = {name: len(site.starts[name]) for name in names}
    subprocess.run(run, check=True, capture_output=True)
    videos = Manifest(tmp_path).videos()
    assert [(tmp_path / video.path).read_bytes() == film for video in videos] == [True] * 3
    assert not list(tmp_path.rglob("*.part"))
    for name in names:
        assert max(site.starts[name][first_tries[name] :]) > len(film) // 8  # went on, did not repeat
    lines = (tmp_path / "videos.jsonl").read_bytes()
    subprocess.run(run, check=True, capture_output=True)
    assert (tmp_path / "videos.jsonl").read_bytes() == lines


def test_hls_killed_again_and_again_is_the_same_file(site: Site, film: bytes, tmp_path: Path) -> None:
    fragments = with_hls(site, film, tmp_path)
    assert len(fragments) >= 6
    wanted = fetch_one(site.url("/list.m3u8"), tmp_path / "undisturbed").video
    folder = tmp_path / "killed"
    site.bytes_per_second = dict.fromkeys(fragments, 4 * len(site.files[fragments[0]]))
    for _ in range(3):
        run = command(folder, site.url("/list.m3u8"))
        process = subprocess.Popen(run, stderr=subprocess.DEVNULL, start_new_session=True)
        before = len(list(folder.rglob("*-Frag*")))
        deadline = time.monotonic() + 60
        while len(list(folder.rglob("*-Frag*"))) < before + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
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
    half.parent.mkdir(parents=True)
    half.write_bytes(film + bytes(more))
    results = [fetch_one(site.url("/film.mp4"), tmp_path) for _ in range(2)]
    assert (tmp_path / results[-1].video.path).read_bytes() == film


def test_a_file_that_ends_too_soon_is_no_video(site: Site, film: bytes, tmp_path: Path) -> None:
    site.files = {**site.files, "/short.mp4": film[: len(film) // 2]}
    result = fetch_one(site.url("/short.mp4"), tmp_path)
    assert result.video is None
    assert "ended in the middle" in result.problem


def test_captions_come_with_a_video_or_after_it(site: Site, tmp_path: Path) -> None:
    track = '<track kind="subtitles" src="/words.vtt" srclang="en">'
    page = f'<html><title>Cup</title><video src="/film.mp4">{track}</video></html>'
    vtt = b"WEBVTT\n\n00:00.000 --> 00:02.000\nand he scores\n"
    site.files = {**site.files, "/cup.html": page.encode(), "/words.vtt": vtt}
    video = fetch_one(site.url("/cup.html"), tmp_path).video
    assert video.title == "Cup"
    assert not (tmp_path / "subtitles").exists()
    again = fetch_one(site.url("/cup.html"), tmp_path, subtitle_language="en")
    assert not again.is_new
    assert b"and he scores" in (tmp_path / "subtitles" / f"{video.id}.en.vtt").read_bytes()


def test_two_runs_share_a_folder(site: Site, film: bytes, tmp_path: Path) -> None:
    site.bytes_per_second = {"/film.mp4": len(film)}
    run = command(tmp_path, site.url("/film.mp4"), site.url("/other.mp4"))
    both = [subprocess.Popen(run, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert len((tmp_path / "videos.jsonl").read_text().splitlines()) == 2
    assert site.served_bytes["/film.mp4"] < 1.5 * len(film) + 300_000


def test_a_full_disk_is_told_and_harms_nothing(site: Site, film: bytes, tmp_path: Path) -> None:
    """The limit of a process stands in for the disk's; both refuse to write."""
    fetch_one(site.url("/film.mp4"), tmp_path)
    before = (tmp_path / "videos.jsonl").read_bytes()
    small = f"ulimit -f {len(film) // 1024 // 2}; exec " + " ".join(command(tmp_path, site.url("/other.mp4")))
    done = subprocess.run(["bash", "-c", small], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "disk full" in done.stderr
    assert (tmp_path / "videos.jsonl").read_bytes() == before
    assert fetch_one(site.url("/other.mp4"), tmp_path).video.sha256 == Manifest(tmp_path).videos()[0].sha256


def test_the_command_lists_failures_and_exits_1(site: Site, tmp_path: Path) -> None:
    run = command(tmp_path, site.url("/film.mp4"), site.url("/missing.mp4"), "--json")
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [video["title"] for video in document["videos"]] == ["film"]
    assert document["failed"][0]["problem"].startswith("removed (404)")
    assert "1 failed:" in done.stderr
    assert "yt-dlp 20" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_relative_folder_will_do(site: Site, film: bytes, tmp_path: Path) -> None:
    run = command(Path("matches"), site.url("/film.mp4"))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(run, cwd=tmp_path, env=environment, check=True, capture_output=True)
    (video,) = Manifest(tmp_path / "matches").videos()
    assert (tmp_path / "matches" / video.path).read_bytes() == film


def test_ctrl_c_ends_at_once_although_a_server_hangs(site: Site, film: bytes, tmp_path: Path) -> None:
    site.bytes_per_second = {"/film.mp4": len(film) / 100}
    process = subprocess.Popen(command(tmp_path, site.url("/film.mp4")), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "run the same command again" in told
    assert list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("text", ["no cookies", "# Netscape HTTP Cookie File\n", "a\tb\tc\n"])
def test_what_is_no_cookie_file_is_told_before_anything_is_fetched(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text(text)
    run = command(tmp_path / "out", "nowhere.mp4", "--cookies", str(path))
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cookies.txt" in done.stderr
    assert not (tmp_path / "out").exists()


def test_lists_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# matches\nhttps://a.example/1\n\n  https://a.example/2  \nhttps://a.example/1\n")
    assert expand([f"@{path}"]) == ["https://a.example/1", "https://a.example/2"]
    with pytest.raises(UsageError, match="cannot be read"):
        expand(["@nowhere.txt"])


def test_rates_and_browsers_are_checked() -> None:
    assert parse_rate("5M") == 5 * 1024**2
    with pytest.raises(UsageError, match="rate-limit"):
        parse_rate("fast")
    assert browser_cookies("firefox+gnomekeyring:default") == ("firefox", "default", "GNOMEKEYRING", None)
    with pytest.raises(UsageError, match="no such browser"):
        browser_cookies("netscape")
