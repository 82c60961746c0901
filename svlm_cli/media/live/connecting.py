"""From a live address to one open stream of pictures: pages, variants, servers that cannot serve it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, takewhile
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from svlm_cli.errors import SourceError, boundary
from svlm_cli.media.address import Input, LiveOptions, is_playlist, may_be_page, plain_input
from svlm_cli.media.container import OpenVideo
from svlm_cli.media.live.glimpse import (
    GONE,
    MOST_PLAYLIST_BYTES,
    NO_PARTS,
    Glimpse,
    cookie_header,
    glimpse,
    refusal,
    served_file,
)
from svlm_cli.media.live.playlist import best_first, newest_init, newest_part, samples, variants
from svlm_cli.media.loops import LOOP_HINT, is_master, lists_playlists
from svlm_cli.media.probe import open_input
from svlm_cli.text import visible

OPEN_SECONDS = 20.0
SHORTEST_PATIENCE_SECONDS = 2.0
LOOK_SECONDS = 5.0
_MP4_SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
_HEADERS = "headers"
_PLAYLIST_START = b"#EXTM3U"


class UnservableError(SourceError):
    """What cannot be played from where it lies, or by this libav."""


class GoneError(SourceError):
    """A playlist of which nothing is there."""


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
        self._is_page = self._is_height_told = False
        self._heights: dict[str, int] = {}  # of variants; 0 while it is not known
        self.playing = Input("")

    @property
    def playlist(self) -> tuple[str, Mapping[str, str]]:
        """Address and headers of what is played, where it is read over HTTP; else an empty address."""
        return (self.playing.url, _headers(self.playing)) if _is_http(self.playing.url) else ("", {})

    def sends_parts(self) -> bool:
        """Whether what is played can be read on from anywhere; False where its server sends whole files."""
        if not _is_http(self.playing.url):
            return True
        served = served_file(self.playing.url, _headers(self.playing), SHORTEST_PATIENCE_SECONDS)
        return served is None or served.sends_parts

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
            except (UnservableError, GoneError):
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
        if not _is_http(wanted.url):
            return self._opened(wanted, patience_seconds)
        if PurePosixPath(urlsplit(wanted.url).path).suffix.lower() in _MP4_SUFFIXES:
            return self._opened(self._as_served(wanted, patience_seconds), patience_seconds)
        try:
            video = self._opened(wanted, patience_seconds)
        except SourceError:
            if self._is_playlist_by_content(wanted, patience_seconds):
                return self._first_that_opens(self._variants(wanted, patience_seconds), patience_seconds)
            served = self._as_served(wanted, patience_seconds)
            if served == wanted:
                raise
            return self._opened(served, patience_seconds)
        return self._as_can_be(video, wanted, patience_seconds)

    def _as_can_be(self, video: OpenVideo, wanted: Input, patience_seconds: float) -> OpenVideo:
        """An open video, or what is to be opened in its place, by what its name has not told."""
        try:
            if not video.is_playlist:
                is_file = bool(video.container.duration)
                served = self._as_served(wanted, patience_seconds) if is_file else wanted
                inputs = iter([served])
            elif len(video.container.streams.video) > 1:
                inputs = self._variants(wanted, patience_seconds)
            else:
                return video
            best = next(inputs)
        except BaseException:
            video.close()
            raise
        if best == wanted:
            return video
        video.close()
        return self._first_that_opens(chain([best], inputs), patience_seconds)

    def _first_that_opens(self, inputs: Iterable[Input], patience_seconds: float) -> OpenVideo:
        """The first that opens and is not too high, whatever is said of it; else the lowest."""
        most = self._options.max_height
        lowest: tuple[OpenVideo, Input] | None = None
        for video, wanted in self._that_open(inputs, patience_seconds):
            told = self._heights.get(wanted.url)
            if told is None:  # there is no choice
                return video
            self._heights[wanted.url] = _height(video)
            higher: OpenVideo | None = video
            if lowest is None or _height(video) < _height(lowest[0]):
                higher = None if lowest is None else lowest[0]
                lowest = video, wanted
            if higher is not None:
                higher.close()
            if told > most or _height(lowest[0]) <= most:
                break  # those that follow say that they are no lower
        assert lowest is not None
        self._note_height(_height(lowest[0]))
        self.playing = lowest[1]
        return lowest[0]

    def _that_open(
        self, inputs: Iterable[Input], patience_seconds: float
    ) -> Iterator[tuple[OpenVideo, Input]]:
        """Those of several that open, at least one.

        Raises:
            SourceError: none does.
        """
        failure: SourceError | None = None
        has_opened = False
        try:
            for wanted in inputs:
                try:
                    video = self._opened(wanted, patience_seconds)
                except SourceError as error:  # a variant may be gone where the others are not
                    failure = failure or error  # the best one's: the last may be of sound alone
                else:
                    has_opened = True
                    yield video, wanted
        except GoneError as error:
            if not has_opened:
                raise error from failure
        if not has_opened:
            assert failure is not None
            raise failure

    def _note_height(self, height: int) -> None:
        """Say once that no variant is as low as was asked for."""
        if height > self._options.max_height and not self._is_height_told:
            self._is_height_told = True
            self._warn(f"no variant has at most {self._options.max_height} lines; that of {height} is shown")

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
        cookies = {"cookies": seen.cookies} if seen is not None and seen.cookies else {}
        headers = {**_headers(wanted), **cookie_header("" if seen is None else seen.cookies)}
        given, gone, refused = 0, "", list[Input]()
        found = [replace(each, height=self._heights.setdefault(each.url, each.height)) for each in found]
        for each in best_first(found, self._options.max_height):
            inner = glimpse(each.url, headers, patience_seconds, MOST_PLAYLIST_BYTES)
            listed = "" if inner is None else inner.body.decode("utf-8", "replace")
            if is_master(listed) or lists_playlists(listed, each.url):
                continue
            reason = self._why_no_segment(inner, headers, patience_seconds)
            variant = replace(wanted, url=each.url, options={**wanted.options, **cookies})
            if not reason:
                given += 1
                yield variant
                continue
            height = f"{each.height} lines" if each.height else "no stated height"
            self._warn(f"of the variant of {height} no segment can be had ({reason})")
            gone = gone or reason
            refused += [] if reason in GONE else [variant]
        yield from refused  # libav may have what this look lacks
        if not found and not (seen is not None and lists_playlists(text, seen.url)):
            gone = self._why_no_segment(seen, headers, patience_seconds)
            if gone not in GONE:
                yield wanted
        if gone and not given:
            what = "none of its variants has segments" if found else "no segment of its playlist can be had"
            raise GoneError(
                f"cannot open {self._name}: {what} ({gone})",
                "the broadcast may be over, or its server out of order; try again later",
            )
        if not given and not refused and (found or (seen is not None and lists_playlists(text, seen.url))):
            raise UnservableError(f"{self._name} leads to playlists and to no pictures", LOOP_HINT)

    def _warn(self, what: str) -> None:
        logging.getLogger(__name__).warning("%s", visible(f"{self._name}: {what}"))

    def _is_playlist_by_content(self, wanted: Input, patience_seconds: float) -> bool:
        """Whether an address that does not say so by its name is that of a playlist of HLS."""
        seen = glimpse(wanted.url, _headers(wanted), patience_seconds, len(_PLAYLIST_START))
        return seen is not None and seen.body == _PLAYLIST_START

    def _why_no_segment(
        self, seen: Glimpse | None, headers: Mapping[str, str], patience_seconds: float
    ) -> str:
        """Why no segment of a playlist can be had, which libav would try one after another, in silence.

        Returns:
            The reason of the newest one; empty where one is there, or nobody knows.
        """
        if seen is None:
            return ""
        patience_seconds = min(patience_seconds, LOOK_SECONDS)  # one that does not answer may yet
        text, headers = seen.body.decode("utf-8", "replace"), {**headers, **cookie_header(seen.cookies)}
        listed, init = samples(text, seen.url), newest_init(text, seen.url)
        if init is not None and (reason := refusal(init, headers, patience_seconds)):
            return reason
        part = newest_part(text, seen.url)
        if part is not None:
            had = glimpse(part[0], headers, patience_seconds, 1, asks_part=True, begin=part[1])
            if had is not None and not had.is_part:
                return NO_PARTS
        reasons = list(takewhile(bool, (refusal(each, headers, patience_seconds) for each in listed)))
        return reasons[0] if reasons and len(reasons) == len(listed) else ""

    def _as_served(self, wanted: Input, patience_seconds: float) -> Input:
        """How to open a file where it lies: not by its parts, where the server only says that it sends them.

        Raises:
            UnservableError: an MP4 that this server cannot serve; libav would read all of it again and again.
        """
        served = served_file(wanted.url, _headers(wanted), patience_seconds)
        if served is None or served.sends_parts:
            return wanted
        if served.has_late_index:
            lacks = "says that it sends parts of files (HTTP ranges), and does not"
            raise UnservableError(
                f"{self._name} cannot be played from there: this MP4 has its index at its end, and the "
                f"server {lacks if served.claims_parts else 'sends no parts of files (HTTP ranges)'}",
                "stream a download of it, or rewrite it: ffmpeg -i IN -c copy -movflags +faststart OUT",
            )
        return replace(wanted, options={**wanted.options, "seekable": "0"}) if served.claims_parts else wanted


def _height(video: OpenVideo) -> int:
    return int(video.stream.codec_context.height)


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
