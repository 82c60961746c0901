"""Cues to be read: how long they last, that no word is lost or said twice, whatever kills the process.

The files are read back by parsers of other people (webvtt-py, ttconv) and by ``strict_srt``.
"""

from __future__ import annotations

import html
import random
import re
from itertools import pairwise
from pathlib import Path

import pytest
import webvtt

from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.cues import Caption, CueStyle, ReadingCues
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.types import StepEvent
from tests.stream.outputs.streams import END, said, write_over_kills
from tests.strict_srt import parse_srt, seconds


def all_cues(events: list[StepEvent]) -> list[Caption]:
    cues = ReadingCues()
    return [cue for event in events for cue in cues.add(event)] + cues.close()


@pytest.mark.parametrize("seed", range(30))
def test_cues_can_be_read_and_hold_every_word_once(seed: int) -> None:
    rng = random.Random(seed)
    events = said(rng, 80, rng.choice((12, 18)), sentences=rng.random() < 0.7)
    cues = all_cues(events)
    assert " ".join(cue.text for cue in cues).split() == " ".join(event.text for event in events).split()
    begins = {word: event.start_seconds for event in events for word in event.text.split()}
    for cue in cues:
        lasts = cue.end_seconds - cue.start_seconds
        wide = len(cue.text) + sum(letter in "足球" for letter in cue.text)
        assert 1.2 - 1e-6 <= lasts <= 7.0 + 1e-6
        assert wide / lasts <= 20.0 + 1e-6
        assert len(cue.lines) <= 2
        assert all(len(line) <= 42 for line in cue.lines)
        assert " ".join(cue.lines) == cue.text
        first = begins[cue.text.split()[0]]
        assert first - 1e-6 <= cue.start_seconds <= first + 3.0 + 1e-6
    assert all(one.end_seconds <= two.start_seconds + 1e-6 for one, two in pairwise(cues))


@pytest.mark.parametrize("seed", range(10))
def test_words_too_fast_to_be_read_are_late_by_three_seconds_at_most_and_never_lost(seed: int) -> None:
    rng = random.Random(seed)
    events = said(rng, 40, 90)
    cues = all_cues(events)
    assert " ".join(cue.text for cue in cues).split() == " ".join(event.text for event in events).split()
    begins = {word: event.start_seconds for event in events for word in event.text.split()}
    assert all(cue.start_seconds <= begins[cue.text.split()[0]] + 4.0 for cue in cues)
    assert all(one.end_seconds <= two.start_seconds + 1e-6 for one, two in pairwise(cues))
    assert all(len(cue.lines) <= 2 and cue.start_seconds < cue.end_seconds for cue in cues)


def test_fragments_of_a_sentence_are_joined_and_statements_are_not() -> None:
    def cues(*texts: str) -> list[str]:
        events = [StepEvent(n, float(n), n + 1.0, text, 2, 7, 8, 5) for n, text in enumerate(texts)]
        return [cue.text for cue in all_cues(events)]

    assert cues("Off we go.", "A pass by", "the captain, who", "shoots. And", "", "scores!") == [
        "Off we go.",
        "A pass by the captain, who shoots. And",
        "scores!",
    ]
    assert cues("pass by red", "pass by blue", "", "goal") == ["pass by red", "pass by blue", "goal"]
    assert cues("x" * 100) == [f"{'x' * 42} {'x' * 42}", "x" * 16]


def read_back(folder: Path) -> list[tuple[float, float, str]]:
    """The cues of the WebVTT file, the same as those of the SubRip file."""
    cues = [
        (seconds(cue.start), seconds(cue.end), html.unescape(cue.text).replace("\n", " "))
        for cue in webvtt.read(str(folder / "x.vtt"))
    ]
    told = parse_srt((folder / "x.srt").read_text())
    assert [cue[:2] for cue in told] == [cue[:2] for cue in cues]
    found = re.findall(r'<p begin="(\S+)" end="(\S+)">', (folder / "x.ttml").read_text())
    assert [(seconds(begin), seconds(end)) for begin, end in found] == [cue[:2] for cue in cues]
    return cues


def writers_in(folder: Path, style: CueStyle = CueStyle.READING) -> Writers:
    return Writers([folder / f"x.{kind}" for kind in ("vtt", "srt", "ttml", "jsonl")], cues=style)


