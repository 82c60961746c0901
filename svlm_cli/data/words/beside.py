"""Transcripts beside the files they are of, in the forms that players and people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from svlm_cli.cue_text import clean_text, escape_srt, escape_vtt, timestamp
from svlm_cli.data.inside import recordings_in
from svlm_cli.data.manifest import Video
from svlm_cli.data.words.align import Aligned, AlignJob, AlignOptions, AlignOutcome, align_each
from svlm_cli.data.words.elsewhere import transcript_for
from svlm_cli.data.words.transcript import TimedWord, Transcript, text_of
from svlm_cli.errors import SourceError, UsageError
from svlm_cli.files import put_aside, whole_file

JSON = "json"
_FETCH = "svlm fetch SOURCE --out DIR makes a folder of videos"
_PAUSE_SECONDS = 0.8
_SHORTEST_CUE_SECONDS, _LONGEST_CUE_SECONDS = 0.1, 6.0
_MOST_LETTERS = 84  # two rows of 42
_SENTENCE_ENDS = (".", "!", "?", "…")


@dataclass(frozen=True, slots=True)
class SpokenCue:
    """Words that are shown together."""

    start_seconds: float
    end_seconds: float
    text: str


def cues_of(words: Sequence[TimedWord]) -> list[SpokenCue]:
    """Words in cues that can be read: cut at sentences, at pauses, and where they grow too long."""
    groups: list[list[TimedWord]] = []
    for word in words:
        last = groups[-1] if groups else []
        goes_on = (
            bool(last)
            and word.start_seconds - last[-1].end_seconds < _PAUSE_SECONDS
            and not last[-1].text.endswith(_SENTENCE_ENDS)
            and word.end_seconds - last[0].start_seconds <= _LONGEST_CUE_SECONDS
            and len(text_of([*last, word])) <= _MOST_LETTERS
        )
        if goes_on:
            last.append(word)
        else:
            groups.append([word])
    spans = [(each[0].start_seconds, each[-1].end_seconds) for each in groups]
    return [
        SpokenCue(start, max(end, start + _SHORTEST_CUE_SECONDS), text_of(each))
        for (start, end), each in zip(spans, groups, strict=True)
    ]


def _vtt(cues: Sequence[SpokenCue]) -> str:
    return "WEBVTT\n\n" + "".join(
        f"{timestamp(cue.start_seconds)} --> {timestamp(cue.end_seconds)}\n{escape_vtt(cue.text)}\n\n"
        for cue in cues
    )


def _srt(cues: Sequence[SpokenCue]) -> str:
    return "".join(
        f"{number}\n{timestamp(cue.start_seconds, ',')} --> {timestamp(cue.end_seconds, ',')}\n"
        f"{escape_srt(cue.text)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def _txt(cues: Sequence[SpokenCue]) -> str:
    return "".join(f"{clean_text(cue.text)}\n" for cue in cues)


WRITTEN: Mapping[str, Callable[[Sequence[SpokenCue]], str]] = {"vtt": _vtt, "srt": _srt, "txt": _txt}
FORMATS = (JSON, *WRITTEN)


def parse_formats(given: str) -> tuple[str, ...]:
    """``json,vtt`` as names of formats.

    Raises:
        UsageError: one is not known, or there is none.
    """
    found = tuple(dict.fromkeys(each.strip().lower() for each in given.split(",") if each.strip()))
    if not found or not set(found) <= set(FORMATS):
        raise UsageError(f"--formats {given}: not of {', '.join(FORMATS)}", "e.g. --formats json,srt")
    return found


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
        ours = {_named(base, name).name for base in bases for name in FORMATS}
        unknown = [name for name in others if name not in ours]
        left_out += [(path, unknown)] if unknown else []
    return list(found), left_out


def align_files(
    paths: Sequence[Path], options: AlignOptions, formats: Sequence[str], answers: Path
) -> Iterator[Aligned]:
    """Transcribe files, and write what is said beside each of them.

    A transcript that is there and was made so is left, and only forms that are missing are written. A file of
    another origin that is in the way is put aside.

    Args:
        paths: from ``recordings``.
        options: how.
        formats: some of ``FORMATS``.
        answers: folder for those of a language model.

    Yields:
        One result per file, in the order in which they are done; its video is named by its path.

    Raises:
        SvlmError: the recogniser or the language model cannot be used at all.
        UsageError: an output is the transcript that is read.
    """
    stems = Counter(path.with_suffix("") for path in paths)
    bases = {str(path): path if stems[path.with_suffix("")] > 1 else path.with_suffix("") for path in paths}
    jobs = [_job(path, bases[str(path)], options, formats, is_one=len(paths) == 1) for path in paths]
    for done in align_each(jobs, options, answers):
        video = replace(done.video, duration_seconds=_seconds(done.transcript))
        yield written(replace(done, video=video), bases[video.id], formats)


def written(result: Aligned, base: Path, formats: Sequence[str]) -> Aligned:
    """Write a transcript in other forms than JSON, those that are missing or, if it is new, all.

    Args:
        result: the result of a file or video; returned as it is, or as failed.
        base: their path without suffix.
        formats: some of ``FORMATS``.
    """
    transcript = result.transcript
    if transcript is None or transcript.refused:
        return result
    try:
        _write(base, transcript, formats, is_new=result.outcome is AlignOutcome.ALIGNED)
    except OSError as error:
        reason = f"{error.filename or base} cannot be written: {error.strerror}"
        return replace(result, outcome=AlignOutcome.FAILED, reason=reason)
    return result


def _job(path: Path, base: Path, options: AlignOptions, formats: Sequence[str], *, is_one: bool) -> AlignJob:
    video = Video(str(path), path.stem, "", "", str(path), 0.0, 0, 0, 0.0, True, "", "")
    source = transcript_for(path, options.transcript_from, is_one=is_one)
    for name in formats:
        if source is not None and source.resolve() == _named(base, name).resolve():
            raise UsageError(
                f"--transcript-from {source} would be written over by --formats {name}",
                "leave that format out, or keep the transcript in another folder",
            )
    return AlignJob(video, path, _named(base, JSON) if JSON in formats else None, source, None)


def _seconds(transcript: Transcript | None) -> float:
    """How long a file is, by its sound or its words."""
    if transcript is None:
        return 0.0
    said = max((word.end_seconds for word in transcript.words), default=0.0)
    return float(transcript.sound.get("seconds") or said)


def _named(base: Path, suffix: str) -> Path:
    return base.with_name(f"{base.name}.{suffix}")


def _write(base: Path, transcript: Transcript, formats: Sequence[str], *, is_new: bool) -> None:
    cues = cues_of(transcript.words)
    for name in formats:
        path = _named(base, name)
        if name == JSON or (path.exists() and not is_new):
            continue
        content = WRITTEN[name](cues).encode()
        if path.is_file():
            if path.read_bytes() == content:
                continue
            put_aside(path)
        with whole_file(path) as partial:
            partial.write_bytes(content)
