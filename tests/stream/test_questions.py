"""Questions: each in the turn of its second, one a turn; what is no question is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svlm_cli import Sampling, StreamSettings, UsageError, stream_video
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.outputs.formats import json_line
from svlm_cli.stream.questions import MAX_QUESTION_LETTERS, MAX_WAITING, Questions, read_questions
from svlm_cli.types import AnswerEvent, StepEvent, WarningEvent

from .engine import INFO, clips


@given(st.lists(st.floats(0, 30), max_size=20))
def test_each_is_asked_in_the_first_turn_that_has_room(times: list[float]) -> None:
    questions = Questions()
    for number, at_seconds in enumerate(times):
        assert questions.ask(f"question {number}", at_seconds)
    asked = {index: text for index in range(60) if (text := questions.take(index + 1.0))}
    expected: dict[int, str] = {}
    for at_seconds, number in sorted((at, number) for number, at in enumerate(times)):
        turn = next(index for index in range(60) if index + 1.0 > at_seconds and index not in expected)
        expected[turn] = f"question {number}"
    assert asked == expected


def test_blank_ones_and_floods_are_refused() -> None:
    questions = Questions()
    assert not questions.ask(" \n ")
    assert all(questions.ask("again") for _ in range(MAX_WAITING))
    assert not questions.ask("one too many")


def test_a_question_is_one_line_of_bounded_length() -> None:
    questions = Questions()
    questions.ask("who\nscored  \t now" + "x" * 1000)
    text = questions.take(1.0)
    assert text.startswith("who scored now")
    assert len(text) == MAX_QUESTION_LETTERS


def test_a_file_of_questions(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text("\ufeff# notes\n\n12.0 Who scored?\n3 Which team?\n")
    assert read_questions(path) == [(12.0, "Who scored?"), (3.0, "Which team?")]


@pytest.mark.parametrize("blank", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_line_of_the_file_ends_where_files_have_line_breaks(tmp_path: Path, blank: str) -> None:
    path = tmp_path / "questions.txt"
    path.write_bytes(f"1 Who{blank}scored?\r\n2 When?\n".encode())
    assert read_questions(path) == [(1.0, f"Who{blank}scored?"), (2.0, "When?")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Who scored?\n", "line 1"),
        (b"1 ok\n2.5\n", "line 2"),
        (b"-1 before?\n", "line 1"),
        (b"inf never?\n", "line 1"),
        (b"nan never?\n", "line 1"),
        (b"1 " + b"x" * 600, "at most 500 letters"),
        (b"\xff\xfe1 a", "UTF-8"),
        (b"1 a\n" * 65, "at most 64"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "questions.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=expected):
        read_questions(path)


class Clips:
    """A source of three clips."""

    name, is_live, problems = "clips", False, ()
    info = INFO

    def opening_text(self, start_seconds: float) -> str:
        return ""

    def clips(self, fps, step_seconds, start_seconds, duration_seconds, guide):
        yield from clips(3, fps=fps)


SETTINGS = StreamSettings(sampling=Sampling(greedy=True, max_new_tokens=3, max_answer_tokens=6))


def test_the_answer_stands_apart_and_the_prompt_is_the_specified_one(model) -> None:
    """``Time=1.0-2.0s {question}`` in the turn of second 1, and its answer before that second's words."""
    questions, records = Questions(), []
    questions.ask("Who scored?", 1.0)
    controls = Controls(questions=questions)
    events = list(stream_video(model, Clips(), SETTINGS, records.append, controls))
    kinds = [type(event) for event in events]
    at = kinds.index(AnswerEvent)
    assert kinds[at + 1] is StepEvent
    answer, step = events[at], events[at + 1]
    assert (answer.question, answer.index, answer.start_seconds) == ("Who scored?", 1, 1.0)
    assert (step.index, step.start_seconds) == (1, 1.0)
    assert 1 <= answer.num_new_tokens <= 6
    texts = [model.tokenizer.decode(record.context_ids) for record in records]
    assert "Time=1.0-2.0s Who scored?<|vision_start|>" in texts[1]
    assert "Who scored?" not in texts[0]
    told = [event.message for event in events if isinstance(event, WarningEvent)]
    assert told == []


class Fragile:
    """A tokenizer that fails once a question is in its hands: at once, or later while the answer is read."""

    def __init__(self, tokenizer, num_good: int) -> None:
        self._tokenizer = tokenizer
        self._left = num_good
        self._is_asked = False

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def _use(self) -> None:
        if self._is_asked:
            self._left -= 1
            if self._left < 0:
                self._is_asked = False
                raise IndexError("no such\ntoken")

    def encode(self, text: str, **options) -> list[int]:
        self._is_asked = self._is_asked or "Who scored?" in text
        self._use()
        return self._tokenizer.encode(text, **options)

    def decode(self, ids, **options) -> str:
        self._use()
        return self._tokenizer.decode(ids, **options)


@pytest.mark.parametrize(
    ("num_good", "policy"),
    [
        (0, {}),
        (6, {}),
        (3, {"rounds": 1}),
        (3, {"policy": "recompute"}),
        (3, {"policy": "window", "restart_seconds": 1}),
    ],
)
def test_a_question_that_fails_leaves_the_stream_as_if_it_had_not_been_asked(model, num_good, policy) -> None:
    settings = StreamSettings(sampling=Sampling(max_new_tokens=4, max_answer_tokens=6, seed=5), **policy)
    plain = [event for event in stream_video(model, Clips(), settings) if isinstance(event, StepEvent)]
    questions = Questions()
    questions.ask("Who scored?", 1.0)
    fragile = replace(model, tokenizer=Fragile(model.tokenizer, num_good))
    controls = Controls(questions=questions)
    events = list(stream_video(fragile, Clips(), settings, controls=controls))
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert warning == WarningEvent('the question "Who scored?" could not be asked: no such token', 1.0)
    assert not [event for event in events if isinstance(event, AnswerEvent)]
    steps = [event for event in events if isinstance(event, StepEvent)]
    for said, expected in zip(steps, plain, strict=True):
        assert replace(said, timings=expected.timings) == expected


def test_text_that_cannot_be_encoded_is_asked_all_the_same(model) -> None:
    odd = "Who\ud83d scored?\udcff"
    questions = Questions()
    questions.ask(odd, 1.0)
    settings = replace(SETTINGS, title=odd, previous_text=odd, query=odd)
    events = list(stream_video(model, Clips(), settings, controls=Controls(questions=questions)))
    (answer,) = [event for event in events if isinstance(event, AnswerEvent)]
    assert answer.question == "Who\ufffd scored?\ufffd"
    for event in events:
        json_line(event).encode()
    assert not questions.ask("When?", float("nan"))


def test_what_was_not_asked_in_time_is_told(model) -> None:
    questions = Questions()
    questions.ask("And in the second half?", 2700.0)
    events = list(stream_video(model, Clips(), SETTINGS, controls=Controls(questions=questions)))
    assert "ended before 1 of the questions" in events[-2].message
