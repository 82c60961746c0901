"""Where the videos of OVO-Bench are: whole ones under their names, or chunks named after the items.

The data set comes as ``src_videos`` (``AutoEvalMetaData/106.mp4``) and as ``chunked_videos``: ``{id}.mp4``
ends at the time of the question of item ``id``, ``{id}_{n}.mp4`` at that of the n-th query of a forward item.
A third of the sources are called by a number too, so a file named so is a source only under its whole name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from svlm_cli.bench.questions.ovo import GROUP_OF, Query

_NUMBER = re.compile(r"\d+(_\d+)?")


def ovo_videos(queries: Sequence[Query], folder: Path) -> list[Path]:
    """The file of each query, there or not.

    A source is looked for under its whole name, then under its base name where that is no number; where
    none is there, the query's chunk is. A folder that holds sources by their base names is not searched for
    chunks, as its numbers are those of sources. A number that is an item's and a source's too is a chunk only
    beside files that can be nothing else, those of forward items.

    Args:
        folder: a folder of sources, or of chunks.
    """
    whole = {query.video: _source(folder, query.video) for query in queries}
    is_flat = any(path is not None and path != folder / video for video, path in whole.items())
    sources = {Path(video).stem for video in whole}
    if any("_" in path.stem for path in folder.glob("*.mp4") if _NUMBER.fullmatch(path.stem)):
        sources = set()
    return [
        whole[query.video] or (folder / query.video if is_flat else _chunk(folder, query, sources))
        for query in queries
    ]


def _source(folder: Path, video: str) -> Path | None:
    named, base = folder / video, folder / Path(video).name
    if named.is_file():
        return named
    return base if not _NUMBER.fullmatch(base.stem) and base.is_file() else None


def _chunk(folder: Path, query: Query, sources: set[str]) -> Path:
    number = f"_{query.number}" if GROUP_OF[query.task] == "forward" else ""
    path = folder / f"{query.id}{number}.mp4"
    return path if path.stem not in sources and path.is_file() else folder / query.video
