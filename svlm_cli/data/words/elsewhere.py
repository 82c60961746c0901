"""Transcripts made elsewhere: which is whose, and on the clock of the pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from svlm_cli.data.manifest import SUBTITLE_FOLDER, Video
from svlm_cli.data.words.caption_names import best_captions, caption_files
from svlm_cli.data.words.captions import SUFFIXES, read_utterances, read_webvtt
from svlm_cli.data.words.transcript import MOST_BYTES, TimedWord, Utterance, is_own, transcript_path
from svlm_cli.data.words.within import NoCaptionsError, captions_within
from svlm_cli.documents import MalformedError, read_json, read_text
from svlm_cli.errors import SourceError, UsageError, boundary
from svlm_cli.media.captions import CaptionClock, StampMap, caption_clock
from svlm_cli.text import encodable

CAPTIONS = "captions"


def said_in(source: Path, media: Path, language: str) -> tuple[list[Utterance], dict[str, str]]:
    """What a transcript made elsewhere says, on the clock of the pictures, and which track of a file it is.

    Args:
        source: the transcript; the video itself, where its own captions are meant.
        media: the video.
        language: the language of its captions.

    Raises:
        NoCaptionsError: the video holds none that can be read.
        SourceError: it cannot be read.
    """
    if source != media:
        told: list[str] = []
        said = on_pictures(read_utterances(source), source, media, told.append)
        return said, {"captions_clock": "; ".join(told)} if told else {}
    try:
        track, text = captions_within(media, language)
    except NoCaptionsError as error:
        beside = [each.path.name for each in caption_files(media.parent, media.stem) if each.language]
        raise NoCaptionsError(error.tracks, language, beside) from error
    with boundary(f"the captions within {media} cannot be read", SourceError, "give a file of captions"):
        return on_pictures(read_webvtt(text), source, media), {"captions": str(track)}


def _warn(message: str) -> None:
    logging.getLogger(__name__).warning("%s", message)


def on_pictures(
    utterances: Sequence[Utterance], source: Path, media: Path, tell: Callable[[str], None] = _warn
) -> list[Utterance]:
    """Words of a transcript on the clock of the pictures; what was said before the first one is left out.

    Args:
        utterances: the utterances by the transcript's own times.
        source: the transcript; one of svlm's own is on that clock already.
        media: the video; where it cannot be read, times are taken as they are.
        tell: takes a sentence where its header speaks of a clock that is not the video's.
    """
    if not utterances or not media.is_file() or _is_own(source):
        return list(utterances)
    try:
        clock = caption_clock(str(media))
    except SourceError:
        return list(utterances)
    begin = _from_begin(clock, utterances, source, tell)
    last = max(words[-1].end_seconds for words in utterances) + begin
    counts_leaps = clock.counts_leaps(last)

    def placed(word: TimedWord) -> TimedWord:
        start = clock.on_pictures(word.start_seconds + begin, counts_leaps=counts_leaps)
        end = clock.on_pictures(word.end_seconds + begin, counts_leaps=counts_leaps)
        return TimedWord(word.text, max(0.0, start), max(0.0, end), word.probability)

    moved = [tuple(placed(word) for word in words) for words in utterances]
    kept = [tuple(word for word in words if word.end_seconds > 0) for words in moved]
    return [words for words in kept if words]


def _from_begin(
    clock: CaptionClock, utterances: Sequence[Utterance], source: Path, tell: Callable[[str], None]
) -> float:
    """What to add to times of a transcript, so that they count from where the video begins."""
    told = StampMap.of(read_text(source, MOST_BYTES)) if source.suffix.lower() == ".vtt" else None
    if told is None:
        return 0.0
    by = clock.from_begin(told, [(words[0].start_seconds, words[-1].end_seconds) for words in utterances])
    if by is not None:
        return by
    if told.offset_seconds:
        tell(
            f"{source.name} says that its times lie {told.offset_seconds:+.3f} s off on the clock of a "
            "broadcast (X-TIMESTAMP-MAP), which is not this file's: they are taken from where it begins"
        )
    return 0.0


def _is_own(source: Path) -> bool:
    """Whether a transcript has the form of ``svlm align``."""
    if source.suffix.lower() != ".json":
        return False
    try:
        return is_own(read_json(source, MOST_BYTES))
    except (OSError, MalformedError):
        return False


def transcripts_of(
    folder: Path, videos: Sequence[Video], given: str | None, language: str = "en"
) -> dict[str, Path]:
    """The transcript made elsewhere of each video that has one; of several captions those in ``language``.

    Of captions, the video itself where none were taken along: it may hold some.

    Raises:
        UsageError: there is no such file or folder, one file is given for several videos, or the folder is
            that of the transcripts to be written.
    """
    if given is None:
        return {}
    if given == CAPTIONS:
        found = {
            video.id: best_captions(caption_files(folder / SUBTITLE_FOLDER, video.id), language)
            for video in videos
        }
        inside = {video.id: folder / video.path for video in videos}
        return {name: inside[name] if each is None else each.path for name, each in found.items()}
    path = Path(given)
    if path.is_file():
        if len(videos) != 1:
            raise UsageError(
                f"--transcript-from {given} is one file, but {folder} has {len(videos)} videos",
                "give a folder with a file of each video's id",
            )
        return {videos[0].id: path}
    if not path.is_dir():
        raise UsageError(f"--transcript-from {given}: no such file or folder", f"or {CAPTIONS}")
    if path.resolve() == transcript_path(folder, "").parent.resolve():
        raise UsageError(
            f"--transcript-from {given} is where svlm align writes, and it would read what it has written",
            "leave it out: the transcripts that are there stay, and --formats makes other forms of them",
        )
    named = _named_in(path)
    both = {video.id: named.get(video.id) or named.get(video.title) for video in videos}
    return {video_id: source for video_id, source in both.items() if source is not None}


def transcript_for(media: Path, given: str | None, language: str, *, is_one: bool) -> Path | None:
    """The transcript made elsewhere of a file that lies among others; None where none is given or found.

    Of captions, those beside it whose name has the language (``talk.en.srt``), else the file itself.

    Args:
        media: the file.
        given: a transcript, or a folder of them named as the files are, or ``captions``.
        language: the language of captions.
        is_one: whether there is no other file.

    Raises:
        UsageError: there is no such file or folder, or one is given for several.
    """
    if given is None:
        return None
    path = Path(given)
    if path.is_dir():
        return _named_in(path).get(encodable(media.stem))
    if given == CAPTIONS and not path.is_file():
        beside = [each for each in caption_files(media.parent, media.stem) if each.language]
        found = best_captions(beside, language)  # those without a language may be our own
        return media if found is None else found.path
    if not path.is_file():
        raise UsageError(f"--transcript-from {given}: no such file or folder", "check the path")
    if not is_one:
        raise UsageError(
            f"--transcript-from {given} is one file for several",
            "give a folder with a file of each one's name",
        )
    return path


def _named_in(folder: Path) -> dict[str, Path]:
    """Transcripts of a folder by their names, without suffix."""
    return {
        encodable(each.stem): each for each in sorted(folder.iterdir()) if each.suffix.lower() in SUFFIXES
    }
