from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.transcript import TimedWord, text_of, words_in
from svlm_cli.errors import SourceError
from tests.cpu_time import no_hang

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
    with no_hang():
        for letters in ("<", "{\\", "<1:", "&", "- "):
            cue = letters * (90_000 // len(letters))
            cues = (f"00:0{second}.000 --> 00:0{second + 1}.000\n{cue}\n\n" for second in range(5))
            read_utterances(written(tmp_path, "a.vtt", f"WEBVTT\n\n{''.join(cues)}"))


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


def test_the_last_word_of_a_line_that_stays_is_no_longer_than_a_word(tmp_path: Path) -> None:
    line = "the<00:00:01.200><c> keeper</c><00:00:01.560><c> saves</c><00:00:01.900><c> it</c>"
    vtt = f"WEBVTT\n\n00:00:01.000 --> 00:00:06.470\n{line}\n"
    words = words_in(read_utterances(written(tmp_path, "a.vtt", vtt)))
    assert [word.start_seconds for word in words] == [1.0, 1.2, 1.56, 1.9]
    assert 2.0 < words[-1].end_seconds < 2.5


@pytest.mark.parametrize(
    "document", [{}, {"segments": [{"start": 1.0, "end": 9.0, "text": " The keeper saves."}]}]
)
def test_words_at_the_top_are_used(tmp_path: Path, document: dict[str, object]) -> None:
    texts = ["The", "keeper", "saves"]
    words = [{"word": each, "start": 2.0 + n, "end": 2.4 + n} for n, each in enumerate(texts)]
    read = words_in(read_utterances(written(tmp_path, "a.json", {"words": words, **document})))
    assert [(word.start_seconds, word.end_seconds) for word in read] == [(2.0, 2.4), (3.0, 3.4), (4.0, 4.4)]
    assert text_of(read) == ("The keeper saves." if document else "The keeper saves")
    only = {"words": words[2:], **document}
    assert words_in(read_utterances(written(tmp_path, "a.json", only))) == (TimedWord("saves", 4.0, 4.4),)


def test_marked_words_are_said_when_they_are_marked(tmp_path: Path) -> None:
    texts, times = ["he", "saves", "and", "he", "scores"], [1.0, 1.3, 1.9, 4.0, 4.2]
    srt = "1\n00:00:00,500 --> 00:00:01,000\nhe saves and he scores\n\n"
    for number, time_ in enumerate(times):
        line = " ".join(f"<u>{each}</u>" if n == number else each for n, each in enumerate(texts))
        end = times[number + 1] if number + 1 < len(times) else 4.9
        srt += f"{number + 2}\n00:00:{time_:06.3f} --> 00:00:{end:06.3f}\n{line}\n\n".replace(".", ",")
    words = words_in(read_utterances(written(tmp_path, "a.srt", srt)))
    assert text_of(words) == "he saves and he scores"
    assert [word.start_seconds for word in words] == times


NAMES = 'xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"'
TT = f"<tt {NAMES} {{}}><body>{{}}</body></tt>"


@pytest.mark.parametrize(
    ("parameters", "body", "starts"),
    [
        (
            "",
            '<div begin="10s"><p begin="1.5s" dur="1200ms">a</p><p begin="0.1m" end="7s">b</p></div>',
            [11.5, 16],
        ),
        (
            "",
            '<div timeContainer="seq"><p dur="2s">a</p><p begin="1s" dur="3s">b</p></div>',
            [0, 3],
        ),
        (
            'ttp:frameRate="30" ttp:frameRateMultiplier="1000:1001"',
            '<div><p begin="30f" end="3s">a</p></div>',
            [1.001],
        ),
        (
            'ttp:timeBase="smpte" ttp:dropMode="dropNTSC" ttp:frameRateMultiplier="1000 1001"',
            '<div><p begin="00:01:00:02" end="00:01:02:00">a</p></div>',
            [60.06],
        ),
        (
            'ttp:timeBase="smpte" ttp:frameRate="25"',
            '<div><p begin="00:00:01:05" end="00:00:02:00">a</p></div>',
            [1.2],
        ),
        ('ttp:tickRate="50"', '<p begin="100t" end="200t">a</p>', [2]),
        (
            "",
            '<div><p begin="00:00:03,500" end="00:00:04,500">a</p><p begin="5" end="6">b</p></div>',
            [3.5, 5],
        ),
        (
            "",
            '<div><p><span begin="1s" end="1.2s">a</span> <span begin="4s" end="5s">b</span></p></div>',
            [1, 4],
        ),
        ("", '<div><p begin="00:00:03">a</p><p begin="00:10">b<metadata>x</metadata></p></div>', [3, 10]),
    ],
)
def test_the_clocks_of_ttml(tmp_path: Path, parameters: str, body: str, starts: list[float]) -> None:
    words = words_in(read_utterances(written(tmp_path, "a.ttml", TT.format(parameters, body))))
    assert text_of(words) == " ".join("abc"[: len(starts)])
    assert [word.start_seconds for word in words] == pytest.approx(starts, abs=1e-6)
    assert all(word.end_seconds - word.start_seconds < 1.001 for word in words)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.ttml", TT.format("", '<div><p begin="soon" end="2s">a</p></div>'), "no time of TTML"),
        ("a.ttml", TT.format("", "<div>" * 3000 + "</div>" * 3000), "nested too deeply"),
        ("a.ttml", TT.format('ttp:frameRate="0"', '<div><p begin="1f">a</p></div>'), "cannot be read"),
        ("a.xml", "<html><p>1</p></html>", "neither TTML nor"),
        ("a.dfxp", "<tt", "cannot be read"),
        (
            "a.srv3",
            '<timedtext format="3"><body><p t="x">a</p></body></timedtext>',
            "no time in milliseconds",
        ),
        ("a.json3", {"events": [{"tStartMs": -5, "segs": [{"utf8": "a"}]}]}, "no time in milliseconds"),
        ("a.json", [], "neither segments nor words"),
    ],
)
def test_what_is_no_caption_is_told(tmp_path: Path, name: str, content: object, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        read_utterances(written(tmp_path, name, content))


@pytest.mark.parametrize(
    "document",
    [
        [{"text": "he scores", "start": 1.0, "duration": 1.0}],
        {"text": " he scores", "chunks": [{"timestamp": [1.0, 2.0], "text": " he scores"}]},
        {
            "text": "",
            "chunks": [{"timestamp": [1, 1.5], "text": " he"}, {"timestamp": [1.5, None], "text": " scores"}],
        },
        {"transcription": [{"offsets": {"from": 1000, "to": 2000}, "text": " he scores"}]},
    ],
)
def test_forms_of_other_tools(tmp_path: Path, document: object) -> None:
    words = words_in(read_utterances(written(tmp_path, "a.json", document)))
    assert text_of(words) == "he scores"
    assert [word.start_seconds for word in words] == [1.0, 1.5]


def test_the_words_of_two_hours_are_read(tmp_path: Path) -> None:
    dice = random.Random("two hours")
    texts = ["".join(dice.choices("abcdefgh", k=dice.randint(2, 12))) for _ in range(18_000)]
    said = [{"word": each, "start": 0.4 * n, "end": 0.4 * n + 0.3} for n, each in enumerate(texts)]
    text = f"{' '.join(texts)}."
    assert len(text) > 100_000
    words = words_in(read_utterances(written(tmp_path, "a.json", {"text": text, "words": said})))
    assert text_of(words) == text
    assert words[-1].start_seconds == pytest.approx(0.4 * (len(texts) - 1))


@pytest.mark.parametrize("seed", range(3))
def test_words_at_no_time_are_not_put_at_the_beginning(tmp_path: Path, seed: int) -> None:
    dice = random.Random(f"no time {seed}")
    good = [dice.randint(1, 9000) for _ in range(dice.randint(0, 4))]
    bad = dice.choice([float("nan"), float("inf"), None])
    place = dice.randint(0, len(good))

    def mixed(make: Callable[[float | None], object]) -> list[object]:
        return [make(each) for each in [*good[:place], bad, *good[place:]]]

    def offset(each: float | None) -> object:
        return {"tStartMs": 1000, "segs": [{"utf8": "a", "tOffsetMs": each}]}

    for name, document in [
        ("a.json3", {"events": mixed(lambda each: {"tStartMs": each, "segs": [{"utf8": "a"}]})}),
        ("a.json3", {"events": mixed(offset)}),
        ("a.json", {"chunks": [{"timestamp": [bad, None], "text": "a"}]}),
        ("a.json", {"chunks": [{"timestamp": [bad, 9000], "text": "a b"}]}),
        ("a.json", {"words": [{"word": "a", "start": bad, "end": bad}]}),
        ("a.srv2", f'<timedtext><text t="{bad}" d="5">a</text></timedtext>'),
        ("a.srv1", '<transcript><text start="" dur="5">a</text></transcript>'),
    ]:
        with pytest.raises(SourceError, match=r"no (span of )?time|has a time"):
            read_utterances(written(tmp_path, name, document))
    late = [{"word": "a", "start": bad, "end": bad}, {"word": "b", "start": 600.0, "end": 601.0}]
    words = words_in(read_utterances(written(tmp_path, "a.json", {"words": late})))
    assert [word.start_seconds for word in words] == [600.0, 600.0]


def test_reasons_are_not_those_of_python(tmp_path: Path) -> None:
    nines = "9" * random.Random("nines").randint(4400, 6000)
    for name, content in [
        ("a.json", {"chunks": [{"timestamp": [1.0], "text": "a"}]}),
        ("a.json", {"chunks": [{"timestamp": [1.0, 2.0, 3.0], "text": "a"}]}),
        ("a.json", {"segments": 7, "words": [{"word": "a", "start": 1, "end": 2}]}),
        ("a.json", {"segments": {nines: [1.0, 2.0, "a"], "x": [2.0, 3.0, "b"]}}),
        ("a.vtt", f"WEBVTT\n\n{nines}:00:01.000 --> {nines}:00:02.000\na\n"),
        ("a.srt", f"1\n{nines}:00:01,000 --> {nines}:00:02,000\na\n"),
        ("a.ttml", TT.format("", f'<div><p begin="{nines}:00:01" end="{nines}:00:02">a</p></div>')),
        ("a.ttml", TT.format('ttp:frameRate="fast"', '<div><p begin="1f">a</p></div>')),
        ("a.ttml", TT.format('ttp:frameRateMultiplier="1 0"', '<div><p begin="1f">a</p></div>')),
    ]:
        with pytest.raises(SourceError) as raised:
            read_utterances(written(tmp_path, name, content))
        pythons = r"zip\(|object is not|unpack|Exceeds the limit|could not convert|division|invalid literal"
        assert not re.search(pythons, raised.value.message), raised.value.message
        assert len(raised.value.message) < 400


def test_deep_xml_is_refused_where_it_goes_deep(tmp_path: Path) -> None:
    """What comes behind is not looked at: it is no XML."""
    path = written(tmp_path, "a.ttml", TT.format("", "<div>" * 200_000 + "<</&"))
    with pytest.raises(SourceError, match="nested too deeply"):
        read_utterances(path)
