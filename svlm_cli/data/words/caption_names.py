"""Files of captions by their names: whose they are, and in which language."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.data.words.captions import SUFFIXES
from svlm_cli.language import is_known, is_language

_UNREAD = (".ass", ".ssa", ".sbv", ".sup", ".sub", ".idx", ".scc", ".mcc", ".stl", ".smi", ".sami", ".lrc")
_SCC = re.compile(r"(?i)\.scc$")
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class CaptionFile:
    """Captions on the disk.

    Args:
        path: their path.
        language: as their name has it (``final.en-GB.vtt``); empty where it has none.
        is_forced: whether they hold only what is said in other languages.
    """

    path: Path
    language: str = ""
    is_forced: bool = False


def caption_files(folder: Path, name: str) -> list[CaptionFile]:
    """The captions in a folder of what is named so: ``NAME.vtt``, ``NAME.en.srt``, ``NAME.eng.sdh.ttml``."""
    return list(_of(name, sorted(folder.iterdir()))) if folder.is_dir() else []


def unread_beside(media: Path) -> str:
    """In words, which captions lie beside a file in a form that is not read; empty where none do."""
    folder, name = media.parent, media.stem
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    unread = [each.path.name for each in _of(name, paths, _UNREAD)]
    if not unread:
        return ""
    more = f" and {len(unread) - _MOST_NAMED} more" if len(unread) > _MOST_NAMED else ""
    are = "is" if len(unread) == 1 else "are"
    shown = ", ".join(unread[:_MOST_NAMED])
    by = " (of .scc with ttconv: FFmpeg makes it early)" if any(map(_SCC.search, unread)) else ""
    return f"{shown}{more} beside it {are} of a form that is not read: make VTT or SRT of it{by}"


def _of(name: str, paths: Iterable[Path], suffixes: Collection[str] = SUFFIXES) -> Iterator[CaptionFile]:
    for path in paths:
        if path.suffix.lower() not in suffixes or not path.name.startswith(f"{name}."):
            continue
        parts = path.name[len(name) + 1 : -len(path.suffix)].split(".") if path.stem != name else []
        known = [part for part in parts if is_known(part)]
        if known or not parts:
            yield CaptionFile(path, known[0] if known else "", "forced" in parts)


def best_captions(files: Iterable[CaptionFile], language: str) -> CaptionFile | None:
    """Those in a language, else those of which nobody says; the forms that tell most first."""
    suitable = [each for each in files if not each.language or is_language(each.language, language)]

    def rank(file: CaptionFile) -> tuple[bool, bool, int, str]:
        return file.is_forced, not file.language, _ORDER.index(file.path.suffix.lower()), file.path.name

    return min(suitable, key=rank, default=None)


_ORDER = (".vtt", ".srt", *(each for each in SUFFIXES if each not in (".vtt", ".srt")))
