"""What Whisper heard in a file, kept so that nothing is listened to twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from svlm_cli import values
from svlm_cli.data.words.transcribe import Recognition
from svlm_cli.data.words.transcript import parse_dropped, parse_word
from svlm_cli.documents import read_json
from svlm_cli.files import whole_file
from svlm_cli.media.audio import Sound
from svlm_cli.media.behind import told

_WORD_FIELDS = ("text", "start_seconds", "end_seconds", "probability")
_CHOSEN = {
    "asked for": ", as asked for",
    "default": ", the default",
    "language": ", by --language",
    "order": ", the first",
    "words": ", the first with words",
}
NO_WORDS, NOT_IN_LANGUAGE = "no_words_in", "not_in_language"
"""What a record of sound calls the tracks that were passed over."""
_MOST_JOINS = 100
_MOST_SECONDS = 1e12


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard, and in what.

    Args:
        recognition: words and what is known of them.
        sound: the track, how it was chosen and what else there was, as a transcript has it.
    """

    recognition: Recognition
    sound: Mapping[str, Any]

    @property
    def is_final(self) -> bool:
        """Whether there are words, or no other track was left that may hold some."""
        return bool(self.recognition.utterances) or heard_out(self.sound)


def heard_out(sound: Mapping[str, Any]) -> bool:
    """Whether a sound without words was the only one, or the others were tried too."""
    return bool(sound) and (not sound.get("others") or NO_WORDS in sound)


def sound_record(sound: Sound) -> dict[str, Any]:
    """What is kept of a sound beside its words."""
    record: dict[str, Any] = {
        "track": sound.track.number,
        "is": str(sound.track),
        "chosen_by": sound.reason,
        "others": [str(each) for each in sound.others],
        "seconds": round(len(sound.samples) / 16_000, 3),
    }
    if sound.cancelled_seconds:
        record["cancelled_seconds"] = round(sound.cancelled_seconds, 1)
    if sound.joins:
        record["joins"] = [
            {"seconds": round(each.seconds, 3), "by_seconds": round(each.by_seconds, 3)}
            for each in sound.joins[:_MOST_JOINS]
        ]
    if sound.mute_from_seconds is not None:
        record["mute_from_seconds"] = round(sound.mute_from_seconds, 1)
    if sound.behind_byte is not None:
        record["behind_byte"] = sound.behind_byte
    return record


def sound_notes(sound: Mapping[str, Any], num_words: int) -> list[str]:
    """What is worth telling of the sound of a transcript, a sentence each.

    Args:
        sound: as a transcript has it; empty where nothing was listened to, or with the captions read.
        num_words: the number of words that were heard in it.
    """
    if "is" not in sound:
        read = [f"read {each}" for each in (sound.get("captions"),) if each]
        return [*read, *(str(each) for each in (sound.get("captions_clock"),) if each)]
    track, others = sound["is"], ", ".join(map(str, sound.get("others") or []))
    notes = []
    if others:
        chosen = _CHOSEN.get(str(sound.get("chosen_by")), "")
        notes.append(f"listened to {track}{chosen}; there is also {others}")
    foreign = list(map(str, sound.get(NOT_IN_LANGUAGE) or []))
    silent = list(map(str, sound.get(NO_WORDS) or ([] if num_words or foreign else [track])))
    is_left = any(str(each) not in silent + foreign for each in sound.get("others") or []) and not num_words
    more = "; try another with --audio-track N" if is_left else ""
    if silent:
        notes.append(f"no words were heard in {', nor in '.join(silent)}{more}")
    if foreign:
        notes.append(f"not in the language asked for: {', '.join(foreign)}{'' if silent else more}")
    if seconds := sound.get("cancelled_seconds"):
        notes.append(
            f"its channels cancel each other for {seconds} s (one is inverted): the louder alone was heard"
        )
    for join in sound.get("joins") or []:
        if join["by_seconds"] > 0:
            notes.append(
                f"the file's clock leaps by {join['by_seconds']:.0f} s at {join['seconds']:.1f} s; "
                "words and pictures go on there without a gap"
            )
    if (mute := sound.get("mute_from_seconds")) is not None:
        notes.append(
            f"nothing of {track} decodes from {mute} s on (its codec may change there): part the file"
        )
    if isinstance(at := sound.get("behind_byte"), int):
        notes.append(told(at))
    return notes


def read_heard(path: Path) -> tuple[list[str], Heard] | None:
    """Settings of an earlier run and what it heard; None where there is none, or none that can be read."""
    try:
        get = values.mapping(read_json(path), "it").get
        other = get("other_language")
        recognition = Recognition(
            [
                tuple(parse_word(dict(zip(_WORD_FIELDS, word, strict=True)), "a word") for word in words)
                for words in values.sequence(get("utterances"), "utterances")
            ],
            [parse_dropped(each) for each in values.mappings(get("dropped"), "dropped")],
            values.seconds(get("speech_seconds"), "speech_seconds"),
            (values.text(other[0], "language"), values.number(other[1], "sure", 0, 1)) if other else None,
        )
        heard = Heard(recognition, _sound(get("sound")))
        return values.sequence(get("settings"), "settings"), heard
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _sound(stored: Any) -> Mapping[str, Any]:
    sound = values.mapping(stored, "sound")
    for join in values.mappings(sound.get("joins") or [], "joins"):
        for name in ("seconds", "by_seconds"):
            values.number(join.get(name), name, -_MOST_SECONDS, _MOST_SECONDS)
    return sound


def write_heard(path: Path, settings: Sequence[str], heard: Heard) -> None:
    """Keep what was heard, all of it or nothing."""
    document = {
        "settings": settings,
        "utterances": [[astuple(word) for word in words] for words in heard.recognition.utterances],
        "dropped": [asdict(each) for each in heard.recognition.dropped],
        "speech_seconds": heard.recognition.speech_seconds,
        "other_language": heard.recognition.other_language,
        "sound": dict(heard.sound),
    }
    with whole_file(path) as partial_path:
        partial_path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
