"""One source into the folder of videos: from the web, from the disk, or out of the arena."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.export import file_name, require_end, write_truth, write_video
from svlm_cli.arena.truth import TruthSecond, opening_text, truth, words_of
from svlm_cli.arena.voice import find_speaker, speak
from svlm_cli.claims import Claim, claimed
from svlm_cli.data.fetch.captions import copy_captions, keep_captions, lacks_captions
from svlm_cli.data.fetch.keeping import keep_media
from svlm_cli.data.inside import videos_in
from svlm_cli.data.manifest import VIDEO_FOLDER, Manifest, Video
from svlm_cli.data.words.transcript import TimedWord, Transcript, transcript_path, write_transcript
from svlm_cli.errors import SourceError
from svlm_cli.files import place, sha256_of, sync, whole_file
from svlm_cli.media.behind import told
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.survey import survey
from svlm_cli.media.web.download import (
    Address,
    Downloaded,
    DownloadOptions,
    RemoteVideo,
    download,
    is_live,
    look_up,
)
from svlm_cli.text import encodable

PARTIAL_FOLDER = ".partial"
_WEB = re.compile(r"[a-z][a-z0-9+.-]*://|yt\w*search\w*:|[a-z]+:[a-z]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How to fetch.

    Args:
        sport: noted with every video.
        with_voice: give matches of the arena a spoken sound track.
        workers: videos at once.
        download: what to take from the web, and how.
    """

    sport: str = ""
    with_voice: bool = False
    workers: int = 2
    download: DownloadOptions = field(default_factory=DownloadOptions)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError("workers must be 1 or more")


