"""Videos from the web through yt-dlp's Python API: what an address holds, and its file on the disk.

Every call makes a ``YoutubeDL`` of its own, so that several threads may download at once.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svlm_cli.digest import digest
from svlm_cli.errors import SourceError, SvlmError
from svlm_cli.language import language_code
from svlm_cli.media.tracks import AUTO
from svlm_cli.media.web.caption_tracks import FORMATS, caption_track, caption_tracks, downloaded_captions
from svlm_cli.media.web.checks import JAVASCRIPT_RUNTIMES, browser_cookies
from svlm_cli.media.web.errors import DISK_FULL, disk_full, failure_of
from svlm_cli.media.web.halves import MEDIA_NAME, Halves
from svlm_cli.text import all_encodable, encodable

SOCKET_TIMEOUT_SECONDS = 30
RETRIES = 5
LONGEST_WAIT_SECONDS = 8
_LIVE = frozenset({"is_live", "is_upcoming", "post_live"})
_FULL_DISK_BYTES = 1 << 20
_CANNOT_CONTINUE = "416"
# Extractors whose names for videos are the last part of an address, which others may share.
_EMBEDDED = "HTML5MediaEmbed"
_NAMED_BY_ADDRESS = frozenset({"Generic", _EMBEDDED})


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """What to take and how.

    Args:
        max_height: the greatest height in lines; a taller video is taken where nothing else is there.
        with_audio: False for pictures only.
        audio_track: which sound, where there are several: ``auto``, a number or a language.
        subtitle_language: the language of the captions to take along, e.g. ``en``; None for none.
        bytes_per_second: the bytes per second of one download; None for no limit.
        cookies: text of a Netscape cookie file.
        browser: the browser whose cookies to use: yt-dlp's BROWSER[+KEYRING][:PROFILE][::CONTAINER].
        limit: take at most this many videos of a playlist, channel or search.
    """

    max_height: int = 720
    with_audio: bool = True
    audio_track: str = AUTO
    subtitle_language: str | None = None
    bytes_per_second: int | None = None
    cookies: str | None = None
    browser: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Something that yt-dlp can look up.

    Args:
        url: as the user or a playlist gave it; also ``ytsearch5:...``.
        extractor: the extractor that a playlist names for it, None to find one.
        video_id: as a playlist tells it before it is looked up, else empty.
        facts: what a page tells of a video that has no page of its own.
    """

    url: str
    extractor: str | None = None
    video_id: str = ""
    facts: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RemoteVideo:
    """One video that can be downloaded.

    Args:
        id: letters, digits, ``-`` and ``_``: its site, and the site's own name for it.
        title: as the site has it.
        url: the URL of its page.
        facts: what yt-dlp knows of it.
    """

    id: str
    title: str
    url: str
    facts: Mapping[str, Any] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What lies on the disk.

    Args:
        path: the path of the video; None where only captions were asked for.
        subtitles: path of its captions and their language.
        other_captions: languages in which there are captions, where there are none in the one asked for.
    """

    path: Path | None
    subtitles: tuple[Path, str] | None = None
    other_captions: tuple[str, ...] = ()


Progress = Callable[[int, int | None], None]


def look_up(address: Address, options: DownloadOptions) -> RemoteVideo | list[Address]:
    """Ask the site what an address holds: one video, or a list of others.

    Raises:
        SourceError: it holds nothing that can be had; says why.
    """
    if address.facts is not None:  # its page is that of others too
        with _named_failures():
            return _remote_video({**address.facts, "webpage_url": address.url}, address.url)
    asked = {"extract_flat": "in_playlist", "playlistend": options.limit, "lazy_playlist": False}
    with _named_failures(), _session(_parameters(options) | asked) as session:
        facts = all_encodable(session.extract_info(address.url, download=False, ie_key=address.extractor))
        entries = facts.get("entries") if facts else None
        if entries is not None:
            return [_entry_address(all_encodable(entry), address.url) for entry in entries if entry]
    if not facts:
        raise SourceError("not a video: yt-dlp finds nothing there")
    if facts.get("extractor_key") == _EMBEDDED:  # the only video of a page is called its first
        facts = {**facts, "title": str(facts.get("title") or "").removesuffix(" (1)")}
    with _named_failures():
        return _remote_video(facts, address.url)


def download(
    video: RemoteVideo,
    folder: Path,
    options: DownloadOptions,
    on_progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    captions_only: bool = False,
) -> Downloaded:
    """Download a video into a folder of its own, or go on with what an earlier try left there.

    Args:
        video: what ``look_up`` gave.
        folder: a folder for this video only; what is complete in it lies under one name.
        options: as given to ``look_up``.
        on_progress: called with bytes done and bytes in all (None where unknown).
        should_stop: says now and then whether to stop; True leaves what is there for the next try.
        captions_only: leave the video itself.

    Raises:
        SourceError: it cannot be had, or was stopped; says why.
    """
    from yt_dlp.utils import DownloadCancelled

    def hook(status: Mapping[str, Any]) -> None:
        if should_stop():
            raise DownloadCancelled("stopped")
        halves.sync_now_and_then()
        total = status.get("total_bytes") or status.get("total_bytes_estimate")
        on_progress(int(status.get("downloaded_bytes") or 0), int(total) if total else None)

    folder = folder.resolve()
    halves = Halves(folder, video.facts)
    captions = caption_track(video.facts, options.subtitle_language) if captions_only else None
    base = str(folder / MEDIA_NAME).replace("%", "%%")
    wanted = {
        "outtmpl": {"default": f"{base}.%(ext)s"},
        "progress_hooks": [hook],
        "keep_fragments": True,
        "skip_download": captions_only,
        "writesubtitles": captions is not None and captions in (video.facts.get("subtitles") or {}),
        "writeautomaticsub": captions is not None,
        "subtitleslangs": [re.escape(captions)] if captions else [],
        "subtitlesformat": FORMATS,
    }
    try:
        with _named_failures(), _session(_parameters(options) | wanted) as session:
            facts = session.process_ie_result(dict(video.facts), download=True)
        path = None if captions_only else _only_file(folder, facts)
    except SourceError as error:
        is_named = error.message.startswith(DISK_FULL)
        if not is_named and shutil.disk_usage(folder).free < _FULL_DISK_BYTES:
            raise disk_full(error.message) from error
        if _CANNOT_CONTINUE in error.message:  # what is there is longer than what is served
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if captions is None:
        return Downloaded(path, None, caption_tracks(video.facts) if captions_only else ())
    return Downloaded(path, (downloaded_captions(facts, captions), captions))


def is_live(video: RemoteVideo) -> bool:
    """Whether it is, or will be, on the air: nothing that ends."""
    return bool(video.facts.get("is_live")) or video.facts.get("live_status") in _LIVE


def media_address(page: str, max_height: int) -> tuple[str, dict[str, str]]:
    """The address of the pictures on a page, live or not, and the HTTP headers that its site asks for.

    Raises:
        SourceError: there is no video; says why.
    """
    wanted = {"format": "b/bv*/bv", "noplaylist": True, "playlistend": 1}
    with _named_failures():
        with _session(_parameters(DownloadOptions(max_height)) | wanted) as session:
            facts = session.extract_info(page, download=False)
        while facts and facts.get("entries") is not None:
            facts = next(iter(facts["entries"]), None)
        if not facts or not facts.get("url"):
            raise SourceError(f"{page}: yt-dlp finds no video there", "give the address of the video itself")
        headers = {str(name): str(value) for name, value in (facts.get("http_headers") or {}).items()}
    if facts.get("cookies"):
        headers["Cookie"] = str(facts["cookies"])
    return str(facts["url"]), headers


def _parameters(options: DownloadOptions) -> dict[str, Any]:
    has_ffmpeg = shutil.which("ffmpeg") is not None
    together = "bv*+ba/b" if has_ffmpeg else "b/bv*"
    if has_ffmpeg and options.audio_track != AUTO and not options.audio_track.isdigit():
        code = language_code(options.audio_track)  # sites write en, en-US
        together = f"bv*+ba[language^={code}]/b[language^={code}]/{together}"
    parameters: dict[str, Any] = {
        "format": together if options.with_audio else "bv/b/bv*",
        # Up to that height, then what every decoder reads.
        "format_sort": [f"res:{options.max_height}", "vcodec:h264", "acodec:aac", "ext:mp4:m4a"],
        "merge_output_format": "mp4",
        "overwrites": False,
        "continuedl": True,
        "retries": RETRIES,
        "fragment_retries": RETRIES,
        "extractor_retries": RETRIES,
        "skip_unavailable_fragments": False,
        "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor"), _wait),
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "ratelimit": options.bytes_per_second,
        "js_runtimes": {name: {} for name in JAVASCRIPT_RUNTIMES},
        "logger": _Silence(),
        "quiet": True,
        "noprogress": True,
        "color": "never",
        "updatetime": False,
        "fixup": "detect_or_warn",
    }
    if options.cookies is not None:
        parameters["cookiefile"] = io.StringIO(options.cookies)  # read, and never written back
    if options.browser is not None:
        parameters["cookiesfrombrowser"] = browser_cookies(options.browser)
    return parameters


def _wait(n: int) -> float:
    """Seconds before another try, after ``n`` (yt-dlp names it so) that failed."""
    return float(min(0.5 * 2**n, LONGEST_WAIT_SECONDS))


@contextlib.contextmanager
def _session(parameters: Mapping[str, Any]) -> Any:
    import yt_dlp

    with yt_dlp.YoutubeDL(dict(parameters)) as session:
        yield session


@contextlib.contextmanager
def _named_failures() -> Any:
    try:
        yield
    except SvlmError:
        raise
    except Exception as error:  # a thousand extractors may raise anything; it is named, and the others go on
        raise failure_of(error) from error


class _Silence:
    """A logger for yt-dlp: what it says is told through its errors."""

    def debug(self, message: str) -> None:
        """Say nothing."""

    info = warning = error = debug


def _entry_address(entry: Mapping[str, Any], parent: str) -> Address:
    """One item of a playlist: an address to look up, or all there is to know."""
    if entry.get("_type") in ("url", "url_transparent") and entry.get("url"):
        return Address(str(entry["url"]), entry.get("ie_key"), _video_id(entry, ""))
    page = str(entry.get("webpage_url") or parent)
    return Address(f"{page}#{entry.get('id')}", facts=entry)


def _remote_video(facts: Mapping[str, Any], asked: str) -> RemoteVideo:
    url = str(facts.get("webpage_url") or asked)
    return RemoteVideo(_video_id(facts, url), str(facts.get("title") or facts["id"]), url, facts)


def _video_id(facts: Mapping[str, Any], url: str) -> str:
    """Site and the site's own name; empty where an address must be looked up to tell.

    Names that lose characters, and those of addresses that no extractor knows, get a digest.
    """
    site = str(facts.get("extractor_key") or facts.get("ie_key") or "")
    raw = str(facts.get("id") or "")
    if not raw or not site or (site in _NAMED_BY_ADDRESS and not url):
        return ""
    name = f"{site.lower()}-{raw}"
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:80]
    if site in _NAMED_BY_ADDRESS:
        return f"{plain}-{_digest(url)}"
    return plain if plain == name else f"{plain}-{_digest(name)}"


def _digest(text: str) -> str:
    return digest(encodable(text), 8)


def _only_file(folder: Path, facts: Mapping[str, Any] | None) -> Path:
    paths = [Path(str(item["filepath"])) for item in (facts or {}).get("requested_downloads") or []]
    paths = [path for path in paths if path.is_file() and path.parent == folder]
    if len(paths) != 1:
        raise SourceError("network: the download left no file", "run the same command again")
    return paths[0]
