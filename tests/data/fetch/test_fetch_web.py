"""yt-dlp against servers on loopback: what comes, and what is told."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import av
import pytest

from svlm_cli.cli import run
from svlm_cli.data.fetch.folder import expand, fetch_all
from svlm_cli.data.fetch.one import FetchOptions
from svlm_cli.data.manifest import Manifest
from svlm_cli.errors import UsageError
from svlm_cli.files import sha256_of
from svlm_cli.media.web.checks import browser_cookies, parse_rate
from svlm_cli.media.web.download import DownloadOptions
from tests.data.loopback import Site
from tests.data.web import FPS, SECONDS, command, fetch_one, with_hls


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


def test_hls_is_one_file(site: Site, film: bytes, tmp_path: Path) -> None:
    with_hls(site, film, tmp_path)
    video = fetch_one(site.url("/list.m3u8"), tmp_path / "out").video
    assert video.duration_seconds == pytest.approx(SECONDS, abs=0.3)
    assert video.has_audio


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


def test_a_file_that_ends_too_soon_is_no_video(site: Site, film: bytes, tmp_path: Path) -> None:
    site.files = {**site.files, "/short.mp4": film[: len(film) // 2]}
    result = fetch_one(site.url("/short.mp4"), tmp_path)
    assert result.video is None
    assert "ended in the middle" in result.problem


def test_a_page_without_its_captions_is_told_and_keeps_the_video(site: Site, tmp_path: Path) -> None:
    track = '<track kind="subtitles" src="/nowhere.vtt" srclang="en">'
    page = f'<html><title>Cup</title><video src="/film.mp4">{track}</video></html>'
    site.files = {**site.files, "/cup.html": page.encode()}
    result = fetch_one(site.url("/cup.html"), tmp_path, subtitle_language="en")
    assert result.problem.startswith("captions: ")
    assert len(Manifest(tmp_path).videos()) == 1


def test_a_title_that_ends_in_a_number_keeps_it(site: Site, film: bytes, tmp_path: Path) -> None:
    site.files = {**site.files, "/game%20(1).mp4": film}
    assert fetch_one(site.url("/game%20(1).mp4"), tmp_path).video.title == "game (1)"


def test_sources_too_long_for_a_name_fail_alone(site: Site, tmp_path: Path) -> None:
    long = site.url("/missing.mp4?signature=" + "x" * 5000)
    results = list(fetch_all(expand([long, site.url("/film.mp4")]), tmp_path))
    assert [result.video is None for result in sorted(results, key=lambda each: -len(each.source))] == [
        True,
        False,
    ]


def test_more_behind_the_last_box_is_no_cut(site: Site, film: bytes, tmp_path: Path) -> None:
    site.files = {**site.files, "/tagged.mp4": film + b"TAG" + bytes(125)}
    assert fetch_one(site.url("/tagged.mp4"), tmp_path).video is not None


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_half_a_local_file_is_not_whole(film: bytes, tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    (tmp_path / "film.mp4").write_bytes(film)
    if suffix == "mp4":
        whole.write_bytes(film)
    else:
        if not shutil.which("ffmpeg"):
            pytest.skip("ffmpeg is not installed")
        how = ["-c", "copy"] if suffix == "mkv" else ["-c:v", "libvpx", "-deadline", "realtime", "-an"]
        run = ["ffmpeg", "-loglevel", "error", "-i", str(tmp_path / "film.mp4"), *how, str(whole)]
        subprocess.run(run, check=True)
    half = tmp_path / f"half.{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert fetch_one(str(whole), tmp_path / "m").video is not None
    assert fetch_one(str(half), tmp_path / "m").problem.startswith("not whole")


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


def test_the_command_lists_failures_and_exits_1(site: Site, tmp_path: Path, capsys) -> None:
    assert run(command(tmp_path, site.url("/film.mp4"), site.url("/missing.mp4"), "--json")) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [video["title"] for video in document["videos"]] == ["film"]
    assert document["failed"][0]["problem"].startswith("removed (404)")
    assert "1 failed:" in err
    assert "yt-dlp 20" in err
    assert "Traceback" not in err


def test_a_relative_folder_will_do(site: Site, film: bytes, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(command(Path("matches"), site.url("/film.mp4"))) == 0
    (video,) = Manifest(tmp_path / "matches").videos()
    assert (tmp_path / "matches" / video.path).read_bytes() == film


@pytest.mark.parametrize("text", ["no cookies", "# Netscape HTTP Cookie File\n", "a\tb\tc\n"])
def test_what_is_no_cookie_file_is_told_before_anything_is_fetched(tmp_path: Path, text: str, capsys) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text(text)
    assert run(command(tmp_path / "out", "nowhere.mp4", "--cookies", str(path))) == 2
    assert "cookies.txt" in capsys.readouterr().err
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
