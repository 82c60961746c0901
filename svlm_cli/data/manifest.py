"""The folder that ``svlm fetch`` fills and the commands after it read: videos and what is known of them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from svlm_cli import values
from svlm_cli.claims import claimed
from svlm_cli.documents import MalformedError, lines_of, parse_json
from svlm_cli.errors import SourceError
from svlm_cli.files import append_line, whole_file
from svlm_cli.text import encodable, visible

VIDEOS_FILE = "videos.jsonl"
VIDEO_FOLDER = "videos"
SUBTITLE_FOLDER = "subtitles"
DAMAGED_LINE = f"damaged line of {VIDEOS_FILE}"
_MOST_PIXELS = 100_000  # of a side
_MOST_FPS = 100_000.0


@dataclass(frozen=True, slots=True)
class Video:
    """A whole, probed video of a folder: one line of ``videos.jsonl``.

    Args:
        id: names its files; of letters, digits, ``-`` and ``_``.
        title: what a model is told before anything is said.
        sport: as the user named it, may be empty.
        url: where it came from.
        path: relative to the folder.
        duration_seconds, width, height, fps, has_audio: facts of the file.
        sha256: of the file, hexadecimal.
        fetched_at: ISO 8601, UTC.
    """

    id: str
    title: str
    sport: str
    url: str
    path: str
    duration_seconds: float
    width: int
    height: int
    fps: float
    has_audio: bool
    sha256: str
    fetched_at: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of ``videos.jsonl`` that is no video, and why."""

    number: int
    reason: str


