"""What ``svlm chunk`` cuts: the videos of a folder, or transcripts made elsewhere that lie there alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.data.manifest import VIDEO_FOLDER, Manifest
from svlm_cli.data.words.annealing import dense_clips
from svlm_cli.data.words.captions import SUFFIXES, read_utterances
from svlm_cli.data.words.elsewhere import on_pictures
from svlm_cli.data.words.filters import clean_by_rules
from svlm_cli.data.words.transcript import (
    FOLDER,
    Transcript,
    read_transcript,
    transcript_path,
    words_in,
)
from svlm_cli.errors import SourceError


@dataclass(frozen=True, slots=True)
class CommentatedVideo:
    """A video with a transcript, or one that should have one.

    Args:
        id: its id.
        title: told before anything is said; may be empty.
        path: the path of its file, which need not be there.
        transcript: path of its transcript, which need not be there either.
        duration_seconds: None where only its transcript knows.
    """

    id: str
    title: str
    path: Path
    transcript: Path
    duration_seconds: float | None


def find_videos(folder: Path, *, check_videos: bool) -> list[CommentatedVideo]:
    """Every video that ``videos.jsonl`` names; where there is none, one for each transcript.

    Args:
        folder: has ``videos.jsonl`` and ``transcripts/``, or transcripts made elsewhere (in it or in
            ``transcripts/``), each named by the id of its video.
        check_videos: transcripts alone are not enough.

    Raises:
        SourceError: the folder holds neither, or two transcripts of one video; says what to type next.
    """
    manifest = Manifest(folder)
    if manifest.exists:
        return [
            CommentatedVideo(
                video.id,
                video.title,
                folder / video.path,
                transcript_path(folder, video.id),
                video.duration_seconds,
            )
            for video in manifest.videos(needs_one=True)
        ]
    fetch = f"svlm fetch SOURCE --out {folder} and svlm align {folder} make both"
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder", fetch)
    transcripts = _transcripts(folder)
    if not transcripts:
        raise SourceError(f"{folder} has neither videos.jsonl nor transcripts ({', '.join(SUFFIXES)})", fetch)
    if check_videos:
        raise SourceError(
            f"{folder} has transcripts ({len(transcripts)}) but no videos.jsonl",
            f"add --no-video-check to take them without their videos; {fetch}",
        )
    return list(_by_name(folder, transcripts))


def _transcripts(folder: Path) -> list[Path]:
    for place in (folder / FOLDER, folder):
        found = sorted(place.iterdir()) if place.is_dir() else []
        found = [each for each in found if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")]
        if found:
            return found
    return []


def _by_name(folder: Path, transcripts: list[Path]) -> Iterator[CommentatedVideo]:
    seen: dict[str, Path] = {}
    for path in transcripts:
        if path.stem in seen:
            raise SourceError(
                f"{seen[path.stem].name} and {path.name} in {path.parent} are both of the video {path.stem}",
                "keep one of them, or rename it",
            )
        seen[path.stem] = path
        yield CommentatedVideo(path.stem, "", folder / VIDEO_FOLDER / f"{path.stem}.mp4", path, None)


def load_transcript(path: Path, language: str, media: Path) -> tuple[Transcript, float]:
    """A transcript of ``svlm align`` as it is, or one made elsewhere, cleaned by the rules of ``svlm align``.

    Args:
        path: its path.
        language: the language that a transcript made elsewhere should be in, two letters.
        media: its video; where that is there, a transcript made elsewhere is placed on its pictures' clock.

    Returns:
        The transcript, and the second in which the last of its words ends, of those left out too.

    Raises:
        SourceError: it cannot be read.
    """
    made = read_transcript(path) if path.suffix.lower() == ".json" else None
    if made is not None:
        ends = [word.end_seconds for word in made.words] + [each.end_seconds for each in made.dropped]
        return made, max(ends, default=0.0)
    utterances = on_pictures(read_utterances(path), path, media)
    cleaned = clean_by_rules(utterances, language)
    words = words_in(cleaned.kept)
    transcript = Transcript(
        words, dropped=tuple(cleaned.dropped), clips=dense_clips(words), refused=cleaned.refused
    )
    return transcript, max((word.end_seconds for word in words_in(utterances)), default=0.0)
