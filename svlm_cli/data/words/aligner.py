"""One video from what there is of it to a transcript: recognised or read, filtered, cleaned, and stored."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from svlm_cli.claims import claimed
from svlm_cli.data.manifest import Video
from svlm_cli.data.words import filters
from svlm_cli.data.words.annealing import dense_clips
from svlm_cli.data.words.caption_names import unread_beside
from svlm_cli.data.words.clean_llm import LanguageModel, LlmOptions, clean, judge_clips, split_sentences
from svlm_cli.data.words.elsewhere import CAPTIONS, said_in
from svlm_cli.data.words.heard import Heard, heard_out, read_heard, sound_notes, write_heard
from svlm_cli.data.words.hearing import hear
from svlm_cli.data.words.outputs import Outputs
from svlm_cli.data.words.transcribe import Recogniser, WhisperOptions
from svlm_cli.data.words.transcript import Transcript, Utterance, words_in
from svlm_cli.data.words.within import NoCaptionsError
from svlm_cli.errors import SourceError, SvlmError
from svlm_cli.files import remove_partials, sha256_of
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.tracks import AUTO, SoundChoice
from svlm_cli.settings import Clean
from svlm_cli.text import encodable

UNREADABLE = "unreadable transcript"
WHISPER = "whisper"

_Said = tuple[list[Utterance], dict[str, float], str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """What to do with every video.

    Args:
        whisper: the recogniser.
        transcript_from: ``captions``, or a file or folder of transcripts made elsewhere; None recognises.
        clean: how.
        llm: what ``clean`` ``llm`` asks.
        audio_track: which sound: ``auto``, its number or a language, as ``SoundChoice`` has it.
    """

    whisper: WhisperOptions
    transcript_from: str | None = None
    clean: Clean = Clean.RULES
    llm: LlmOptions | None = None
    audio_track: str = AUTO

    def __post_init__(self) -> None:
        SoundChoice(self.audio_track)
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
        outcome: what came of it in this run.
        transcript: as it lies on the disk now; None where there is none.
        reason: why it was refused, skipped or failed.
        notes: what is worth telling of its sound, and of files that were in the way.
    """

    video: Video
    outcome: AlignOutcome
    transcript: Transcript | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", encodable(self.reason))


@dataclass(frozen=True, slots=True)
class AlignJob:
    """What is done for one video, and where it goes.

    Args:
        video: which.
        media: its file.
        outputs: where its transcript goes.
        source: a transcript made elsewhere; None where there is none.
        store: keeps what is heard; None for a file that lies among others, where only its transcript is kept.
    """

    video: Video
    media: Path
    outputs: Outputs
    source: Path | None
    store: Path | None


class _Skip(Exception):  # noqa: N818 - not an error: there is nothing to be had
    """A video that has no words to begin with."""


