"""The files that a transcript is written to, in the forms that programs, players and people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.cue_text import clean_text, escape_srt, escape_vtt, timestamp
from svlm_cli.data.words.transcript import TimedWord, Transcript, read_transcript, text_of, write_transcript
from svlm_cli.errors import OutputError, SourceError, UsageError
from svlm_cli.files import put_aside, whole_file

JSON = "json"
_PAUSE_SECONDS = 0.8
_SHORTEST_CUE_SECONDS, _LONGEST_CUE_SECONDS = 0.1, 6.0
_MOST_LETTERS = 84  # two rows of 42
_SENTENCE_ENDS = (".", "!", "?", "…")
_IN_THE_WAY = "move what is there away, or choose another folder"


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


def named(base: Path, form: str) -> Path:
    """Where a transcript of this form lies."""
    return base.with_name(f"{base.name}.{form}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """All files of one transcript; whoever writes them claims ``base``.

    JSON is written last, so that one that is there tells that those made from it were there.

    Args:
        base: their path without suffix.
        forms: some of ``FORMATS``.
        keeps_json: whether a JSON in the way is put aside, as the others are, and not replaced.
    """

    base: Path
    forms: tuple[str, ...]
    keeps_json: bool

    @property
    def json(self) -> Path | None:
        """Where the transcript itself lies; None where it is not written."""
        return named(self.base, JSON) if JSON in self.forms else None

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [named(self.base, form) for form in self.forms]

    def had(self) -> Transcript | None:
        """The transcript that is there; None where there is none, or it is not whole."""
        try:
            return None if self.json is None else read_transcript(self.json)
        except SourceError:
            return None

    def check(self) -> None:
        """See that files can take these places, before anything is listened to.

        Raises:
            OutputError: a folder or a device is in the way.
        """
        for path in self.paths:
            if path.exists() and not path.is_file():
                raise OutputError(f"{path} is in the way and no ordinary file", _IN_THE_WAY)

    def write(self, transcript: Transcript) -> list[str]:
        """Write all of them; what differs from what is written is put aside.

        Returns:
            What was put aside, for people.

        Raises:
            OutputError: one of those made from JSON cannot be written, and JSON was not touched.
            OSError: JSON cannot be written.
        """
        told = self.derive(transcript)
        path = self.json
        if path is not None:
            if self.keeps_json and path.is_file():
                told.append(_kept(path))
            write_transcript(path, transcript)
        return told

    def derive(self, transcript: Transcript) -> list[str]:
        """As ``write``, without JSON; none is made from a transcript that was refused."""
        paths = {form: named(self.base, form) for form in self.forms if form != JSON}
        if transcript.refused:
            left = [path.name for path in paths.values() if path.is_file()]
            return [f"left as it was, and not of this transcript: {', '.join(left)}"] if left else []
        cues = cues_of(transcript.words)
        told = []
        for form, path in paths.items():
            content = WRITTEN[form](cues).encode()
            try:
                if path.is_file():
                    if path.read_bytes() == content:
                        continue
                    told.append(_kept(path))
                with whole_file(path) as partial:
                    partial.write_bytes(content)
            except OSError as error:
                raise OutputError(f"{path} cannot be written: {error.strerror}", _IN_THE_WAY) from error
        return told


def _kept(path: Path) -> str:
    return f"{path.name} held something else: kept as {put_aside(path).name}"
