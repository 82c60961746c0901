"""Videos into a folder, each once, whole and probed: ``DIR/videos/ID.mp4`` and a line in ``videos.jsonl``.

Several threads, or nodes of a cluster, work at once, and several runs may share a folder: what one has
claimed, another waits for.
"""

from __future__ import annotations

import errno
import logging
import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.data.fetch.one import (
    FetchedVideo,
    FetchJob,
    FetchOptions,
    FetchProgress,
    FetchRun,
    fetch_job,
    is_web_address,
)
from svlm_cli.data.inside import videos_in
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.documents import MalformedError, read_bytes
from svlm_cli.errors import SourceError, SvlmError, UsageError
from svlm_cli.files import make_folder
from svlm_cli.text import encodable
from svlm_cli.work.jobs import Aside, BegunAgain, Came, Crew, Ended, Signals
from svlm_cli.work.place import HERE, Workplace

_MOST_LIST_BYTES = 1 << 26
_DEEPEST = 3  # a channel holds tabs, a tab playlists, a playlist videos


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one video. Its texts can be encoded.

    Args:
        source: what was fetched: an address, a file, a match.
        video: its line, None where it failed.
        is_new: False where it was there already.
        problem: why it failed, the reason first.
        note: what else was asked for and is not there; empty where there is nothing to say.
    """

    source: str
    video: Video | None
    is_new: bool = False
    problem: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", encodable(self.source))
        object.__setattr__(self, "problem", encodable(self.problem))
        object.__setattr__(self, "note", encodable(self.note))


def expand(
    sources: Sequence[str], on_left_out: Callable[[str, list[str]], None] = lambda _folder, _names: None
) -> list[str]:
    """The sources that a command line stands for: lists read, folders as the videos in them, each once.

    Args:
        sources: as given.
        on_left_out: called with a folder and the names in it that are no videos.

    Raises:
        UsageError: a list that cannot be read.
    """
    if not all(source.strip() for source in sources):
        raise UsageError("an empty SOURCE")
    found: list[str] = []
    for source in sources:
        found += _read_list(Path(source[1:])) if source.startswith("@") else [source]
    every = []
    for source in found:
        if source.startswith("arena:") or is_web_address(source) or not os.path.isdir(source):
            every.append(source)
            continue
        try:
            inside, left_out = videos_in(Path(source))
        except SourceError:  # told when its turn comes; the others go on
            inside, left_out = [], []
        every += [str(path) for path in inside] or [source]
        if left_out:
            on_left_out(source, left_out)
    return list(dict.fromkeys(every))


def fetch_all(
    sources: Sequence[str],
    folder: Path,
    options: FetchOptions | None = None,
    on_progress: Callable[[FetchProgress], None] = lambda _progress: None,
    place: Workplace = HERE,
) -> Generator[Fetched, None, None]:
    """Fetch everything, and say of each video what became of it, in the order in which they end.

    Args:
        sources: what ``expand`` gave.
        folder: the folder to fetch into; made.
        options: how.
        on_progress: called with how far each video is.
        place: where the work is done.

    Yields:
        One result per video. A problem of one is told in it and does not stop the others. In the end the
        lines of ``videos.jsonl`` stand in the order of the sources, whoever was first.

    Raises:
        SvlmError: the folder cannot be used at all.
    """
    options = options or FetchOptions()
    taken: Counter[str] = Counter()
    crew: Crew[FetchJob, FetchedVideo | list[FetchJob]] = place.crew(
        _FetchHire(folder, options), options.workers, shares=True, with_gpu=False, name=lambda job: job.source
    )

    places: dict[int, tuple[FetchJob, tuple[int, ...]]] = {}  # of each job, playlists within playlists
    done: dict[tuple[int, ...], str] = {}

    def start(jobs: Sequence[FetchJob], above: tuple[int, ...] = ()) -> None:
        for number, job in enumerate(jobs):
            limit = options.download.limit
            if limit is not None and taken[job.given] >= limit:
                return
            taken[job.given] += 1
            places[id(job)] = job, (*above, number)
            crew.add([job])

    with crew:
        _open_manifest(folder)  # not before a cluster has been reached
        start([FetchJob(source, source) for source in sources])
        with closing(crew.events()) as events:
            for heard in events:
                match heard:
                    case Came(job=job, event=FetchedVideo() as got):
                        done[places[id(job)][1]] = got.video.id
                        yield Fetched(job.source, got.video, got.is_new, note=got.note)
                    case Came(job=job, event=list() as found) if job.depth < _DEEPEST:
                        taken[job.given] -= 1  # the playlist itself is no video
                        start(found, places[id(job)][1])
                    case Ended(job=job, error=BaseException() as error):
                        yield Fetched(job.source, None, problem=_problem(error))
                    case Aside(what=FetchProgress() as progress):
                        on_progress(progress)
                    case Aside(what=str() as message) | BegunAgain(reason=message):
                        logging.getLogger(__name__).warning("%s", message)
    _arrange(folder, [done[place] for place in sorted(done)])


def _arrange(folder: Path, ids: Sequence[str]) -> None:
    """Put the lines of the videos in the order of their sources; one that cannot be written stays."""
    try:
        Manifest(folder).arrange(ids)
    except OSError as error:
        told = "the lines of videos.jsonl are left in the order in which they came: %s"
        logging.getLogger(__name__).warning(told, error.strerror)


@dataclass(frozen=True, slots=True)
class _FetchHire:
    """Makes a hand that several threads share."""

    folder: Path
    options: FetchOptions

    def __call__(self, signals: Signals) -> _Fetcher:
        manifest = Manifest(self.folder)
        return _Fetcher(FetchRun(self.folder, manifest, self.options, signals.tell, signals.should_stop))


@dataclass(frozen=True, slots=True)
class _Fetcher:
    run: FetchRun

    def do(self, job: FetchJob) -> Iterator[FetchedVideo | list[FetchJob]]:
        """See ``Hand``."""
        yield fetch_job(job, self.run)


def _problem(error: BaseException) -> str:
    """Why a source failed: whatever is wrong with one does not stop the others."""
    if isinstance(error, SvlmError):
        return str(error)
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return f"{'disk full' if full else 'failed'}: {error.strerror or error}"
    return f"failed: {type(error).__name__}: {error}"


def _open_manifest(folder: Path) -> None:
    """Make the folder, if it is not there, and see that its manifest can be read."""
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}") from error
    manifest = Manifest(folder)
    if manifest.exists:
        manifest.videos()  # a damaged one is told before anything is fetched


def _read_list(path: Path) -> list[str]:
    """Sources of a file, one a line, in any encoding of names; empty lines and comments (#) are left out."""
    try:
        content = read_bytes(path, _MOST_LIST_BYTES)
    except OSError as error:
        raise UsageError(f"the list {path} cannot be read: {error.strerror}") from error
    except MalformedError as error:
        raise UsageError(f"the list {path} cannot be read: {error}") from error
    if b"\0" in content:
        raise UsageError(f"the list {path} is no text: it holds zero bytes", "save it as UTF-8")
    # Names of files need not be UTF-8, and are taken as on the command line.
    lines = [os.fsdecode(line).strip() for line in content.removeprefix(BOM_UTF8).splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UsageError(f"the list {path} names no source")
    return found
