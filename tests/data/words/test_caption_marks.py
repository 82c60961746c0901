"""Escapes and line breaks within captions, as often as programs on the way have written them."""

from __future__ import annotations

import html
import json
import random
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.transcript import words_in

WORDS = ("it's", "AT&T", "<3", '"so"', "R&D", "l'été", "¿qué?", "50%", "goal", "keeper", "a", "x>y")
BREAKS = ("<br>", "<br/>", "<br />", "<BR>")


def escaped(word: str, times: int, rng: random.Random) -> str:
    """A word escaped once or more, an apostrophe by its number, its name, or in sixteens."""
    for _ in range(times):
        word = html.escape(word, quote=True)
        word = word.replace("&#x27;", rng.choice(("&#39;", "&#x27;", "&apos;")))
    return word


def rows(rng: random.Random, least: int) -> tuple[list[str], list[list[str]]]:
    """Words as they are meant, and in rows, escaped ``least`` times or oftener."""
    meant, written = [], []
    for _ in range(rng.randint(1, 3)):
        row = [rng.choice(WORDS) for _ in range(rng.randint(1, 4))]
        meant += row
        written.append([escaped(word, rng.randint(least, 3), rng) for word in row])
    return meant, written


def vtt(rows: list[list[str]], rng: random.Random) -> str:
    text = rng.choice((*BREAKS, "\n")).join(" ".join(row) for row in rows)
    return f"WEBVTT\n\n00:01.000 --> 00:05.000\n{text}\n"


def srt(rows: list[list[str]], rng: random.Random) -> str:
    text = rng.choice((*BREAKS, "\n", r"\N")).join(" ".join(row) for row in rows)
    return f"1\n00:00:01,000 --> 00:00:05,000\n{text}\n"


def srv3(rows: list[list[str]], rng: random.Random) -> str:
    told = [[escape(word) for word in row] for row in rows]
    if rng.random() < 0.5:
        told = [[f"<s>{word}</s>" for word in row] for row in told]
    text = rng.choice(("<br/>", "<br></br>", "\n")).join(" ".join(row) for row in told)
    return (
        f'<?xml version="1.0"?><timedtext format="3"><body><p t="1000" d="4000">{text}</p></body></timedtext>'
    )


def srv1(rows: list[list[str]], rng: random.Random) -> str:
    text = rng.choice(("<br/>", "&lt;br&gt;", "&lt;br /&gt;", "\n")).join(
        " ".join(escape(word) for word in row) for row in rows
    )
    return f'<transcript><text start="1" dur="4">{text}</text></transcript>'


def ttml(rows: list[list[str]], rng: random.Random) -> str:
    wrap = rng.choice(("{}", "<span>{}</span>", "<i>{}</i>"))
    text = "<br/>".join(wrap.format(" ".join(escape(word) for word in row)) for row in rows)
    head = '<tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
    return f'{head}<p begin="1s" end="5s">{text}</p></div></body></tt>'


def json3(rows: list[list[str]], rng: random.Random) -> str:
    text = rng.choice(("\n", "<br>")).join(" ".join(row) for row in rows)
    return json.dumps({"events": [{"tStartMs": 1000, "dDurationMs": 4000, "segs": [{"utf8": text}]}]})


def segments(rows: list[list[str]], rng: random.Random) -> str:
    text = rng.choice(("\n", "<br/>")).join(" ".join(row) for row in rows)
    return json.dumps({"segments": [{"start": 1.0, "end": 5.0, "text": text}]})


# A bare word is as it is meant in all forms but those of markup, where ``<3`` must be escaped once.
@pytest.mark.parametrize(
    ("suffix", "write", "least"),
    [
        (".vtt", vtt, 1),
        (".srt", srt, 1),
        (".srv3", srv3, 0),
        (".srv1", srv1, 0),
        (".ttml", ttml, 0),
        (".json3", json3, 0),
        (".json", segments, 0),
    ],
)
def test_words_are_as_they_are_meant(
    tmp_path: Path, suffix: str, write: Callable[[list[list[str]], random.Random], str], least: int
) -> None:
    for seed in range(40):
        rng = random.Random(f"{suffix} {seed}")
        meant, written = rows(rng, least)
        path = tmp_path / f"{seed}{suffix}"
        path.write_text(write(written, rng), encoding="utf-8")
        assert [word.text for word in words_in(read_utterances(path))] == meant, path.read_text()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_tags_that_were_escaped_are_tags(tmp_path: Path, depth: int) -> None:
    shown = '<i>one</i> <font color="#E5E5E5">two</font><br/>three <c.yellow>four</c>, 1 < 2'
    path = tmp_path / "a.srt"
    path.write_text(f"1\n00:00:01,000 --> 00:00:05,000\n{escaped(shown, depth, random.Random(0))}\n")
    texts = [word.text for word in words_in(read_utterances(path))]
    assert texts == ["one", "two", "three", "four,", "1", "<", "2"]


def test_each_word_of_a_row_behind_a_break_has_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.srv3"
    timed = "".join(
        f'<s t="{at}">{word}</s>' for at, word in ((0, "the"), (400, " ball<br/>is"), (900, " in"))
    )
    path.write_text(f'<timedtext format="3"><body><p t="1000" d="4000">{timed}</p></body></timedtext>')
    words = words_in(read_utterances(path))
    assert [word.text for word in words] == ["the", "ball", "is", "in"]
    assert [words[place].start_seconds for place in (0, 1, 3)] == pytest.approx([1.0, 1.4, 1.9])
    assert 1.4 < words[2].start_seconds < 1.9
