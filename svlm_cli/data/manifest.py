"""The folder that ``svlm fetch`` fills and the commands after it read: videos and what is known of them."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from svlm_cli.errors import SourceError

VIDEOS_FILE = "videos.jsonl"
VIDEO_FOLDER = "videos"
SUBTITLE_FOLDER = "subtitles"


@dataclass(frozen=True, slots=True)
class Video:
    """A whole, probed video of a folder: one line of ``videos.jsonl``.

    Args:
        id: names its files; of letters, digits, ``-`` and ``_``.
        title: what a model is told before anything is said.
        sport: as the user named it, may be empty.
        url: where it came from.
        path: relative to the folder.
        duration_seconds, width, height, fps, has_audio: of the file.
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


class Manifest:
    """``videos.jsonl`` of a folder; several processes may add to it.

    Args:
        folder: made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / VIDEOS_FILE
        self._lock = threading.Lock()
        self._known: list[Video] = []
        self._seen: tuple[int, int, int] | None = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever added."""
        return self._path.is_file()

    def videos(self) -> list[Video]:
        """Every video, in the order they were added; an id added again replaces its earlier line.

        Raises:
            SourceError: no such file, or a line that is none of ours; names file and line.
        """
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"{self._path} cannot be read: {error}", "svlm fetch SOURCE --out DIR makes such a folder"
            ) from error
        # What stands behind the last line break is a line that a killed process was writing.
        videos = [self._parse(number, line) for number, line in enumerate(lines[:-1], 1) if line.strip()]
        return list({video.id: video for video in videos}.values())

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
        """Append a line; it is on the disk when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file, _locked(file):
            _drop_torn_line(file)
            file.write(json.dumps(asdict(video), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _parse(self, number: int, line: str) -> Video:
        try:
            content = json.loads(line)
            return Video(**{field.name: content[field.name] for field in fields(Video)})
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{self._path}, line {number}, is not a video: {error!r}") from error


@contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _drop_torn_line(file: BinaryIO) -> None:
    """A process that was killed, or a full disk, may have left half a line."""
    file.seek(0)
    content = file.read()
    file.truncate(content.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
