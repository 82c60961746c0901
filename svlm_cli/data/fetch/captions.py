"""Captions of a video that is fetched: from its site, or from beside its file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from svlm_cli.data.manifest import SUBTITLE_FOLDER
from svlm_cli.data.words.caption_names import best_captions, caption_files, unread_beside
from svlm_cli.data.words.captions import SUFFIXES, read_utterances
from svlm_cli.data.words.within import NoCaptionsError, captions_within
from svlm_cli.errors import SourceError
from svlm_cli.files import place, whole_file
from svlm_cli.media.web.download import Downloaded

_MOST_NAMED = 8


def lacks_captions(folder: Path, video_id: str, language: str | None) -> bool:
    """Whether captions in this language (None: none are asked for) are still to be had for a video."""
    if language is None:
        return False
    return best_captions(caption_files(folder / SUBTITLE_FOLDER, video_id), language) is None


def keep_captions(folder: Path, video_id: str, language: str, get: Callable[[], Downloaded]) -> str:
    """Captions from a site, moved to their place.

    Args:
        folder: the folder of the videos.
        video_id: the video that they belong to.
        language: the language that was asked for.
        get: downloads them.

    Returns:
        What there is where there is nothing in that language; else empty.

    Raises:
        SourceError: they cannot be had, or are of a form that is not read; the next run tries again.
    """
    try:
        got = get()
        if got.subtitles is None:
            return _missing(language, got.other_captions, "the site")
        path, name = got.subtitles
        if path.suffix.lower() not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise SourceError(f"they come as {path.suffix} alone, which is not read", f"read are {known}")
    except SourceError as error:
        raise SourceError(f"captions: {error.message}", error.hint) from error
    name = re.sub(r"[^A-Za-z0-9-]", "-", name)
    place(path, folder / SUBTITLE_FOLDER / f"{video_id}.{name}{path.suffix.lower()}")
    return ""


def copy_captions(original: Path, folder: Path, video_id: str, language: str) -> str:
    """Captions that lie beside a file (``final.srt``, ``final.en.vtt``), or within it, copied to their place.

    Returns:
        What there is where there is nothing in that language; else empty.
    """
    beside = [each for each in caption_files(original.parent, original.stem) if _is_transcript(each.path)]
    found = best_captions(beside, language)
    if found is None:
        return _extract(original, folder, video_id, language, [each.language for each in beside])
    name = re.sub(r"[^A-Za-z0-9-]", "-", found.language or language)
    target = folder / SUBTITLE_FOLDER / f"{video_id}.{name}{found.path.suffix.lower()}"
    with whole_file(target) as partial:
        shutil.copyfile(found.path, partial)
    return ""


def _extract(media: Path, folder: Path, video_id: str, language: str, beside: Sequence[str]) -> str:
    """Captions that a file holds itself, written to their place; as ``copy_captions``."""
    try:
        track, text = captions_within(media, language)
    except NoCaptionsError as error:
        unread = unread_beside(media)
        missing = _missing(language, beside, "its folder", " that can be read" * bool(unread))
        holds = f", and it holds {', '.join(map(str, error.tracks))}" if error.tracks else ""
        return f"{missing}{holds}; {unread}" if unread else missing + holds
    name = re.sub(r"[^A-Za-z0-9-]", "-", track.language or language)
    with whole_file(folder / SUBTITLE_FOLDER / f"{video_id}.{name}.vtt") as partial:
        partial.write_text(text, encoding="utf-8")
    return ""


def _is_transcript(path: Path) -> bool:
    """JSON and XML beside a video may be anything."""
    if path.suffix.lower() not in (".json", ".xml"):
        return True
    try:
        return bool(read_utterances(path))
    except SourceError:
        return False


def _missing(language: str, there: Sequence[str], where: str, which: str = "") -> str:
    if not there:
        return f"no captions: {where} has none{which}"
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    return f"no captions in {language}: {where} has {', '.join(there[:_MOST_NAMED])}{more}"
