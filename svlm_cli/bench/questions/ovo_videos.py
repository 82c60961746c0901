"""Where the videos of OVO-Bench are: whole ones under their names, or chunks named after the items.

The data set comes as ``src_videos`` (``AutoEvalMetaData/106.mp4``) and as ``chunked_videos``: ``{id}.mp4``
ends at the time of the question of item ``id``, ``{id}_{n}.mp4`` at that of the n-th query of a forward item.
A quarter of the sources are called by a number too, so a file named so is a source only under its whole name,
and a chunk only in a folder that shows by its name, or by numbers that no source has, that it holds chunks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from svlm_cli.bench.common.events import capped
from svlm_cli.bench.questions.ovo import GROUP_OF, Query
from svlm_cli.errors import SourceError

CHUNK_FOLDER = "chunked_videos"
_NUMBER = re.compile(r"[0-9]+(_[0-9]+)?")
_SOURCE_NUMBERS = range(400)  # of all ids below 1468; those of the sources of ovo_bench_new.json end at 326
_ITEM_NUMBERS = range(_SOURCE_NUMBERS.stop, 1468)
_MOST_LONGER_SECONDS = 2.0  # than to its question that a chunk may be: it is cut where a frame is


def ovo_videos(queries: Sequence[Query], folder: Path, tell: Callable[[str], None]) -> list[Path]:
    """The file of each query, there or not.

    A source is looked for under its whole name, then under its base name where that is no number; where
    none is there, the query's chunk is. ``{id}.mp4`` is one only in a folder that is called
    ``chunked_videos``, or most of whose numbers are those of items alone, however few of the queries are
    asked; and no file is that goes on behind the query's time.

    Args:
        folder: a folder of sources, or of chunks.
        tell: is told which files are not taken, and why.
    """
    sources = {Path(query.video).stem for query in queries}
    numbers = {path.stem for path in folder.glob("*.mp4") if path.stem.isdecimal()}
    holds_chunks = folder.resolve().name == CHUNK_FOLDER or _are_items(numbers - sources, numbers)
    found, unclear, longer = [], set(), set()
    for query in queries:
        path = _source(folder, query.video)
        if path is None and (chunk := _chunk(folder, query)).is_file():
            if not holds_chunks and (chunk.stem in numbers | sources):
                unclear.add(chunk.name)
            elif _goes_on(chunk, query.at_seconds):
                longer.add(chunk.name)
            else:
                path = chunk
        if path is None and not holds_chunks and (folder / Path(query.video).name).is_file():
            unclear.add(Path(query.video).name)
        found.append(path or folder / query.video)
    if unclear:
        tell(
            f"{len(unclear)} files of {folder} may be chunks of items or other videos of the same number, "
            f"and are left out: {capped(sorted(unclear))}; put sources into AutoEvalMetaData/ there, or call "
            f"a folder of chunks {CHUNK_FOLDER}"
        )
    if longer:
        tell(
            f"{len(longer)} files of {folder} go on behind the time of the question of their number, so they "
            f"are no chunks, and are left out: {capped(sorted(longer))}"
        )
    return found


def _are_items(certain: set[str], numbers: set[str]) -> bool:
    """Whether most numbers are those of items and of no source, in whatever part of the benchmark."""
    return 2 * sum(len(each) < 5 and int(each) in _ITEM_NUMBERS for each in certain) > len(numbers)


def _source(folder: Path, video: str) -> Path | None:
    named, base = folder / video, folder / Path(video).name
    if named.is_file():
        return named
    return base if not _NUMBER.fullmatch(base.stem) and base.is_file() else None


def _chunk(folder: Path, query: Query) -> Path:
    number = f"_{query.number}" if GROUP_OF[query.task] == "forward" else ""
    return folder / f"{query.id}{number}.mp4"


def _goes_on(path: Path, seconds: float) -> bool:
    """Whether a video is longer than a chunk that ends at that time; False where nobody can say."""
    from svlm_cli.media.file.reader import open_video

    if not path.stat().st_size:
        return False
    try:
        with open_video(path) as reader:
            length = reader.length_seconds
    except SourceError:  # told where its question is asked
        return False
    return length is not None and length > seconds + _MOST_LONGER_SECONDS
