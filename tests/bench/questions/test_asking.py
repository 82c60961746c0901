"""What a question may see: nothing after its time; and each video is streamed once."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svlm_cli.bench.questions.asking import CANDIDATES, LEAD, ModelAsker, Question, Showing, Way, frame_times
from svlm_cli.bench.questions.plain import PlainPrompt
from svlm_cli.settings import Policy, StreamSettings
from svlm_cli.stream.probe import ProbedSession
from tests.media.numbered import numbers_of, whole_video

SETTINGS = StreamSettings(policy=Policy.FULL, query="")
FPS_OF_FILE = 20


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds; picture n is on screen from n / 20 s on."""
    return whole_video(tmp_path_factory.mktemp("video"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Everything that is shown, as numbers of pictures, and everything that is asked."""
    told: list[tuple[str, object]] = []

    def see(self: ProbedSession, clip: object) -> object:
        told.append(("see", tuple(numbers_of(clip.frames))))  # type: ignore[attr-defined]
        return clip

    def reply(self: ProbedSession, clip: object, question: str, max_new_tokens: int) -> str:
        told.append(("ask", (question, tuple(numbers_of(clip.frames)))))  # type: ignore[attr-defined]
        return f"re: {question}"

    monkeypatch.setattr(ProbedSession, "see", see)
    monkeypatch.setattr(ProbedSession, "reply", reply)
    monkeypatch.setattr(
        ProbedSession, "watch", lambda self, clip: told.append(("watch", tuple(numbers_of(clip.frames))))
    )
    monkeypatch.setattr(
        ProbedSession, "step", lambda self, clip: told.append(("speak", tuple(numbers_of(clip.frames))))
    )
    return told


def ask(name: str, at: float, start: float = 0.0) -> Question:
    return Question(name, start, at, name)


def test_a_video_is_streamed_once_and_asked_in_the_last_step_that_has_ended(model, video, seen) -> None:
    questions = [ask("late", 5.5), ask("early", 2.0), ask("same", 5.9), ask("end", math.inf)]
    asker = ModelAsker(model, Way(Showing.STREAMED, SETTINGS), 5)
    answers = {question.key: text for question, text in asker.answers(video, questions)}
    assert answers == {name: f"re: {name}" for name in ("early", "late", "same", "end")}
    watched = [frames for kind, frames in seen if kind == "watch"]
    assert watched == [(20 * second, 20 * second + 10) for second in range(10)]
    asked = dict(content for kind, content in seen if kind == "ask")
    assert asked == {"early": (20, 30), "late": (80, 90), "same": (80, 90), "end": (180, 190)}
    kinds = [kind for kind, _ in seen]
    assert kinds.index("ask") < len(kinds) - 1 - kinds[::-1].index("watch")


@pytest.mark.parametrize("at", [0.0, 0.3, 0.49, 0.5, 0.9, 1.0, 1.99, 2.0, 3.51, 9.9])
def test_nothing_after_the_question_is_seen(model, video, seen, at: float) -> None:
    asker = ModelAsker(model, Way(Showing.STREAMED, SETTINGS), 5)
    list(asker.answers(video, [ask("q", at)]))
    ((_, frames),) = [content for kind, content in seen if kind == "ask"]
    before = [number for kind, watched in seen if kind == "watch" for number in watched]
    # What is watched after the last question goes to nobody.
    place = [kind for kind, _ in seen].index("ask")
    before = [number for kind, watched in seen[:place] if kind == "watch" for number in watched]
    assert max([*before, *frames]) <= at * FPS_OF_FILE + 1e-6


def test_questions_with_another_beginning_have_a_stream_of_their_own(model, video, seen) -> None:
    asker = ModelAsker(model, Way(Showing.STREAMED, SETTINGS, speaks=True), 5)
    list(asker.answers(video, [ask("whole", 2.0), ask("part", 6.0, start=4.0)]))
    shown = [frames for kind, frames in seen if kind == "speak"]
    assert shown == [(0, 10), (20, 30), (80, 90), (100, 110)]


def test_livecc_is_shown_three_seconds_first(qwen2_vl_model, video, seen) -> None:
    livecc = replace(qwen2_vl_model, name="chenjoya/LiveCC-7B-Instruct")
    asker = ModelAsker(livecc, Way(Showing.STREAMED, SETTINGS), 5)
    list(asker.answers(video, [ask("first", 1.2), ask("later", 4.5), ask("end", math.inf)]))
    watched = [frames for kind, frames in seen if kind == "watch"]
    assert watched[:2] == [(0, 10, 20, 30, 40, 50), (60, 70)]
    asked = dict(content for kind, content in seen if kind == "ask")
    assert asked == {"first": (0, 10, 20, 20, 20, 20), "later": (60, 70), "end": (180, 190)}


def test_a_question_beyond_the_end_is_asked_at_the_end(model, video, seen) -> None:
    asker = ModelAsker(model, Way(Showing.STREAMED, SETTINGS), 5)
    (answer,) = asker.answers(video, [ask("q", 99.0)])
    assert answer[1] == "re: q"
    assert ("ask", ("q", (180, 190))) in seen


@pytest.mark.parametrize(
    ("way", "start", "end", "times"),
    [
        (Way(Showing.RECENT, SETTINGS, 4), 0.0, 7.5, [4.5, 5.5, 6.5, 7.5]),
        (Way(Showing.RECENT, SETTINGS, 4), 0.0, 1.5, [0.0, 0.0, 0.5, 1.5]),
        (Way(Showing.RECENT, SETTINGS, 2), 3.0, 3.2, [3.0, 3.2]),
        (Way(Showing.WHOLE, SETTINGS, 4), 2.0, 8.0, [2.0, 4.0, 6.0, 8.0]),
        (Way(Showing.WHOLE, SETTINGS, 64), 0.0, 2.0, [0.0, 2 / 3, 4 / 3, 2.0]),
        (Way(Showing.WHOLE, SETTINGS, 64), 3.0, 3.0, [3.0, 3.0]),
    ],
)
def test_frames_of_a_prompt(way: Way, start: float, end: float, times: list[float]) -> None:
    assert frame_times(way, start, end) == pytest.approx(times)


@pytest.mark.parametrize("showing", [Showing.RECENT, Showing.WHOLE])
def test_frames_of_a_prompt_end_with_the_question(model, video, showing, monkeypatch) -> None:
    shown: list[list[int]] = []
    look = PlainPrompt.look
    monkeypatch.setattr(
        PlainPrompt, "look", lambda self, frames: shown.append(numbers_of(frames)) or look(self, frames)
    )
    asker = ModelAsker(model, Way(showing, SETTINGS, 4), 2)
    list(asker.answers(video, [ask("a", 3.5), ask("b", math.inf)]))
    assert [numbers[-1] for numbers in shown] == [70, 199]
    assert all(len(numbers) == 4 for numbers in shown)


def test_logits_choose_among_the_candidates(model, video) -> None:
    """The answer is the candidate with the highest score, by an argmax done here."""
    question = Question("q", 0.0, 3.0, "Is it red?", CANDIDATES)
    way = Way(Showing.RECENT, SETTINGS, 2)
    ((_, answer),) = ModelAsker(model, way, 2).answers(video, [question])
    from svlm_cli.media.file.reader import open_video

    plain = PlainPrompt(model, SETTINGS)
    with open_video(video) as reader:
        seen = plain.look(reader.frames_at([2.0, 3.0]))
    ids = [model.tokenizer.encode(f"\n{each}")[-1] for each in CANDIDATES]
    assert len(set(ids)) == len(CANDIDATES)
    scores = plain.scores(seen, 1.0, "Is it red?", LEAD, ids).numpy()
    assert answer == CANDIDATES[int(np.argmax(scores))]
    ((_, streamed),) = ModelAsker(model, Way(Showing.STREAMED, SETTINGS), 2).answers(video, [question])
    assert streamed in CANDIDATES