class Manifest:
    """``videos.jsonl`` of a folder; several processes may add to it.

    A line that is no video is left out, and told once in the log.

    Args:
        folder: made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / VIDEOS_FILE
        self._lock = threading.Lock()
        self._known: list[Video] = []
        self._seen: tuple[int, int, int] | None = None
        self._told: set[BadLine] = set()

    @property
    def exists(self) -> bool:
        """Whether anything was ever added."""
        return self._path.is_file()

    def videos(self, *, needs_one: bool = False) -> list[Video]:
        """Every video, in the order they were added; an id added again replaces its earlier line.

        Args:
            needs_one: lines of which none is a video are an error.

        Raises:
            SourceError: no such file, or it cannot be read.
        """
        videos, bad_lines = self._read()
        for bad in bad_lines:
            if bad not in self._told:
                self._told.add(bad)
                told = "line %d of %s is no video and is left out: %s"
                logging.getLogger(__name__).warning(told, bad.number, visible(str(self._path)), bad.reason)
        if needs_one and bad_lines and not videos:
            raise SourceError(
                f"none of the {len(bad_lines)} lines of {self._path} is a video; the first: "
                f"{bad_lines[0].reason}",
                "svlm fetch SOURCE --out DIR takes up files that are there",
            )
        return list({video.id: video for video in videos}.values())

    def bad_lines(self) -> list[BadLine]:
        """The lines that are left out.

        Raises:
            SourceError: as ``videos``.
        """
        return self._read()[1]

    def find(self, is_wanted: Callable[[Video], bool]) -> Video | None:
        """The first video of this kind whose file is there; what other processes added is seen.

        Raises:
            SourceError: as ``videos``.
        """
        if not self.exists:
            return None
        with self._lock:
            state = self._path.stat()
            if self._seen is None or self._seen != (state.st_mtime_ns, state.st_size, state.st_ino):
                self._known = self.videos()
                self._seen = (state.st_mtime_ns, state.st_size, state.st_ino)
            known = self._known
        folder = self._path.parent
        return next((video for video in known if is_wanted(video) and (folder / video.path).is_file()), None)

    def add(self, video: Video) -> None:
        """Append a line; it is on the disk when this returns, as the video must be before.

        Raises:
            SourceError: a field is out of bounds, so that the line could not be read again.
        """
        line = encodable(json.dumps(asdict(video), ensure_ascii=False)).encode()
        try:
            parse_video(line)
        except MalformedError as error:
            raise SourceError(f"{video.id} cannot be noted in {self._path}: {error}") from error
        with self._lock, claimed(self._path) as held:
            rest = self._unended()
            assert held is not None  # nothing tells it to stop
            held.require()
            append_line(self._path, rest + line + b"\n")

    def arrange(self, ids: Sequence[str]) -> None:
        """Put the lines of these videos in this order, in the places that they have; other lines stay.

        Raises:
            OSError: they stand otherwise, and the file cannot be written.
        """
        wanted = {each: number for number, each in enumerate(dict.fromkeys(ids))}
        if not self.exists or _arranged(self._path.read_bytes(), wanted) is None:
            return
        with self._lock, claimed(self._path) as held:
            content = _arranged(self._path.read_bytes(), wanted)
            assert held is not None  # nothing tells it to stop
            if content is not None:
                with whole_file(self._path) as partial:
                    partial.write_bytes(content)
                    held.require()

    def _unended(self) -> bytes:
        """A whole last line that lacks its end, with it: what appending would take for torn, and cut off."""
        content = self._path.read_bytes() if self.exists else b""
        rest = content[content.rfind(b"\n") + 1 :]
        try:
            parse_video(rest)
        except MalformedError:
            return b""
        return rest + b"\n"

    def _read(self) -> tuple[list[Video], list[BadLine]]:
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise SourceError(
                f"{self._path} cannot be read: {error.strerror}",
                "svlm fetch SOURCE --out DIR makes such a folder",
            ) from error
        videos, bad_lines = [], []
        num_whole = content.count(b"\n")
        for number, line in lines_of(content):
            try:
                videos.append(parse_video(line))
            except MalformedError as error:
                if number <= num_whole:  # what stands behind the last line break is being written, or was
                    bad_lines.append(BadLine(number, str(error)))
        return videos, bad_lines


def _arranged(content: bytes, wanted: Mapping[str, int]) -> bytes | None:
    """Lines with those of some videos in their wanted order; None where they stand so."""
    lines = content.split(b"\n")
    ranks = [wanted.get(_id_of(line), -1) for line in lines[:-1]]
    places = [place for place, rank in enumerate(ranks) if rank >= 0]
    ordered = sorted(places, key=lambda place: ranks[place])
    if ordered == places:
        return None
    arranged = list(lines)
    for place, given in zip(places, ordered, strict=True):
        arranged[place] = lines[given]
    return b"\n".join(arranged)


def _id_of(line: bytes) -> str:
    """The id of the video of a line; empty where it is none."""
    try:
        return parse_video(line).id
    except MalformedError:
        return ""


def parse_video(line: bytes) -> Video:
    """A line of ``videos.jsonl``.

    Raises:
        MalformedError: it is none; says what is wrong.
    """
    content: Any = parse_json(line)
    if not isinstance(content, dict):
        raise MalformedError(f"it is no object: {values.short(content)}")
    get = content.get
    has_audio = get("has_audio")
    if not isinstance(has_audio, bool):
        raise MalformedError(f"has_audio is neither true nor false: {values.short(has_audio)}")
    return Video(
        id=values.file_name(get("id"), "id"),
        title=values.text(get("title"), "title"),
        sport=values.text(get("sport"), "sport"),
        url=values.text(get("url"), "url"),
        path=values.inner_path(get("path"), "path"),
        duration_seconds=values.seconds(get("duration_seconds"), "duration_seconds"),
        width=values.whole(get("width"), "width", 0, _MOST_PIXELS),
        height=values.whole(get("height"), "height", 0, _MOST_PIXELS),
        fps=values.number(get("fps"), "fps", 0, _MOST_FPS),
        has_audio=has_audio,
        sha256=values.text(get("sha256"), "sha256"),
        fetched_at=values.text(get("fetched_at"), "fetched_at"),
    )