@pytest.mark.parametrize("seed", range(8))
def test_every_word_is_in_valid_files_at_any_moment(tmp_path: Path, seed: int) -> None:
    """What a process leaves that is killed now: all words spoken so far, in whole cues."""
    events = said(random.Random(seed), 25, 18)
    writers = writers_in(tmp_path)
    for number, event in enumerate(events, 1):
        writers.write(event)
        words = " ".join(each.text for each in events[:number]).split()
        assert " ".join(text for *_, text in read_back(tmp_path)).split() == words
    writers.write(END)
    writers.finish()
    assert read_back(tmp_path) == [
        (pytest.approx(cue.start_seconds, abs=6e-4), pytest.approx(cue.end_seconds, abs=6e-4), cue.text)
        for cue in all_cues(events)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_a_file_stream_that_is_killed_anywhere_has_the_cues_of_one_that_was_not(
    tmp_path: Path, seed: int
) -> None:
    """Killed in any second, any number of times; the state is of any second before."""
    rng = random.Random(seed)
    events = said(rng, 30, 18)
    for folder in (tmp_path / "whole", tmp_path / "torn"):
        folder.mkdir()
    with writers_in(tmp_path / "whole") as writers:
        for event in [*events, END]:
            writers.write(event)
    seconds = sorted(rng.sample(range(1, 30), 4))
    write_over_kills(rng, events, lambda: writers_in(tmp_path / "torn"), seconds)
    assert read_back(tmp_path / "torn") == read_back(tmp_path / "whole")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("style", list(CueStyle))
def test_a_live_stream_that_is_killed_loses_and_doubles_no_word(
    tmp_path: Path, seed: int, style: CueStyle
) -> None:
    """What a live source showed does not come again: all stays, also what came after the state was saved."""
    rng = random.Random(seed)
    events = said(rng, 30, 18)
    saved, at = None, 0
    for last in [*sorted(rng.sample(range(2, 30), 4)), None]:
        writers = writers_in(tmp_path, style)
        if saved is not None:
            writers.resume(saved)
        for number, event in list(enumerate(events))[at:last]:
            writers.write(event)
            if number in (at, at + 3):
                saved = Earlier(writers.lengths, event.end_seconds, False, writers.held)
        at = last or 30
        if last is not None:
            writers.close()
    writers.write(END)
    writers.finish()
    cues = read_back(tmp_path)
    assert " ".join(text for *_, text in cues).split() == " ".join(event.text for event in events).split()


def test_a_stream_resumed_with_other_cues_loses_no_word(tmp_path: Path) -> None:
    first = StepEvent(0, 0.0, 1.0, "One two", 2, 7, 8, 5)
    writers = writers_in(tmp_path)
    writers.write(first)
    saved = Earlier(writers.lengths, 1.0, True, writers.held)
    writers.close()
    with writers_in(tmp_path, CueStyle.SECOND) as writers:
        writers.resume(saved)
        writers.write(StepEvent(1, 1.0, 2.0, "three", 2, 7, 8, 5))
        assert writers.held == {}
    assert [text for *_, text in read_back(tmp_path)] == ["One two", "three"]


def test_a_state_of_an_earlier_build_and_one_of_another_build_go_on(tmp_path: Path) -> None:
    writers = writers_in(tmp_path, CueStyle.SECOND)
    writers.write(StepEvent(0, 0.0, 1.0, "One.", 2, 7, 8, 5))
    lengths = writers.lengths
    writers.close()
    for held in ({}, dict.fromkeys(lengths, "{}"), dict.fromkeys(lengths, "nonsense")):
        with writers_in(tmp_path) as writers:
            writers.resume(Earlier(lengths, 1.0, True, held))
            writers.write(StepEvent(1, 1.0, 2.0, "two", 2, 7, 8, 5))
        assert [text for *_, text in read_back(tmp_path)] == ["One.", "two"]


def test_ttml_is_read_by_another_parser(tmp_path: Path) -> None:
    imsc = pytest.importorskip("ttconv.imsc.reader")
    from xml.etree import ElementTree

    events = said(random.Random(5), 20, 30)
    with writers_in(tmp_path) as writers:
        for event in events:
            writers.write(event)
    document = imsc.to_model(ElementTree.parse(tmp_path / "x.ttml"))
    shown = [each for each in document.get_body().dfs_iterator() if type(each).__name__ == "P"]
    cues = read_back(tmp_path)
    times = [(float(each.get_begin() or 0), float(each.get_end())) for each in shown]
    assert times == [cue[:2] for cue in cues]
    texts = [
        [part.get_text() for part in each.dfs_iterator() if type(part).__name__ == "Text"] for each in shown
    ]
    assert [" ".join(text) for text in texts] == [text for *_, text in cues]
