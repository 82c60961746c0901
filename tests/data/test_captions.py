from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.transcript import TimedWord, text_of, words_in
from svlm_cli.errors import SourceError

# The line that rolls out above is followed by one of a single blank in what YouTube serves.
ROLLING = """WEBVTT
Kind: captions

00:00:00.160 --> 00:00:02.470 align:start position:0%
_
hello<00:00:00.480><c> everyone</c><00:00:00.880><c> and</c>

00:00:02.470 --> 00:00:02.480 align:start position:0%
hello everyone and
_

00:00:02.480 --> 00:00:04.000 align:start position:0%
hello everyone and
welcome<00:00:02.800><c> to</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
welcome to
_

00:00:04.010 --> 00:00:06.000 align:start position:0%
welcome to
Anfield
""".replace("_", " ")


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_rolling_captions_say_each_word_once_at_its_time(tmp_path: Path) -> None:
    words = words_in(read_utterances(written(tmp_path, "a.vtt", ROLLING)))
    assert text_of(words) == "hello everyone and welcome to Anfield"
    assert [word.start_seconds for word in words] == pytest.approx([0.16, 0.48, 0.88, 2.48, 2.8, 4.01])


def test_plain_captions_keep_what_is_said_twice(tmp_path: Path) -> None:
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\nGoal!\n\n00:02.000 --> 00:03.000\nGoal!\n"
    assert text_of(words_in(read_utterances(written(tmp_path, "a.vtt", vtt)))) == "Goal! Goal!"


def test_srt_without_its_marks(tmp_path: Path) -> None:
    srt = "1\n00:00:01,500 --> 00:00:02,500\n<i>- Goal &amp; joy!</i>\n>> Oh\n\n"
    srt += "2\n00:01:00,250 --> 00:01:01,000\nYes.\n"
    first, second = read_utterances(written(tmp_path, "a.srt", srt))
    assert text_of(first).startswith("Goal & joy!")
    assert (first[0].start_seconds, first[-1].end_seconds) == (1.5, 2.5)
    assert second == (TimedWord("Yes.", 60.25, 61.0),)


def test_echoes_are_spread_evenly(tmp_path: Path) -> None:
    document = {"segments": {"10": [4.0, 6.0, "late one"], "2": [0.0, 4.0, "one two three four"]}}
    first, second = read_utterances(written(tmp_path, "a.json", document))
    assert [(word.start_seconds, word.end_seconds) for word in first] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert text_of(second) == "late one"


def test_whisperx_words_without_times_lie_between_their_neighbours(tmp_path: Path) -> None:
    words = [
        {"word": "at", "start": 1.0, "end": 1.2, "score": 0.9},
        {"word": "2-1"},
        {"word": "up", "start": 2.0, "end": 2.5},
        {"word": "!"},
    ]
    document = {
        "segments": [{"start": 1.0, "end": 3.0, "text": "at 2-1 up!", "words": words}],
        "language": "en",
    }
    (found,) = read_utterances(written(tmp_path, "a.json", document))
    assert found == (
        TimedWord("at", 1.0, 1.2, 0.9),
        TimedWord("2-1", 1.2, 2.0),
        TimedWord("up", 2.0, 2.5),
        TimedWord("!", 2.5, 3.0),
    )


def test_odd_values_do_no_harm(tmp_path: Path) -> None:
    words = [
        {"word": "a\ud83d", "start": 1.0, "end": 1.0, "score": 1e999},
        {"word": None, "start": 2.0, "end": 3.0},
    ]
    document = {"segments": [{"start": 1.0, "end": 3.0, "text": None, "words": words}]}
    (found,) = read_utterances(written(tmp_path, "a.json", document))
    assert found == (TimedWord("a\ufffd", 1.0, 1.0, None),)
    vtt = "WEBVTT\n\n00:02.000 --> 00:05.000\nback <99999999:00:00.000>wards\n"
    (found,) = read_utterances(written(tmp_path, "a.vtt", vtt))
    assert [word.start_seconds for word in found] == [2.0, 5.0]
    assert found[-1].end_seconds == 5.0


def test_tags_that_never_close_take_linear_time(tmp_path: Path) -> None:
    begun = time.thread_time()
    for letters in ("<", "{\\", "<1:", "&", "- "):
        vtt = f"WEBVTT\n\n00:01.000 --> 00:02.000\n{letters * (90_000 // len(letters))}\n"
        read_utterances(written(tmp_path, "a.vtt", vtt))
    assert time.thread_time() - begun < 5


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", "{", "cannot be read"),
        ("a.json", {"words": 3}, "neither segments nor words"),
        ("a.json", {"segments": {"0": [1.0, "x"]}}, "segment 0"),
        ("a.json", {"segments": [{"start": "soon", "end": 1, "text": "x"}]}, "segment 0"),
        ("a.json", {"segments": [{"start": float("nan"), "end": 1, "text": "x"}]}, "segment 0"),
        ("a.json", {"segments": {"0": [5, 1e9, "x"]}}, "segment 0"),
        ("a.json", "[" * 100_000, "cannot be read"),
        ("a.json", '{"segments": {"0": [' + "1" * 400 + ', 2, "x"]}}', "cannot be read"),
        ("a.vtt", "WEBVTT\n\n277777777:46:40.000 --> 277777777:46:41.000\nx\n", "no span of time"),
        ("a.vtt", "no captions at all", "cannot be read"),
        ("a.txt", "words", "no transcript"),
    ],
)
def test_what_is_no_transcript_is_told(tmp_path: Path, name: str, content: object, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        read_utterances(written(tmp_path, name, content))
