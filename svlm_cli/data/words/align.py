"""Words to seconds for a folder of videos: recognised or read, filtered, cleaned, and stored one by one.

What Whisper heard is kept in ``DIR/.align``, so that cleaning in another way recognises nothing again. A
transcript whose settings are those asked for is left as it is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, astuple, dataclass, replace
from enum import StrEnum
from glob import escape
from pathlib import Path
from typing import Any

from svlm_cli import values
from svlm_cli.data.manifest import SUBTITLE_FOLDER, Manifest, Video
from svlm_cli.data.words import filters
from svlm_cli.data.words.annealing import dense_clips
from svlm_cli.data.words.captions import SUFFIXES, read_utterances
from svlm_cli.data.words.clean_llm import LanguageModel, LlmOptions, clean, judge_clips, split_sentences
from svlm_cli.data.words.transcribe import Recogniser, Recognition, WhisperOptions
from svlm_cli.data.words.transcript import (
    Transcript,
    Utterance,
    parse_dropped,
    parse_word,
    read_transcript,
    transcript_path,
    words_in,
    write_transcript,
)
from svlm_cli.documents import read_json
from svlm_cli.errors import ModelError, SourceError, SvlmError, UsageError, boundary
from svlm_cli.files import claimed, sha256_of, whole_file
from svlm_cli.media.audio import read_sound
from svlm_cli.settings import Clean
from svlm_cli.text import encodable

STORE = ".align"
CAPTIONS = "captions"
UNREADABLE = "unreadable transcript"
_WORD_FIELDS = ("text", "start_seconds", "end_seconds", "probability")


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """What to do with every video.

    Args:
        whisper: the recogniser.
        transcript_from: ``captions``, or a file or folder of transcripts made elsewhere; None recognises.
        clean: how.
        llm: for ``clean`` ``llm``.
    """

    whisper: WhisperOptions
    transcript_from: str | None = None
    clean: Clean = Clean.RULES
    llm: LlmOptions | None = None

    def __post_init__(self) -> None:
        if (self.clean is Clean.LLM) != (self.llm is not None):
            raise ValueError("a language model is for clean llm, and clean llm needs one")


class AlignOutcome(StrEnum):
    """What became of a video."""

    ALIGNED = "aligned"
    HAD = "had"
    REFUSED = "refused"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Aligned:
    """One video.

    Args:
        video: which.
        outcome: of this run.
        transcript: as it lies on the disk now; None where there is none.
        reason: why it was refused, skipped or failed.
    """

    video: Video
    outcome: AlignOutcome
    transcript: Transcript | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", encodable(self.reason))


class _Skip(Exception):  # noqa: N818 - not an error: there is nothing to be had
    """A video that has no words to begin with."""


def align_folder(folder: Path, options: AlignOptions) -> Iterator[Aligned]:
    """Make the transcripts that are missing, or that were made with other settings.

    Args:
        folder: with ``videos.jsonl``.
        options: how.

    Yields:
        One result per video, in the order in which they are done.

    Raises:
        SvlmError: the folder, the recogniser or the language model cannot be used at all.
    """
    videos = Manifest(folder).videos(needs_one=True)
    sources = _sources(folder, videos, options.transcript_from)
    stop = threading.Event()
    aligner = _Aligner(folder, options, stop.is_set)
    pool = ThreadPoolExecutor(options.whisper.workers)
    running: dict[Future[Aligned], Video] = {
        pool.submit(aligner.align, video, sources.get(video.id)): video for video in videos
    }
    try:
        for future in as_completed(running):
            try:
                yield future.result()
            except (ModelError, UsageError):  # of the recogniser, which all need
                raise
            except SvlmError as error:
                yield Aligned(running[future], AlignOutcome.FAILED, reason=str(error))
            except Exception as error:  # whatever is wrong with one video does not stop the others
                full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
                reason = f"{'disk full' if full else type(error).__name__}: {error}"
                yield Aligned(running[future], AlignOutcome.FAILED, reason=reason)
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


class _Aligner:
    """Everything that the videos of a run share; what is slow to load is loaded when first needed."""

    def __init__(self, folder: Path, options: AlignOptions, should_stop: Callable[[], bool]) -> None:
        self._folder = folder
        self._options = options
        self._should_stop = should_stop
        self._loading = threading.Lock()
        self._recogniser: Recogniser | None = None
        self._failure: SvlmError | None = None
        llm = options.llm
        self._llm = None if llm is None else LanguageModel(llm, folder / STORE / "llm", should_stop)

    def align(self, video: Video, source: Path | None) -> Aligned:
        """One video from what there is to a transcript on the disk."""
        path = transcript_path(self._folder, video.id)
        with claimed(self._folder / STORE / video.id, self._should_stop) as is_mine:
            if not is_mine:
                raise SvlmError(f"stopped: another run is at work on {video.id}")
            had = _read_transcript(path)
            if had is not None and (not had.origin or had.origin == self._origin(source)):
                return Aligned(video, AlignOutcome.HAD, had, had.refused)
            try:
                utterances, figures, refused = self._utterances(video, source)
            except _Skip as skip:
                return Aligned(video, AlignOutcome.SKIPPED, reason=str(skip))
            made = self._transcript(video, utterances, refused)
            made = replace(made, origin=self._origin(source), figures={**figures, **made.figures})
            write_transcript(path, made)
        return Aligned(
            video, AlignOutcome.REFUSED if made.refused else AlignOutcome.ALIGNED, made, made.refused
        )

    def _origin(self, source: Path | None) -> Mapping[str, Any]:
        """Every setting that the words of a transcript depend on."""
        whisper, llm = self._options.whisper, self._options.llm
        how: dict[str, Any] = {"language": whisper.language, "clean": self._options.clean.value}
        if llm is not None:
            how["llm_model"] = llm.model
        if self._options.transcript_from is None:
            return how | {"from": "whisper", "whisper_model": whisper.model}
        if source is None:
            return how | {"from": "", "sha256": hashlib.sha256().hexdigest()}
        return how | {"from": encodable(source.name), "sha256": sha256_of(source)}

    def _utterances(self, video: Video, source: Path | None) -> tuple[list[Utterance], dict[str, float], str]:
        """What was said, figures on it, and why it is refused before anything is filtered."""
        if self._options.transcript_from is not None:
            if source is None:
                raise _Skip(f"no transcript of it in {self._options.transcript_from}")
            try:
                return read_utterances(source), {}, ""
            except SourceError as error:
                raise _Skip(f"{UNREADABLE}: {error.message}") from error
        if not video.has_audio:
            raise _Skip("it has no sound")
        heard = self._heard(video)
        figures = {"speech_seconds": round(heard.speech_seconds, 1)}
        figures["words_outside_speech"] = sum(each.num_words for each in heard.dropped)
        if heard.other_language is not None:
            language, probability = heard.other_language
            refused = (
                f"it is not in {self._options.whisper.language} but in {language}: {probability:.0%} sure"
            )
            return [], figures, refused
        return heard.utterances, figures, ""

    def _heard(self, video: Video) -> Recognition:
        """What Whisper hears in a video, or heard in an earlier run."""
        whisper = self._options.whisper
        settings = [whisper.model, whisper.language, video.sha256]
        path = self._folder / STORE / f"{video.id}.json"
        stored = _read_stored(path)
        if stored is not None and stored[0] == settings:
            return stored[1]
        sound = read_sound(str(self._folder / video.path))
        recogniser = self._load()
        with boundary("the sound cannot be recognised", SourceError):
            heard = recogniser.recognise(sound, self._should_stop)
        document = {
            "settings": settings,
            "utterances": [[astuple(word) for word in words] for words in heard.utterances],
            "dropped": [asdict(each) for each in heard.dropped],
            "speech_seconds": heard.speech_seconds,
            "other_language": heard.other_language,
        }
        with whole_file(path) as partial_path:
            partial_path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return heard

    def _load(self) -> Recogniser:
        with self._loading:
            if self._failure is not None:
                raise self._failure
            if self._recogniser is None:
                try:
                    self._recogniser = Recogniser(self._options.whisper)
                except SvlmError as error:
                    self._failure = error
                    raise
            return self._recogniser

    def _transcript(self, video: Video, utterances: Sequence[Utterance], refused: str) -> Transcript:
        """Filters, cleaning, and what the annealing stage asks."""
        language = self._options.whisper.language
        cleaned = filters.clean_by_rules(utterances, language, only_loops=self._options.clean is Clean.OFF)
        refused = refused or cleaned.refused
        if refused:
            return Transcript((), dropped=tuple(cleaned.dropped), refused=refused)
        kept, dropped = cleaned.kept, cleaned.dropped
        figures: dict[str, float] = {}
        if self._llm is not None:
            kept, more, counts = clean(split_sentences(words_in(kept)), video.title, self._llm)
            dropped += more
            figures = {f"sentences_{name}": count for name, count in asdict(counts).items()}
        words = words_in(filters.in_order(kept))
        past_end = sum(word.start_seconds > video.duration_seconds for word in words)
        if past_end:
            figures["words_past_end"] = past_end
        clips = dense_clips(words)
        if self._llm is not None:
            clips = judge_clips(clips, words, video.title, self._llm)
        return Transcript(words, dropped=tuple(dropped), clips=clips, figures=figures)


def _read_transcript(path: Path) -> Transcript | None:
    """A transcript that is there and whole."""
    try:
        return read_transcript(path)
    except SourceError:
        return None


def _read_stored(path: Path) -> tuple[list[str], Recognition] | None:
    """Settings of an earlier run and what it heard; None where there is none, or none that can be read."""
    try:
        get = values.mapping(read_json(path), "it").get
        other = get("other_language")
        heard = Recognition(
            [
                tuple(parse_word(dict(zip(_WORD_FIELDS, word, strict=True)), "a word") for word in words)
                for words in values.sequence(get("utterances"), "utterances")
            ],
            [parse_dropped(each) for each in values.mappings(get("dropped"), "dropped")],
            values.seconds(get("speech_seconds"), "speech_seconds"),
            (values.text(other[0], "language"), values.number(other[1], "sure", 0, 1)) if other else None,
        )
        return values.sequence(get("settings"), "settings"), heard
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _sources(folder: Path, videos: Sequence[Video], given: str | None) -> dict[str, Path]:
    """The transcript made elsewhere of each video that has one.

    Raises:
        UsageError: there is no such file or folder, or one file is given for several videos.
    """
    if given is None:
        return {}
    if given == CAPTIONS:
        found = {
            video.id: sorted((folder / SUBTITLE_FOLDER).glob(f"{escape(video.id)}.*")) for video in videos
        }
        return {video_id: paths[0] for video_id, paths in found.items() if paths}
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
    named = {encodable(each.stem): each for each in sorted(path.iterdir()) if each.suffix.lower() in SUFFIXES}
    both = {video.id: named.get(video.id) or named.get(video.title) for video in videos}
    return {video_id: source for video_id, source in both.items() if source is not None}
