from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.data.words import filters
from svlm_cli.data.words.captions import read_utterances
from svlm_cli.data.words.transcript import TimedWord, Utterance, spread_evenly, text_of, words_in

GOOD_HALVES = (
    "2015_08_08_19_30_Chelsea_2_2_Swansea_1",
    "2015_08_08_19_30_Chelsea_2_2_Swansea_2",
    "2015_08_29_17_00_Liverpool_0_3_West_Ham_1",
    "2015_08_29_17_00_Liverpool_0_3_West_Ham_2",
    "2015_10_31_15_45_Chelsea_1_3_Liverpool_1",
    "2015_10_31_15_45_Chelsea_1_3_Liverpool_2",
)
REPEATED = "2015_10_03_17_00_Manchester_City_6_1_Newcastle_Utd_2"
EMPTY = "2015_10_03_17_00_Manchester_City_6_1_Newcastle_Utd_1"
SPANISH = "2015_09_12_17_00_Crystal_Palace_0_1_Manchester_City_1"


def said(*lines: str) -> list[Utterance]:
    return [spread_evenly(line, 2.0 * k, 2.0 * k + 1.5) for k, line in enumerate(lines)]


def pair(start: float, first: float, second: float) -> Utterance:
    return (TimedWord("x", start, start + first), TimedWord("y", start, start + second))


def text(utterances: list[Utterance]) -> str:
    return text_of(words_in(utterances))


def half(shared_data: Path, name: str) -> list[Utterance]:
    return read_utterances(shared_data / "transcripts" / f"{name}.json")


def test_a_loop_over_utterances_stays_once() -> None:
    kept, dropped = filters.drop_loops(said("the start", *["The game is over."] * 5, "the end"))
    assert text(kept) == "the start The game is over. the end"
    assert [(each.reason, each.num_words) for each in dropped] == [("repeated", 16)]
    assert (dropped[0].start_seconds, dropped[0].end_seconds) == (4.0, 11.5)


def test_a_loop_within_an_utterance_stays_once() -> None:
    kept, _ = filters.drop_loops(said("and now " + "you know, " * 9 + "a shot"))
    assert text(kept) == "and now you know, a shot"


@pytest.mark.parametrize(
    "line", ["goal goal goal goal goal", "come on come on come on", "yes he is yes he is"]
)
def test_people_repeat_themselves_too(line: str) -> None:
    assert filters.drop_loops(said(line)) == (said(line), [])


@given(st.lists(st.sampled_from(["a", "b", "goal", "the", "Lions,"]), max_size=60))
def test_no_word_is_lost_or_made(words: list[str]) -> None:
    utterances = [(TimedWord(word, float(k), k + 1.0),) for k, word in enumerate(words)]
    for rule in (filters.drop_loops, filters.drop_filler, filters.drop_invented):
        kept, dropped = rule(utterances)
        starts = [word.start_seconds for word in words_in(kept)]
        assert starts == sorted(set(starts))
        assert len(starts) + sum(each.num_words for each in dropped) == len(words)
        assert {words_in(utterances)[int(start)] for start in starts} == set(words_in(kept))


def test_filler_descriptions_and_inventions_go() -> None:
    kept, dropped = filters.drop_filler(said("uh he shoots, um, [Music] (crowd cheering) and ♪ la scores -"))
    assert text(kept) == "he shoots, and la scores"
    assert {each.reason for each in dropped} == {"filler", "description of sound", "empty"}
    kept, dropped = filters.drop_invented(said("Thanks for watching!", "thanks for watching that pass"))
    assert text(kept) == "thanks for watching that pass"


def test_what_is_in_brackets_for_long_is_speech() -> None:
    line = "(and this is a thing that he has said before) yes"
    assert text(filters.drop_filler(said(line))[0]) == line


SPANS = st.tuples(st.floats(0, 50), st.floats(0, 5), st.floats(0, 5))


@given(st.lists(SPANS, max_size=12).map(lambda spans: [pair(*each) for each in spans]))
def test_in_order_is_monotonic(utterances: list[Utterance]) -> None:
    times = [
        time
        for word in words_in(filters.in_order(utterances))
        for time in (word.start_seconds, word.end_seconds)
    ]
    assert times == sorted(times)
    assert len(times) == 4 * len(utterances)


def test_a_foreign_stretch_goes() -> None:
    spanish = "el balón sale por la banda izquierda y el delantero no llega a su compañero " * 8
    lines = [f"minute {k} of a game that the home side should have won long ago" for k in range(8)]
    kept, dropped = filters.drop_foreign(said(*lines, spanish), "en")
    assert "compañero" not in text(kept)
    assert dropped[0].reason == "foreign language: es"


def test_short_texts_are_in_no_language() -> None:
    assert filters.language_of("Coutinho, Firmino, Milner") is None
    assert filters.refusal(said("Coutinho, Firmino"), 0, "en") == ""


def test_the_repeated_half_is_refused(shared_data: Path) -> None:
    kept, dropped = filters.drop_loops(half(shared_data, REPEATED))
    reason = filters.refusal(kept, sum(each.num_words for each in dropped), "en")
    assert "over and over" in reason


def test_the_spanish_half_is_refused_in_english_alone(shared_data: Path) -> None:
    utterances = half(shared_data, SPANISH)
    assert "but in es" in filters.refusal(utterances, 0, "en")
    assert filters.refusal(utterances, 0, "es") == ""


def test_the_empty_half_is_empty(shared_data: Path) -> None:
    assert half(shared_data, EMPTY) == []


@pytest.mark.parametrize("name", GOOD_HALVES)
def test_good_halves_lose_their_loops_and_nothing_else(shared_data: Path, name: str) -> None:
    """Two of them hold long loops of the recogniser, e.g. "He was a bit of a threat." sixty times on end."""
    utterances = half(shared_data, name)
    kept, loops = filters.drop_loops(utterances)
    for each in loops:
        words = [word.strip(".,!?").lower() for word in each.text.split()]
        assert len(set(words)) <= 24  # one phrase
    num_before = len(words_in(kept))
    kept, _ = filters.drop_filler(filters.drop_invented(kept)[0])
    kept, _ = filters.drop_foreign(kept, "en")
    assert len(words_in(kept)) > 0.98 * num_before
    assert filters.refusal(kept, sum(each.num_words for each in loops), "en") == ""
