"""Videos into a folder, each once, whole and probed: ``DIR/videos/ID.mp4`` and a line in ``videos.jsonl``.

Several threads work at once, and several runs may share a folder: what one has claimed, another waits for.
"""

from __future__ import annotations

import errno
import os
import threading
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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
    on_progress: Callable[[FetchProgress], None] | None = None,
) -> Iterator[Fetched]:
    """Fetch everything, and say of each video what became of it, in the order in which they end.

    Args:
        sources: from ``expand``.
        folder: to fetch into; made.
        options: how.
        on_progress: called from the working threads.

    Yields:
        One result per video. A problem of one is told in it and does not stop the others.

    Raises:
        SvlmError: the folder cannot be used at all.
    """
    options = options or FetchOptions()
    stop = threading.Event()
    run = FetchRun(
        folder, _open_manifest(folder), options, on_progress or (lambda _progress: None), stop.is_set
    )
    taken: Counter[str] = Counter()
    pool = ThreadPoolExecutor(options.workers)
    running: dict[Future[FetchedVideo | list[FetchJob]], FetchJob] = {}

    def start(jobs: Sequence[FetchJob]) -> None:
        for job in jobs:
            limit = options.download.limit
            if limit is not None and taken[job.given] >= limit:
                return
            taken[job.given] += 1
            running[pool.submit(fetch_job, job, run)] = job

    try:
        start([FetchJob(source, source) for source in sources])
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                result = _result(future, job)
                if isinstance(result, Fetched):
                    yield result
                elif job.depth < _DEEPEST:
                    taken[job.given] -= 1  # the playlist itself is no video
                    start(result)
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)  # an address that hangs is not waited for


def _result(future: Future[FetchedVideo | list[FetchJob]], job: FetchJob) -> Fetched | list[FetchJob]:
    try:
        result = future.result()
    except SvlmError as error:
        return Fetched(job.source, None, problem=str(error))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "disk full" if full else "failed"
        return Fetched(job.source, None, problem=f"{reason}: {error.strerror or error}")
    except (Exception, SystemExit) as error:  # whatever is wrong with one source does not stop the others
        return Fetched(job.source, None, problem=f"failed: {type(error).__name__}: {error}")
    if isinstance(result, list):
        return result
    return Fetched(job.source, result.video, result.is_new, note=result.note)


def _open_manifest(folder: Path) -> Manifest:
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}") from error
    manifest = Manifest(folder)
    if manifest.exists:
        manifest.videos()  # a damaged one is told before anything is fetched
    return manifest


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
