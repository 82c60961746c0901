"""Listening to a file: in one track, or, where nobody speaks in it, in the next one that may be meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from svlm_cli.data.words.heard import NO_WORDS, NOT_IN_LANGUAGE, Heard, sound_record
from svlm_cli.data.words.transcribe import Recogniser, Recognition
from svlm_cli.errors import SourceError, boundary
from svlm_cli.language import is_language
from svlm_cli.media.audio import Sound, listen
from svlm_cli.media.tracks import AUTO, SoundChoice, SoundTrack


def hear(
    media: Path, choice: SoundChoice, load: Callable[[], Recogniser], should_stop: Callable[[], bool]
) -> Heard:
    """The words of a file, in the track that is chosen.

    Where the rule chose a track in which no words are heard, as one of the stadium alone, or that is in
    another language, the others that belong to the pictures are listened to, in their order, until there are
    words; not those in another language, and not those beside the commentary, as a description for the blind.

    Args:
        media: the file.
        choice: which track was chosen.
        load: gives the recogniser, which is loaded once there is sound.
        should_stop: says between stretches whether to stop.

    Raises:
        SourceError: there is no sound that can be decoded, or it cannot be recognised.
    """

    def recognised(sound: Sound) -> Recognition:
        recogniser = load()
        with boundary("the sound cannot be recognised", SourceError):
            return recogniser.recognise(sound.samples, should_stop)

    sound = listen(str(media), choice)
    first = Heard(recognised(sound), sound_record(sound))
    if first.recognition.utterances:
        return first
    passed: dict[str, list[str]] = {NO_WORDS: [], NOT_IN_LANGUAGE: []}
    passed[_why(first.recognition)].append(str(sound.track))
    is_foreign = first.recognition.other_language is not None
    for other in _others(sound, choice, is_foreign=is_foreign):
        try:
            found = listen(str(media), replace(choice, track=str(other.number)))
        except SourceError:  # it has a decoder, and gives nothing
            continue
        recognition = recognised(found)
        if recognition.utterances:
            record = sound_record(replace(found, reason="words"))
            return Heard(recognition, {**record, **passed})
        passed[_why(recognition)].append(str(found.track))
    return Heard(first.recognition, {**first.sound, **passed})


def _why(recognition: Recognition) -> str:
    return NO_WORDS if recognition.other_language is None else NOT_IN_LANGUAGE


def _others(sound: Sound, choice: SoundChoice, *, is_foreign: bool) -> Iterator[SoundTrack]:
    """Tracks that may be meant; beside one in another language, those said to be in the right one."""
    for each in sound.others if choice.track == AUTO else ():
        is_meant = is_language(each.language, choice.language) or not (each.language or is_foreign)
        if each.codec and each.is_of_picture and is_meant and not each.is_aside:
            yield each