@dataclass(frozen=True, slots=True)
class FetchJob:
    """One source to fetch.

    Args:
        source: what it is.
        given: what the user gave, which it came of.
        address: as a playlist named it.
        depth: playlists it was found through.
    """

    source: str
    given: str
    address: Address | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class FetchedVideo:
    """A video that the folder has.

    Args:
        video: its line.
        is_new: the folder had it not.
        note: what was asked for and is not there, in words; else empty.
    """

    video: Video
    is_new: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a video is: bytes done and in all (None where unknown); ``is_done`` once nothing more comes."""

    source: str
    title: str
    done_bytes: int
    total_bytes: int | None
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class FetchRun:
    """What all sources of one run share.

    Args:
        folder: the folder to fetch into.
        manifest: the manifest of the folder.
        options: how.
        tell: called with the progress of each video, from the working threads.
        should_stop: says now and then whether to stop; True ends the work.
    """

    folder: Path
    manifest: Manifest
    options: FetchOptions
    tell: Callable[[FetchProgress], None]
    should_stop: Callable[[], bool]

    def know(self, video_id: str) -> Video | None:
        """The line of a video that the folder has."""
        return self.manifest.find(lambda video: video.id == video_id)


def fetch_job(job: FetchJob, run: FetchRun) -> FetchedVideo | list[FetchJob]:
    """Fetch one source, unless the folder has it.

    Returns:
        The video, or the sources that this one stands for.

    Raises:
        SourceError: it cannot be had; says why.
        OSError: the folder cannot be written.
    """
    try:
        if job.address is None and job.source.startswith("arena:"):
            return _fetch_arena(job, run)
        if job.address is None and not is_web_address(job.source):
            return _fetch_file(job, run)
        return _fetch_web(job, run)
    finally:
        run.tell(FetchProgress(job.source, "", 0, None, is_done=True))


def is_web_address(source: str) -> bool:
    """Whether yt-dlp should look it up: an address, a search, and nothing that lies on the disk."""
    if source.startswith(("file://", "arena:")) or _is_on_disk(source):
        return False
    return _WEB.match(source) is not None


def _is_on_disk(source: str) -> bool:
    try:
        return Path(source).exists()
    except (OSError, ValueError):  # too long for a name, as signed addresses are
        return False


def _fetch_web(job: FetchJob, run: FetchRun) -> FetchedVideo | list[FetchJob]:
    address = job.address or Address(job.source)
    known = run.manifest.find(lambda video: video.id == address.video_id or video.url == address.url)
    if known and address.facts is None and not _lacks_captions(known.id, run):
        return FetchedVideo(known, is_new=False)
    found = look_up(address, run.options.download)
    if isinstance(found, list):
        return [FetchJob(each.url, job.given, each, job.depth + 1) for each in found]
    if is_live(found):
        raise SourceError("live: it has no end yet", "svlm stream watches live sources")
    with _claimed(run, found.id) as held:
        known = run.know(found.id)
        if known:
            return FetchedVideo(known, False, _add_captions(found, run))

        def on_progress(done: int, total: int | None) -> None:
            run.tell(FetchProgress(job.source, found.title, done, total))

        path = _finished(run.folder, found.id) or _download(found, run, on_progress)
        held.require()
        video = _note(run, path, found.id, found.title, found.url)
        return FetchedVideo(video, True, _both(_behind(path), _add_captions(found, run)))


def _download(video: RemoteVideo, run: FetchRun, on_progress: Callable[[int, int | None], None]) -> Path:
    """Download into a folder of its own; what is whole and shows pictures moves to its place."""
    partial = run.folder / PARTIAL_FOLDER / video.id
    got = download(video, partial, run.options.download, on_progress, run.should_stop)
    assert got.path is not None
    try:
        open_video(got.path).close()
    except SourceError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise SourceError("not a video: libav finds no pictures in what came", "check the address") from error
    if survey(str(got.path)).is_cut_off:
        shutil.rmtree(partial, ignore_errors=True)
        raise SourceError("network: the server ended in the middle of the file", "try again")
    path = keep_media(got.path, run.folder / VIDEO_FOLDER, video.id, run.options.download, place)
    shutil.rmtree(partial, ignore_errors=True)
    return path


def _lacks_captions(video_id: str, run: FetchRun) -> bool:
    return lacks_captions(run.folder, video_id, run.options.download.subtitle_language)


def _add_captions(video: RemoteVideo, run: FetchRun) -> str:
    """Captions of a video that is there, or what there is in their place."""
    language = run.options.download.subtitle_language
    if language is None or not _lacks_captions(video.id, run):
        return ""
    partial = run.folder / PARTIAL_FOLDER / video.id

    def get() -> Downloaded:
        return download(video, partial, run.options.download, lambda _done, _total: None, captions_only=True)

    note = keep_captions(run.folder, video.id, language, get)
    shutil.rmtree(partial, ignore_errors=True)
    return note


def _fetch_arena(job: FetchJob, run: FetchRun) -> FetchedVideo:
    """A match as video, truth (``videos/ID.truth.json``) and transcript."""
    address = parse_address(job.source)
    require_end(address)
    video_id = file_name(address) + ("-voice" if run.options.with_voice else "")

    def on_second(done_bytes: int = 0) -> None:
        run.tell(FetchProgress(job.source, "", done_bytes, None))
        if run.should_stop():
            raise SourceError("stopped", "run the same command again")

    def records() -> Iterator[TruthSecond]:
        for record in truth(address):
            on_second()
            yield record

    with _claimed(run, video_id) as held:
        known = run.know(video_id)
        if known:
            return FetchedVideo(known, is_new=False)
        words, sound = [word for record in records() for word in words_of(record)], None
        if run.options.with_voice:
            voice = speak(records(), address.duration_seconds, find_speaker())
            words, sound = list(voice.words), voice.samples
        with whole_file(run.folder / VIDEO_FOLDER / f"{video_id}.truth.json") as partial:
            write_truth(address, partial, records())
        timed = tuple(TimedWord(word.text, word.start_seconds, word.end_seconds) for word in words)
        write_transcript(transcript_path(run.folder, video_id), Transcript(timed))
        path = run.folder / VIDEO_FOLDER / f"{video_id}.mp4"
        with whole_file(path) as partial:
            write_video(address, partial, sound, on_second)
            held.require()
        video = _note(run, path, video_id, opening_text(address), str(address), address.sport)
        return FetchedVideo(video, is_new=True)


def _fetch_file(job: FetchJob, run: FetchRun) -> FetchedVideo:
    """A copy of a video file, named by its own name and its content."""
    original = Path(job.source.removeprefix("file://"))
    if original.is_dir():
        videos_in(original)  # which fails where it cannot be read
        raise SourceError(f"{job.source} holds no video files")
    if not original.is_file():
        raise SourceError(f"{job.source} is neither a video file nor a folder", "check the path")
    try:
        open_video(original).close()
    except SourceError as error:
        raise SourceError(f"not a video: {error.message}", error.hint) from error
    if survey(str(original)).is_cut_off:
        raise SourceError("not whole: the file ends before its pictures do", "get it again")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", original.stem).strip("-")[:80] or "video"
    video_id = f"{name}-{sha256_of(original)[:8]}"
    with _claimed(run, video_id) as held:
        note = ""
        if _lacks_captions(video_id, run):
            language = str(run.options.download.subtitle_language)
            note = copy_captions(original, run.folder, video_id, language)
        known = run.know(video_id)
        if known:
            return FetchedVideo(known, False, note)
        path = keep_media(original, run.folder / VIDEO_FOLDER, video_id, run.options.download)
        held.require()
        url = original.resolve().as_uri()
        return FetchedVideo(
            _note(run, path, video_id, original.stem, url), True, _both(_behind(original), note)
        )


def _behind(path: Path) -> str:
    """What is to be said of a file that goes on behind what is read of it."""
    at_byte = survey(str(path)).behind_byte
    return "" if at_byte is None else told(at_byte)


def _both(*notes: str) -> str:
    return "; ".join(filter(None, notes))


@contextmanager
def _claimed(run: FetchRun, video_id: str) -> Iterator[Claim]:
    """Have a video to oneself among all runs that share the folder."""
    with claimed(run.folder / PARTIAL_FOLDER / video_id, run.should_stop) as held:
        if held is None:
            raise SourceError(f"stopped: {video_id} is being fetched by another run")
        for stale in (run.folder / VIDEO_FOLDER).glob(f".{video_id}.*"):
            stale.unlink()  # a killed run was copying
        yield held


def _finished(folder: Path, video_id: str) -> Path | None:
    """A whole file whose line was never written; on the disk now, which a kill may have come before."""
    found = [path for path in (folder / VIDEO_FOLDER).glob(f"{video_id}.*") if path.suffix != ".json"]
    if len(found) != 1:
        return None
    sync(found[0])
    sync(found[0].parent)
    return found[0]


def _note(run: FetchRun, path: Path, video_id: str, title: str, url: str, sport: str | None = None) -> Video:
    """Probe a whole file and write its line; the sport is that of the options where None."""
    with closing(PyavPictures(str(path))) as pictures:
        info, length = pictures.info, pictures.length_seconds or 0.0
    video = Video(
        id=video_id,
        title=encodable(title),
        sport=encodable(run.options.sport if sport is None else sport),
        url=encodable(url),
        path=path.relative_to(run.folder).as_posix(),
        duration_seconds=round(length, 3),
        width=info.width,
        height=info.height,
        fps=round(info.fps, 3),
        has_audio=info.has_audio,
        sha256=sha256_of(path),
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    run.manifest.add(video)
    return video
