from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.data.words.clean_llm import (
    CleanCounts,
    LanguageModel,
    LlmOptions,
    clean,
    judge_clips,
    read_decisions,
    split_pieces,
    split_sentences,
)
from svlm_cli.data.words.transcript import DenseClip, TimedWord, spread_evenly, text_of, words_in
from svlm_cli.errors import SvlmError
from tests.data.fake_llm import Llm, serve_llm

SENTENCES = [
    spread_evenly("The Lyons attack.", 1.0, 2.5),
    spread_evenly("Buy our cars today!", 3.0, 5.0),
    spread_evenly("What a save.", 6.0, 7.5),
    spread_evenly("It is half time.", 130.0, 132.0),
]


def decide(_system: str, user: str) -> str:
    """Puts right, deletes, keeps; in a fence, as models do."""
    decisions = []
    for sentence in json.loads(user)["sentences"]:
        decision: dict[str, object] = {"id": sentence["id"], "action": "keep"}
        if "Lyons" in sentence["text"]:
            decision |= {"action": "edit", "text": "The red Lions attack."}
        if "cars" in sentence["text"]:
            decision["action"] = "delete"
        decisions.append(decision)
    return f"Here it is:\n```json\n{json.dumps({'sentences': decisions})}\n```"


def model(llm: Llm, store: Path) -> LanguageModel:
    return LanguageModel(LlmOptions("judge-1", llm.address), store)


def test_sentences_are_kept_edited_and_deleted(tmp_path: Path) -> None:
    with serve_llm(Llm(decide)) as llm:
        kept, dropped, counts = clean(SENTENCES, "Cup final", model(llm, tmp_path))
    assert [text_of(words) for words in kept] == ["The red Lions attack.", "What a save.", "It is half time."]
    assert kept[1:] == SENTENCES[2:]  # with the very times of their words
    assert [word.start_seconds for word in kept[0]] == pytest.approx([1.0, 1.375, 1.75, 2.125])
    assert kept[0][-1].end_seconds == pytest.approx(2.5)
    assert [each.text for each in dropped] == ["Buy our cars today!"]
    assert counts == CleanCounts(keep=2, edit=1, delete=1)
    assert len(llm.asked) == 2  # pieces of 120 s
    assert all("Cup final" in json.dumps(body) for body in llm.asked)


def test_nothing_is_paid_for_twice(tmp_path: Path) -> None:
    with serve_llm(Llm(decide)) as llm:
        first = clean(SENTENCES, "Cup final", model(llm, tmp_path))
        assert clean(SENTENCES, "Cup final", model(llm, tmp_path)) == first
        assert len(llm.asked) == 2
        clean(SENTENCES, "another title", model(llm, tmp_path))
        assert len(llm.asked) == 4


def test_rate_limits_and_server_errors_are_tried_again(tmp_path: Path) -> None:
    with serve_llm(Llm(decide, failures=[429, 503])) as llm:
        _, _, counts = clean(SENTENCES, "t", model(llm, tmp_path))
    assert counts.malformed == 0