class Aligner:
    """Everything that the videos of a run share; what is slow to load is loaded when first needed."""

    def __init__(
        self, options: AlignOptions, answers: Path, should_stop: Callable[[], bool], *, has_partials: bool
    ) -> None:
        self._options = options
        self._has_partials = has_partials
        self._should_stop = should_stop
        self._loading = threading.Lock()
        self._recogniser: Recogniser | None = None
        self._failure: SvlmError | None = None
        llm = options.llm
        self._llm = None if llm is None else LanguageModel(llm, answers, should_stop)

    def do(self, job: AlignJob) -> Iterator[Aligned]:
        """See ``Hand``."""
        yield self.align(job)

    def align(self, job: AlignJob) -> Aligned:
        """One video from what there is to a transcript on the disk."""
        video = job.video
        with self._claimed(job) as require:
            if self._has_partials:
                remove_partials(*job.outputs.paths)
            had, origin = job.outputs.had(), self._origin(job)
            if had is not None and _is_to_stay(had, origin):
                told = tuple(job.outputs.derive(had))
                return Aligned(video, AlignOutcome.HAD, had, had.refused, told)
            job.outputs.check()
            try:
                utterances, figures, refused, sound = self._utterances(job, require)
            except _Skip as skip:
                return Aligned(video, AlignOutcome.SKIPPED, reason=str(skip))
            made = self._transcript(job, utterances, refused)
            made = replace(made, origin=origin, figures={**figures, **made.figures}, sound=sound)
            require()
            told = tuple(job.outputs.write(made))
        notes = (*sound_notes(sound, len(words_in(utterances))), *told)
        outcome = AlignOutcome.REFUSED if made.refused else AlignOutcome.ALIGNED
        return Aligned(video, outcome, made, made.refused, notes)

    @contextmanager
    def _claimed(self, job: AlignJob) -> Iterator[Callable[[], None]]:
        """Have what belongs to a video to oneself; yields ``Claim.require``."""
        path = job.outputs.base if job.store is None else job.store.with_suffix("")
        if job.store is None and not job.media.is_file():
            raise SourceError(f"no such file: {job.media}", "check the path")
        if job.store is None and not os.access(path.parent, os.W_OK):
            yield lambda: None  # nobody writes anything there
            return
        with claimed(path, self._should_stop) as held:
            if held is None:
                raise SvlmError(f"stopped: another run is at work on {job.video.id}")
            yield held.require

    def _origin(self, job: AlignJob) -> Mapping[str, Any]:
        """Every setting that the words of a transcript depend on."""
        whisper, llm, source = self._options.whisper, self._options.llm, job.source
        how: dict[str, Any] = {"language": whisper.language, "clean": self._options.clean.value}
        if job.store is None:  # a folder of videos names them by their content
            state = job.media.stat()
            how["file"] = [state.st_size, state.st_mtime_ns]
        if llm is not None:
            how["llm_model"] = llm.model
        if self._options.transcript_from is None:
            track = self._options.audio_track
            how |= {} if track == AUTO else {"audio_track": track}
            return how | {"from": WHISPER, "whisper_model": whisper.model}
        if source is None:
            return how | {"from": "", "sha256": hashlib.sha256().hexdigest()}
        if source == job.media:
            return how | {"from": CAPTIONS, "sha256": job.video.sha256}
        return how | {"from": encodable(source.name), "sha256": sha256_of(source)}

    def _utterances(self, job: AlignJob, require: Callable[[], None]) -> _Said:
        """What was said, figures on it, why it is refused before anything is filtered, and in what sound."""
        source = job.source
        if self._options.transcript_from is not None:
            if source is None:
                raise _Skip(f"no transcript of it in {self._options.transcript_from}")
            try:
                said, track = said_in(source, job.media, self._options.whisper.language)
                return said, {}, "", track
            except NoCaptionsError as error:
                unread = unread_beside(job.media)
                raise _Skip(f"no captions: {error.message}" + (f"; {unread}" if unread else "")) from error
            except SourceError as error:
                raise _Skip(f"{UNREADABLE}: {error.message}") from error
        if not job.video.has_audio and self._options.audio_track == AUTO:
            raise _Skip("it has no sound")
        heard = self._heard(job, require)
        recognition = heard.recognition
        figures = {"speech_seconds": round(recognition.speech_seconds, 1)}
        figures["words_outside_speech"] = sum(each.num_words for each in recognition.dropped)
        if recognition.other_language is not None:
            language, probability = recognition.other_language
            asked = self._options.whisper.language
            return [], figures, f"it is not in {asked} but in {language}: {probability:.0%} sure", heard.sound
        return recognition.utterances, figures, "", heard.sound

    def _heard(self, job: AlignJob, require: Callable[[], None]) -> Heard:
        """What Whisper hears in a video, or heard in an earlier run."""
        whisper, video = self._options.whisper, job.video
        settings = [whisper.model, whisper.language, video.sha256, self._options.audio_track]
        stored = None if job.store is None else read_heard(job.store)
        if stored is not None and stored[0] == settings and stored[1].is_final:
            return stored[1]
        choice = SoundChoice(self._options.audio_track, whisper.language)
        heard = hear(job.media, choice, self._load, self._should_stop)
        if job.store is not None:
            require()
            write_heard(job.store, settings, heard)
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

    def _transcript(self, job: AlignJob, utterances: Sequence[Utterance], refused: str) -> Transcript:
        """Filters, cleaning, and what the annealing stage asks."""
        video = job.video
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
        length = _length(job)
        past_end = sum(word.start_seconds > length for word in words)
        if past_end:
            figures["words_past_end"] = past_end
        if past_end and past_end == len(words):
            refused = f"all its words lie behind the end of the video: from {words[0].start_seconds:.0f} s on"
            return Transcript((), dropped=tuple(dropped), figures=figures, refused=refused)
        clips = dense_clips(words)
        if self._llm is not None:
            clips = judge_clips(clips, words, video.title, self._llm)
        return Transcript(words, dropped=tuple(dropped), clips=clips, figures=figures)


def _length(job: AlignJob) -> float:
    """How long a video is in seconds, beyond which nothing is said; infinity where nobody need know."""
    if job.video.duration_seconds or job.source is None:
        return job.video.duration_seconds or math.inf
    try:
        with closing(PyavPictures(str(job.media))) as pictures:
            return pictures.length_seconds or math.inf
    except SourceError:  # of sound alone
        return math.inf


def _is_to_stay(had: Transcript, origin: Mapping[str, Any]) -> bool:
    """Whether a transcript was made as it would be now, or came with its video.

    One without words of a listener that kept no record of its track, or passed others over, is made again.
    """
    if had.origin.get("from") == WHISPER and not (had.words or had.refused or heard_out(had.sound)):
        return False
    return not had.origin or had.origin == origin
