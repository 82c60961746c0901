"""From a live address to one open stream of pictures: pages, variants, servers that cannot serve it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from svlm_cli.errors import SourceError, boundary
from svlm_cli.media.address import Input, LiveOptions, is_playlist, may_be_page, plain_input
from svlm_cli.media.container import OpenVideo
from svlm_cli.media.live.glimpse import MOST_PLAYLIST_BYTES, glimpse, lacks_parts
from svlm_cli.media.live.playlist import best_first, variants
from svlm_cli.media.loops import LOOP_HINT, is_master, lists_playlists
from svlm_cli.media.probe import open_input

OPEN_SECONDS = 20.0
SHORTEST_PATIENCE_SECONDS = 2.0
_MP4_SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
_HEADERS = "headers"


class UnservableError(SourceError):
    """What cannot be played from where it lies, or by this libav."""


class Connector:
    """Opens one address as often as it is asked to.

    Args:
        address: as the user typed it.
        name: what messages call it.
        options: patience and size.

    Attributes:
        playing: what libav has opened last.
    """

    def __init__(self, address: str, name: str, options: LiveOptions) -> None:
        self._address = address
        self._name = name
        self._options = options
        self._is_page = False
        self.playing = Input("")

    @property
    def playlist(self) -> tuple[str, Mapping[str, str]]:
        """Address and headers of what is played, where it is read over HTTP; else an empty address."""
        return (self.playing.url, _headers(self.playing)) if _is_http(self.playing.url) else ("", {})

    def connect(self, at_most_seconds: float = OPEN_SECONDS) -> OpenVideo:
        """Open the address, or what the page it names holds; of its streams only the pictures are read.

        Args:
            at_most_seconds: patience, where it is less than usual.

        Raises:
            SourceError: neither works.
        """
        patience = min(OPEN_SECONDS, max(SHORTEST_PATIENCE_SECONDS, at_most_seconds))
        with boundary(f"cannot open {self._name}", SourceError, "check the address"):
            return self._connected(patience)

    def _connected(self, patience: float) -> OpenVideo:
        plain = plain_input(self._address, self._options)
        if not self._is_page:
            try:
                return self._open(plain, patience)
            except UnservableError:
                raise
            except SourceError:
                if not may_be_page(self._address):
                    raise
        from svlm_cli.media.web.download import media_address

        try:
            url, headers = media_address(self._address, self._options.max_height)
        except SourceError as error:
            raise SourceError(f"cannot open {self._name}: {error.message}", "check the address") from error
        self._is_page = True
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return self._open(replace(plain, url=url, options={_HEADERS: lines}), patience)

    def _open(self, wanted: Input, patience_seconds: float) -> OpenVideo:
        if PurePosixPath(urlsplit(wanted.url).path).suffix.lower() == ".mpd" and not _reads_dash():
            pipe = "ffmpeg -i ADDRESS -map 0:v -c copy -f mpegts - | svlm stream -"
            raise UnservableError(
                f"{self._name}: PyAV's libav reads no DASH", f"take its HLS, or try: {pipe}"
            )
        if is_playlist(wanted.url):
            return self._first_that_opens(self._variants(wanted, patience_seconds), patience_seconds)
        is_named_mp4 = PurePosixPath(urlsplit(wanted.url).path).suffix.lower() in _MP4_SUFFIXES
        if is_named_mp4 and _is_http(wanted.url):
            self._require_parts(wanted, patience_seconds)
        video = self._opened(wanted, patience_seconds)
        try:
            if not _is_http(wanted.url):
                return video
            if "mp4" in video.container.format.name.split(",") and not is_named_mp4:
                self._require_parts(wanted, patience_seconds)
            if not video.is_playlist or len(video.container.streams.video) < 2:
                return video
            chosen = self._variants(wanted, patience_seconds)  # by a name that does not say so
            best = next(chosen)
        except BaseException:
            video.close()
            raise
        if best == wanted:
            return video
        video.close()
        return self._first_that_opens(chain([best], chosen), patience_seconds)

    def _first_that_opens(self, inputs: Iterable[Input], patience_seconds: float) -> OpenVideo:
        failure: SourceError | None = None
        for wanted in inputs:
            try:
                return self._opened(wanted, patience_seconds)
            except SourceError as error:  # a variant may be gone where the others are not
                failure = error
        assert failure is not None
        raise failure

    def _opened(self, wanted: Input, patience_seconds: float) -> OpenVideo:
        timeouts = patience_seconds, self._options.stall_seconds
        height = self._options.max_height
        video = open_input(wanted.url, wanted.format, wanted.options, timeouts, self._name, max_height=height)
        video.read_pictures_alone()
        self.playing = wanted
        return video

    def _variants(self, wanted: Input, patience_seconds: float) -> Iterator[Input]:
        """Each variant of a master playlist, the best first; the input itself where it has none.

        Raises:
            UnservableError: it leads to playlists alone, in which libav would go round and round.
        """
        seen = glimpse(wanted.url, _headers(wanted), patience_seconds, MOST_PLAYLIST_BYTES)
        text = "" if seen is None else seen.body.decode("utf-8", "replace")
        found = [] if seen is None else variants(text, seen.url)
        num_given = 0
        for each in best_first(found, self._options.max_height):
            inner = glimpse(each.url, _headers(wanted), patience_seconds, MOST_PLAYLIST_BYTES)
            listed = "" if inner is None else inner.body.decode("utf-8", "replace")
            if is_master(listed) or lists_playlists(listed, each.url):
                continue
            cookies = {"cookies": seen.cookies} if seen is not None and seen.cookies else {}
            yield replace(wanted, url=each.url, options={**wanted.options, **cookies})
            num_given += 1
        if (found and not num_given) or (seen is not None and lists_playlists(text, seen.url)):
            raise UnservableError(f"{self._name} leads to playlists and to no pictures", LOOP_HINT)
        if not found:
            yield wanted

    def _require_parts(self, wanted: Input, patience_seconds: float) -> None:
        """Refuse an MP4 that this server cannot serve: libav would read all of it, again and again.

        Raises:
            UnservableError: it is one.
        """
        if lacks_parts(wanted.url, _headers(wanted), patience_seconds):
            raise UnservableError(
                f"{self._name} cannot be played from there: this MP4 has its index at its end, and the "
                "server sends no parts of files (HTTP ranges)",
                "stream a download of it, or rewrite it: ffmpeg -i IN -c copy -movflags +faststart OUT",
            )


def _reads_dash() -> bool:
    import av

    try:
        return bool(av.ContainerFormat("dash", "r").is_input)
    except ValueError:
        return False


def _is_http(url: str) -> bool:
    return urlsplit(url).scheme.lower() in ("http", "https")


def _headers(wanted: Input) -> Mapping[str, str]:
    lines = wanted.options.get(_HEADERS, "").split("\r\n")
    return {name: value.strip() for name, found, value in (line.partition(":") for line in lines) if found}