def test_a_refusal_is_told_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with (
        serve_llm(Llm(decide, failures=[401] * 9)) as llm,
        pytest.raises(SvlmError, match="gave no answer") as error,
    ):
        clean(SENTENCES, "t", model(llm, tmp_path))
    assert llm.keys[0] == "Bearer sk-secret"
    assert "sk-secret" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reply", ["no", "{", '{"sentences": 3}', '[{"id": "1", "action": "delete"}]'])
def test_what_cannot_be_read_keeps_the_words(tmp_path: Path, reply: str) -> None:
    with serve_llm(Llm(lambda *_: reply)) as llm:
        kept, dropped, counts = clean(SENTENCES, "t", model(llm, tmp_path))
    assert (kept, dropped) == (SENTENCES, [])
    assert counts == CleanCounts(keep=4, malformed=4)


@pytest.mark.parametrize("reply", [b"[]", b"{}", b"<html>busy</html>", b'{"choices": null}'])
def test_what_is_no_reply_is_a_failure_and_is_not_stored(tmp_path: Path, reply: bytes) -> None:
    with (
        serve_llm(Llm(decide, body=reply)) as llm,
        pytest.raises(SvlmError, match="gave no answer"),
    ):
        clean(SENTENCES, "t", model(llm, tmp_path))
    assert not list(tmp_path.iterdir())


def test_thoughts_before_the_answer_are_passed_over() -> None:
    answer = '<think>{"sentences": maybe [1]}</think>{"sentences": [{"id": 1, "action": "delete"}]}'
    assert read_decisions(answer, 1) == {1: ("delete", "")}


def test_an_answer_among_other_brackets_is_found() -> None:
    answer = '{"sentences": [{"id": 1, "action": "delete"}]} Sentences [3, 4] were misheard.'
    assert read_decisions(answer, 1) == {1: ("delete", "")}
    assert read_decisions("[" * 100_000, 1) == {}


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    with serve_llm(Llm(decide)) as llm:
        first = clean(SENTENCES, "t", model(llm, tmp_path))
        for path in tmp_path.glob("*.json"):
            path.write_text("{")
        assert clean(SENTENCES, "t", model(llm, tmp_path)) == first
        assert len(llm.asked) == 4


def test_half_a_pair_and_endless_edits_do_no_harm(tmp_path: Path) -> None:
    edits = {1: "He scores \ud83d now", 2: "on " * 10_000}
    answer = json.dumps([{"id": k, "action": "edit", "text": text} for k, text in edits.items()])
    with serve_llm(Llm(lambda *_: answer)) as llm:
        kept, _, counts = clean(SENTENCES[:2], "t", model(llm, tmp_path))
    assert text_of(kept[0]) == "He scores \ufffd now"
    assert kept[1] == SENTENCES[1]
    assert counts.edit == 2


def test_told_to_stop_it_asks_no_more(tmp_path: Path) -> None:
    with serve_llm(Llm(decide)) as llm, pytest.raises(SvlmError, match="stopped"):
        clean(SENTENCES, "t", LanguageModel(LlmOptions("x", llm.address), tmp_path, lambda: True))
    assert llm.asked == []


def test_decisions_said_twice_or_of_nothing_do_not_count() -> None:
    answer = [
        {"id": 1, "action": "delete"},
        {"id": 1, "action": "keep"},
        {"id": 2, "action": "edit", "text": " "},
        {"id": 3, "action": "burn"},
        {"id": 9, "action": "delete"},
        {"id": True, "action": "delete"},
        {"id": 4, "action": "delete"},
    ]
    assert read_decisions(json.dumps(answer), 4) == {4: ("delete", "")}


SPOKEN = st.tuples(st.floats(0.05, 1), st.floats(0, 4), st.sampled_from(["a", "b.", "c?"]))


@given(st.lists(SPOKEN, max_size=80))
def test_sentences_and_pieces_hold_every_word_once(gaps: list[tuple[float, float, str]]) -> None:
    words, time = [], 0.0
    for length, gap, text in gaps:
        words.append(TimedWord(text, time + gap, time + gap + length))
        time += gap + length
    sentences = split_sentences(words)
    assert words_in(sentences) == tuple(words)
    assert all(1 <= len(sentence) <= 40 for sentence in sentences)
    pieces = split_pieces(sentences)
    assert [sentence for piece in pieces for sentence in piece] == sentences
    assert all(piece[-1][0].start_seconds - piece[0][0].start_seconds < 120 for piece in pieces)


def test_clips_are_judged(tmp_path: Path) -> None:
    clips = [DenseClip(0, 20, 50, 1.0), DenseClip(20, 40, 50, 1.0), DenseClip(40, 60, 50, 1.0)]
    words = [TimedWord(text, second, second + 1.0) for text, second in (("live", 1.0), ("advert", 21.0))]
    replies = {"live": '{"live_percent": 92.5}', "advert": '{"live_percent": 3}', "": '{"live_percent": 300}'}
    with serve_llm(Llm(lambda _system, user: replies[json.loads(user)["said"]])) as llm:
        judged = judge_clips(clips, words, "t", model(llm, tmp_path))
    assert [clip.live_share for clip in judged] == [0.925, 0.03, None]


def test_a_key_is_asked_for_where_one_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SvlmError, match="needs a key"):
        LanguageModel(LlmOptions("gpt"), tmp_path)
