"""What is said to be kept, against a real stream's ids and against tokens told apart by their ids."""

from __future__ import annotations

import random

import pytest

from svlm_cli.arena.asking.asked import ALL, OPENING, AskedQuestion, Evidence, EvidencePlace
from svlm_cli.arena.asking.wording import Ask
from svlm_cli.arena.setup import REFEREES, TEAMS
from svlm_cli.bench.arena.answers import Where
from svlm_cli.bench.arena.kept import KeptTokens
from svlm_cli.model.family.markup import find_markup
from svlm_cli.settings import Policy, Sampling, StreamSettings
from svlm_cli.train.learner import new_tokenizer

TOKENIZER = new_tokenizer()
MARKUP = find_markup(TOKENIZER)
SPOKEN = [*TEAMS, *REFEREES]
WALKS = [
    {"policy": Policy.STREAMING, "sink": 3, "text_window": 5, "vision_window": 2, "rounds": 3},
    {"policy": Policy.STREAMING, "sink": 0, "text_window": 4, "vision_window": 4, "rounds": 1},
    {"policy": Policy.STREAMING, "sink": 12, "text_window": 0, "vision_window": 3, "rounds": 2},
    {"policy": Policy.RECOMPUTE, "sink": 4, "text_window": 6, "vision_window": 2, "rounds": 2},
    {"policy": Policy.WINDOW, "restart_seconds": 7},
    {"policy": Policy.FULL},
]


def words(second: int) -> Evidence:
    return Evidence(EvidencePlace.WORDS, second)


def since(second: int) -> Evidence:
    return Evidence(EvidencePlace.SINCE, second)


def frames(second: int) -> Evidence:
    return Evidence(EvidencePlace.FRAMES, second)


def asked(*needs: Evidence) -> AskedQuestion:
    groups = tuple(frozenset([need]) for need in needs)
    return AskedQuestion(Ask.SCORE, False, "what is the score", "two one", groups)


def kept_after(settings: StreamSettings, num_turns: int) -> KeptTokens:
    """A layout in whose turn k word k alone is said, the next one begun."""
    kept = KeptTokens(TOKENIZER, MARKUP, settings)
    for k in range(num_turns):
        kept.begin_turn()
        kept.end_turn(SPOKEN[k])
    kept.begin_turn("what is the score")
    return kept


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{walk['policy']}-{walk.get('rounds', '')}")
def test_words_are_kept_whose_ids_are_there(walk: dict[str, object]) -> None:
    dice = random.Random(5)
    settings = StreamSettings(previous_text="kick off by red", query="", **walk)
    opening = TOKENIZER.encode("kick off by red", add_special_tokens=False)
    spoken = [TOKENIZER.encode(f" {word}", add_special_tokens=False)[0] for word in SPOKEN]
    for num_turns in sorted(dice.sample(range(1, len(SPOKEN)), 12)):
        kept = kept_after(settings, num_turns)
        ids = kept.ids.tolist()
        is_there = [spoken[k] in ids for k in range(num_turns)]
        assert [kept.is_kept(words(k)) for k in range(num_turns)] == is_there
        assert [kept.is_kept(since(k)) for k in range(num_turns)] == [
            all(is_there[k:]) for k in range(num_turns)
        ]
        has_opening = any(ids[k : k + 4] == opening for k in range(len(ids)))
        assert kept.is_kept(OPENING) == has_opening
        assert kept.is_kept(ALL) == (has_opening and all(is_there))
        if settings.policy.keeping.evicts:
            shown = [k for k in range(num_turns + 1) if kept.is_kept(frames(k))]
            assert shown == list(range(num_turns + 1))[-settings.vision_turns :]


def test_a_line_that_was_not_said_has_not_left() -> None:
    kept = KeptTokens(TOKENIZER, MARKUP, StreamSettings(query="", sink=0, text_window=2, rounds=1))
    for k in range(8):
        kept.begin_turn()
        kept.end_turn("" if k == 6 else SPOKEN[k])
    kept.begin_turn()
    assert [kept.is_kept(since(k)) for k in range(8)] == [False] * 5 + [True] * 3


def test_an_echo_lasts_as_long_as_states_that_stood_beside_it() -> None:
    """One word a turn, four of them kept: word 2 is gone from turn 7 on, what saw it from turn 11."""
    settings = StreamSettings(query="", sink=0, text_window=3, vision_window=1, rounds=2)
    for evidence in (words(2), since(2)):
        places = [kept_after(settings, num).where(asked(evidence)) for num in range(3, 13)]
        assert places == [Where.TEXT] * 4 + [Where.ECHO] * 4 + [Where.GONE] * 2
    computed = StreamSettings(
        query="", sink=0, text_window=3, vision_window=1, rounds=2, policy=Policy.RECOMPUTE
    )
    assert kept_after(computed, 8).where(asked(words(2))) is Where.GONE


def test_the_first_group_says_where_an_answer_lies() -> None:
    kept = kept_after(StreamSettings(previous_text="kick off by red", query="", vision_window=2), 5)
    assert kept.where(asked(frames(5), OPENING)) is Where.FRAMES
    assert kept.where(asked(words(3), OPENING)) is Where.TEXT
    assert kept.where(asked(OPENING)) is Where.SINK
    assert kept.where(asked(ALL)) is Where.SINK
    assert kept.where(asked(OPENING, frames(1))) is Where.ECHO
    cut = kept_after(StreamSettings(query="", sink=1, text_window=1, vision_window=1, rounds=1), 5)
    assert cut.where(asked(ALL)) is Where.GONE


@pytest.mark.parametrize(
    "walk", WALKS[:3] + WALKS[4:5], ids=lambda walk: f"{walk['policy']}-{walk.get('rounds', '')}"
)
def test_the_layout_is_that_of_the_stream(walk: dict[str, object]) -> None:
    from svlm_cli import StreamSession, load_model
    from svlm_cli.arena.address import ArenaAddress
    from svlm_cli.arena.source import ArenaSource

    model = load_model(device="cpu", threads=1)
    traces: list = []
    with ArenaSource(ArenaAddress(seed=11)) as source:
        opening = source.opening_text()
        settings = StreamSettings(previous_text=opening, query="", sampling=Sampling(greedy=True), **walk)
        kept = KeptTokens(model.tokenizer, model.markup, settings)
        session = StreamSession(model, settings, traces.append)
        for number, clip in zip(range(24), source.clips(2, 1.0), strict=False):
            question = "score" if number % 5 == 4 else ""
            kept.begin_turn(question)
            reply = ""
            if question:
                answer, step = session.step_asked(clip, question)
                reply = answer.text
                said = step.text
                if "\n" not in model.tokenizer.decode(traces[-1].generated_ids):
                    said, reply = reply, ""  # all that was said are words
            else:
                said = session.step(clip).text
            shown = [token for token in traces[-1].context_ids if token != model.markup.video_pad]
            assert kept.ids.tolist() == shown
            kept.end_turn(said, reply)
