"""The dates of an HLS playlist (EXT-X-PROGRAM-DATE-TIME), which libav reads over: which stamp was when.

The playlist is looked at beside the stream, and of one dated segment as much as shows its first stamp. What
goes wrong here is no error: the stream then goes by this machine's clock, and says so.
"""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from svlm_cli.errors import SourceError
from svlm_cli.media.container import libav
from svlm_cli.media.live.glimpse import MOST_PLAYLIST_BYTES, cookie_header, glimpse
from svlm_cli.media.live.playlist import http_url
from svlm_cli.media.live.source_clock import SourceClock
from svlm_cli.utc import utc_seconds

PATIENCE_SECONDS = 5.0
AGAIN_SECONDS, OFTEN_SECONDS = 60.0, 2.0
POLL_SECONDS, FIRST_SECONDS = 0.1, 1.5
_SEGMENT_BYTES = 1 << 19
_MOST_PACKETS = 500
_DATE, _MAP = "#EXT-X-PROGRAM-DATE-TIME:", '#EXT-X-MAP:URI="'
_LENGTH = re.compile(r"#EXTINF:([0-9]{1,6}(?:\.[0-9]{1,9})?)")


@dataclass(frozen=True, slots=True)
class DatedSegment:
    """A segment whose beginning has a date.

    Args:
        url: the address of the segment.
        header_url: the address of what comes before every segment (fMP4), empty for nothing.
        utc_seconds: the time of its first picture, in seconds since 1970.
    """

    url: str
    header_url: str
    utc_seconds: float


def newest_dated(text: str, base_url: str) -> DatedSegment | None:
    """The newest segment of a playlist whose date is stated, or follows from those before it.

    None where there is none, or where segments are encrypted or parts of files.
    """
    found, header, stated, follows = None, "", None, None
    length = 0.0
    for line in map(str.strip, text.splitlines()):
        if line.startswith(_DATE):
            stated = utc_seconds(line.removeprefix(_DATE))
        elif number := _LENGTH.match(line):
            length = float(number[1])
        elif line == "#EXT-X-DISCONTINUITY":
            follows = None
        elif line.startswith(_MAP):
            header = http_url(base_url, line.removeprefix(_MAP).partition('"')[0]) or ""
        elif line.startswith("#EXT-X-BYTERANGE") or (
            line.startswith("#EXT-X-KEY") and "METHOD=NONE" not in line
        ):
            return None
        elif line and not line.startswith("#"):
            date, stated = (follows if stated is None else stated), None
            if date is not None and (url := http_url(base_url, line)):
                found = DatedSegment(url, header, date)
            follows = None if date is None else date + length
    return found


def first_stamp(content: bytes) -> float | None:
    """Presentation time of the first picture of (the beginning of) a segment, or None."""
    import av

    with suppress(SourceError, OSError), libav(), av.open(io.BytesIO(content)) as container:
        for number, packet in enumerate(container.demux(video=0)):
            if packet.pts is not None and packet.time_base:
                return float(packet.pts * packet.time_base)
            if number == _MOST_PACKETS:
                break
    return None


def stamp_and_date(url: str, headers: Mapping[str, str]) -> tuple[float, float] | None:
    """Of a playlist: the stamp of a picture, in seconds, and when it was, in seconds since 1970; or None."""
    seen = glimpse(url, headers, PATIENCE_SECONDS, MOST_PLAYLIST_BYTES)
    if seen is None or (dated := newest_dated(seen.body.decode("utf-8", "replace"), seen.url)) is None:
        return None
    headers = {**headers, **cookie_header(seen.cookies)}
    content = b""
    for part in filter(None, (dated.header_url, dated.url)):
        got = glimpse(part, headers, PATIENCE_SECONDS, _SEGMENT_BYTES, asks_part=True)
        if got is None:
            return None
        content += got.body
    stamp = first_stamp(content)
    return None if stamp is None else (stamp, dated.utc_seconds)


class Dating:
    """Dates the stretches of a clock, in a thread, for as long as its source lasts.

    Args:
        clock: the clock of the source.
        playlist: address and headers of the playlist that is read now; an empty address for none.
    """

    def __init__(self, clock: SourceClock, playlist: Callable[[], tuple[str, Mapping[str, str]]]) -> None:
        self._clock = clock
        self._playlist = playlist
        self._closed = threading.Event()
        self._has_looked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="svlm-dates", daemon=True)
        self._thread.start()

    def wait_for_first(self) -> None:
        """Give the first look its time, so that the first second too has its date."""
        self._has_looked.wait(FIRST_SECONDS)

    def close(self) -> None:
        """Look no more; a look that hangs in the network ends by itself."""
        self._closed.set()

    def _run(self) -> None:
        num_seen, pause, due = 0, OFTEN_SECONDS, 0.0
        while not self._closed.wait(POLL_SECONDS):
            now = time.monotonic()
            if self._clock.num_stretches != num_seen:
                num_seen, pause, due = self._clock.num_stretches, OFTEN_SECONDS, now
            if not num_seen or now < due:
                continue
            has_found = self._look()
            self._has_looked.set()
            pause = AGAIN_SECONDS if has_found else min(2 * pause, AGAIN_SECONDS)
            due = time.monotonic() + pause

    def _look(self) -> bool:
        with suppress(Exception):  # what a server sends must not end the stream
            url, headers = self._playlist()
            found = stamp_and_date(url, headers) if url else None
            return found is not None and self._clock.date(*found)
        return False
