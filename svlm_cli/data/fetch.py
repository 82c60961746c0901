"""Videos into a folder, each once, whole and probed: ``DIR/videos/ID.mp4`` and a line in ``videos.jsonl``."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from svlm_cli.arena.address import ArenaAddress, parse_address
from svlm_cli.arena.export import require_end, write_truth, write_video
from svlm_cli.arena.truth import opening_text, truth, words_of
from svlm_cli.arena.voice import find_speaker, speak
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.data.transcript import TimedWord, transcript_path, write_transcript
from svlm_cli.errors import SourceError, SvlmError
from svlm_cli.files import whole_file
from svlm_cli.media.reader import open_video

VIDEO_FOLDER = "videos"
_HASH_BLOCK = 1 << 20
_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".m4v"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one source.

    Args:
        source: as the user gave it; a file of a folder by its own path.
        video: its line, None where it failed.
        is_new: False where it was there already.
        problem: why it failed.
    """

    source: str
    video: Video | None
    is_new: bool = False
    problem: str = ""


def expand(source: str) -> list[str]:
    """The videos that a source stands for: a folder stands for the video files in it, if it has any."""
    folder = Path(source)
    if source.startswith("arena:") or not folder.is_dir():
        return [source]
    return sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES) or [source]


def fetch(source: str, folder: Path, *, sport: str = "", with_voice: bool = False) -> Fetched:
    """Fetch one video, unless the folder has it.

    Args:
        source: ``arena:...`` or a video file.
        folder: to fetch into.
        sport: noted with the video.
        with_voice: give a match of the arena a spoken sound track.

    Returns:
        What became of it; a problem of this source is not raised.
    """
    try:
        if source.startswith("arena:"):
            return _fetch_arena(source, folder, with_voice=with_voice)
        return _fetch_file(source, folder, sport)
    except SvlmError as error:
        return Fetched(source, None, problem=str(error))
    except OSError as error:
        return Fetched(source, None, problem=f"{error.strerror or error}: {error.filename or folder}")


def _fetch_arena(source: str, folder: Path, *, with_voice: bool) -> Fetched:
    """A match as video, truth (``videos/ID.truth.json``) and transcript."""
    address = parse_address(source)
    require_end(address)
    video_id = _arena_id(address, with_voice=with_voice)
    known = _known(folder, video_id)
    if known:
        return Fetched(source, known)
    words, sound = [word for record in truth(address) for word in words_of(record)], None
    if with_voice:
        voice = speak(truth(address), address.duration_seconds, find_speaker())
        words, sound = list(voice.words), voice.samples
    with whole_file(folder / VIDEO_FOLDER / f"{video_id}.truth.json") as partial:
        write_truth(address, partial)
    timed = [TimedWord(word.text, word.start_seconds, word.end_seconds) for word in words]
    write_transcript(transcript_path(folder, video_id), timed)
    path = folder / VIDEO_FOLDER / f"{video_id}.mp4"
    with whole_file(path) as partial:
        write_video(address, partial, sound)
    video = _probed(video_id, opening_text(address), address.sport, str(address), folder, path)
    Manifest(folder).add(video)
    return Fetched(source, video, is_new=True)


def _fetch_file(source: str, folder: Path, sport: str) -> Fetched:
    """A copy of a video file, named by its own name and its content."""
    original = Path(source.removeprefix("file://"))
    if original.is_dir():
        raise SourceError(f"{source} holds no video files")
    if not original.is_file():
        raise SourceError(f"{source} is neither a video file nor a folder", "check the path")
    open_video(original).close()
    digest = sha256_of(original)
    video_id = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', original.stem).strip('-') or 'video'}-{digest[:8]}"
    known = _known(folder, video_id)
    if known:
        return Fetched(source, known)
    path = folder / VIDEO_FOLDER / (video_id + original.suffix.lower())
    with whole_file(path) as partial:
        shutil.copyfile(original, partial)
    video = _probed(video_id, original.stem, sport, original.resolve().as_uri(), folder, path)
    Manifest(folder).add(video)
    return Fetched(source, video, is_new=True)


def sha256_of(path: Path) -> str:
    """Of a whole file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _arena_id(address: ArenaAddress, *, with_voice: bool) -> str:
    numbers = f"{address.minutes:g}min-{address.fps:g}fps-{address.width}x{address.height}"
    return f"arena-{address.sport}-{address.seed}-{numbers}".replace(".", "_") + (
        "-voice" if with_voice else ""
    )


def _known(folder: Path, video_id: str) -> Video | None:
    manifest = Manifest(folder)
    if not manifest.exists:
        return None
    found = next((video for video in manifest.videos() if video.id == video_id), None)
    return found if found and (folder / found.path).is_file() else None


def _probed(video_id: str, title: str, sport: str, url: str, folder: Path, path: Path) -> Video:
    with open_video(path) as video:
        info = video.info
    if info.duration_seconds is None:
        raise SourceError(f"{path} does not state how long it is")
    return Video(
        id=video_id,
        title=title,
        sport=sport,
        url=url,
        path=path.relative_to(folder).as_posix(),
        duration_seconds=round(info.duration_seconds, 3),
        width=info.width,
        height=info.height,
        fps=round(info.fps, 3),
        has_audio=info.has_audio,
        sha256=sha256_of(path),
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
