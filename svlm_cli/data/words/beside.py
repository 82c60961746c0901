"""Transcripts beside the files they are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from svlm_cli.data.inside import recordings_in
from svlm_cli.data.manifest import Video
from svlm_cli.data.words.align import align_each
from svlm_cli.data.words.aligner import Aligned, AlignJob, AlignOptions
from svlm_cli.data.words.elsewhere import transcript_for
from svlm_cli.data.words.outputs import FORMATS, Outputs, named
from svlm_cli.data.words.transcript import Transcript
from svlm_cli.errors import SourceError, UsageError
from svlm_cli.work.place import HERE, Workplace

_FETCH = "svlm fetch SOURCE --out DIR makes a folder of videos"


def recordings(given: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, list[str]]]]:
    """The files that are given, and the videos and sound files of folders, each once.

    Returns:
        These, and for each folder what else is in it.

    Raises:
        SourceError: a folder that cannot be read or holds none; nothing is there.
    """
    if len(given) == 1 and not given[0].exists():
        raise SourceError(f"no such file or folder: {given[0]}", _FETCH)
    found: dict[Path, None] = {}
    left_out: list[tuple[Path, list[str]]] = []
    for path in given:
        if not path.is_dir():
            found[path] = None
            continue
        inside, others = recordings_in(path)
        if not inside:
            raise SourceError(f"{path} has neither videos.jsonl nor videos or files of sound", _FETCH)
        found.update(dict.fromkeys(inside))
        bases = [base for each in inside for base in (each, each.with_suffix(""))]
        ours = {named(base, name).name for base in bases for name in FORMATS}
        unknown = [name for name in others if name not in ours]
        left_out += [(path, unknown)] if unknown else []
    return list(found), left_out


def align_files(
    paths: Sequence[Path],
    options: AlignOptions,
    formats: Sequence[str],
    answers: Path,
    place: Workplace = HERE,
) -> Generator[Aligned, None, None]:
    """Transcribe files, and write what is said beside each of them.

    A transcript that is there and was made so is left, and so are the forms that say what it says. What else
    is in the way is put aside, which the notes of the result tell.

    Args:
        paths: what ``recordings`` gave.
        options: how.
        formats: some of ``FORMATS``.
        answers: folder for those of a language model.
        place: where the work is done.

    Yields:
        One result per file, in the order in which they are done; its video is named by its path.

    Raises:
        SvlmError: the recogniser or the language model cannot be used at all.
        UsageError: an output is the transcript that is read.
    """
    stems = Counter(path.with_suffix("") for path in paths)
    bases = {str(path): path if stems[path.with_suffix("")] > 1 else path.with_suffix("") for path in paths}
    jobs = [_job(path, bases[str(path)], options, formats, is_one=len(paths) == 1) for path in paths]
    with closing(align_each(jobs, options, answers, place)) as results:
        for done in results:
            video = replace(done.video, duration_seconds=_seconds(done.transcript))
            yield replace(done, video=video)


def _job(path: Path, base: Path, options: AlignOptions, formats: Sequence[str], *, is_one: bool) -> AlignJob:
    video = Video(str(path), path.stem, "", "", str(path), 0.0, 0, 0, 0.0, True, "", "")
    source = transcript_for(path, options.transcript_from, options.whisper.language, is_one=is_one)
    for name in formats:
        if source is not None and source.resolve() == named(base, name).resolve():
            raise UsageError(
                f"--transcript-from {source} would be written over by --formats {name}",
                "leave that format out, or keep the transcript in another folder",
            )
    return AlignJob(video, path, Outputs(base, tuple(formats), keeps_json=True), source, None)


def _seconds(transcript: Transcript | None) -> float:
    """How long a file is, by its sound or its words."""
    if transcript is None:
        return 0.0
    said = max((word.end_seconds for word in transcript.words), default=0.0)
    return float(transcript.sound.get("seconds") or said)
