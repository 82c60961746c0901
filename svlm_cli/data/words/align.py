"""Words to seconds for a folder of videos, or for files, by hands here or on a cluster.

What Whisper heard is kept in ``DIR/.align``, so that cleaning in another way recognises nothing again. A
transcript whose settings are those asked for is left as it is.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from svlm_cli.data.manifest import Manifest
from svlm_cli.data.words.aligner import Aligned, Aligner, AlignJob, AlignOptions, AlignOutcome
from svlm_cli.data.words.elsewhere import transcripts_of
from svlm_cli.data.words.outputs import JSON, Outputs
from svlm_cli.data.words.transcript import transcript_path
from svlm_cli.errors import ModelError, SvlmError, UsageError
from svlm_cli.files import hold_partials
from svlm_cli.work.jobs import Aside, BegunAgain, Came, Crew, Ended, Signals
from svlm_cli.work.place import HERE, Workplace

STORE = ".align"


def align_folder(
    folder: Path, options: AlignOptions, formats: Sequence[str] = (JSON,), place: Workplace = HERE
) -> Generator[Aligned, None, None]:
    """Make the transcripts that are missing, or that were made with other settings.

    Args:
        folder: a folder with ``videos.jsonl``.
        options: how.
        formats: the formats to write, some of ``FORMATS``; JSON in any case.
        place: where the work is done.

    Yields:
        One result per video, in the order in which they are done.

    Raises:
        SvlmError: the folder, the recogniser or the language model cannot be used at all.
    """
    videos = Manifest(folder).videos(needs_one=True)
    forms = tuple(dict.fromkeys([JSON, *formats]))
    sources = transcripts_of(folder, videos, options.transcript_from, options.whisper.language)
    yield from align_each(
        [
            AlignJob(
                video,
                folder / video.path,
                Outputs(transcript_path(folder, "").with_name(video.id), forms, keeps_json=False),
                sources.get(video.id),
                folder / STORE / f"{video.id}.json",
            )
            for video in videos
        ],
        options,
        folder / STORE / "llm",
        place,
    )


def align_each(
    jobs: Sequence[AlignJob], options: AlignOptions, answers: Path, place: Workplace = HERE
) -> Generator[Aligned, None, None]:
    """As ``align_folder``, for any files.

    Args:
        jobs: what to align.
        options: how.
        answers: folder for those of a language model.
        place: where the work is done.
    """
    whisper = options.whisper
    has_partials = hold_partials(path for job in jobs for path in job.outputs.paths)
    hire = _AlignHire(
        replace(options, whisper=replace(whisper, model=_found(whisper.model))),
        answers,
        has_partials=has_partials or place.on_cluster,  # what a lost node leaves
    )
    with_gpu = options.transcript_from is None and whisper.device != "cpu"
    crew: Crew[AlignJob, Aligned] = place.crew(
        _OneEach(hire) if place.on_cluster else hire,
        whisper.workers,
        shares=True,
        with_gpu=with_gpu,
        name=lambda job: job.video.id,
    )
    with crew:
        crew.add(jobs)
        with closing(crew.events()) as events:
            for heard in events:
                match heard:
                    case Came(event=done):
                        yield done
                    case Ended(error=ModelError() | UsageError() as error):  # of what all of them need
                        raise error
                    case Ended(job=job, error=BaseException() as error):
                        yield Aligned(job.video, AlignOutcome.FAILED, reason=_reason(error))
                    case Aside(what=str() as message) | BegunAgain(reason=message):
                        logging.getLogger(__name__).warning("%s", message)


def _found(model: str) -> str:
    """A model's name, or its folder by a path that holds anywhere."""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def _reason(error: BaseException) -> str:
    """Why a video failed: whatever is wrong with one does not stop the others."""
    if isinstance(error, SvlmError):
        return str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{'disk full' if full else type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class _AlignHire:
    """Makes a hand that several threads share."""

    options: AlignOptions
    answers: Path
    has_partials: bool

    def __call__(self, signals: Signals) -> Aligner:
        return Aligner(self.options, self.answers, signals.should_stop, has_partials=self.has_partials)


@dataclass(frozen=True, slots=True)
class _OneEach:
    """Makes hands of which each has a recogniser, and its share of the cores, to itself."""

    hire: _AlignHire

    def __call__(self, signals: Signals) -> Aligner:
        whisper = self.hire.options.whisper
        cores = max(1, (whisper.threads or os.cpu_count() or 1) // whisper.workers)
        own = replace(whisper, workers=1, threads=cores)
        return replace(self.hire, options=replace(self.hire.options, whisper=own))(signals)
