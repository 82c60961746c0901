"""A model that says the same again and again is told about once; silence and speech are not."""

from __future__ import annotations

import itertools

import pytest

from svlm_cli import Sampling, StepEvent, StreamSettings, WarningEvent, stream_video
from svlm_cli.stream.repetition import Repetition

from .engine import INFO, clips, follow


def told(texts: list[str], step_seconds: float = 1.0, start: float = 0.0) -> list[tuple[int, str]]:
    """The steps at which something was said, and what."""
    repetition, found = Repetition(), []
    for index, text in enumerate(texts):
        begin = start + index * step_seconds
        step = StepEvent(index, begin, begin + step_seconds, text, 2, 1, 1, 1)
        if said := repetition.add(step):
            found.append((index, said))
    return found


def test_the_same_words_for_a_minute_are_told_once_with_their_time() -> None:
    texts = ["And off we go."] * 3 + ["Goal!"] * 200
    assert told(texts, start=100.0) == [
        (62, 'the model has said the same for 60 s, since 103.0 s: "Goal!"'),
    ]


@pytest.mark.parametrize("step_seconds", [0.5, 1.0, 5.0, 60.0])
@pytest.mark.parametrize("part", [["a"], ["a", "b"], ["a", "", "b"], ["", "", "a"]])
def test_rounds_of_up_to_three_steps(part, step_seconds) -> None:
    """However long a step is: a minute at least, and three rounds."""
    ((index, said),) = told((part * 400)[:400], step_seconds)
    rounds = (index + 1) / len(part)
    assert (index + 1) * step_seconds >= 60
    assert rounds >= 3
    assert index * step_seconds < 60 or rounds - 3 < 1 / len(part)
    assert "since 0.0 s" in said


@pytest.mark.parametrize(
    "texts",
    [
        [""] * 500,
        [str(index) for index in range(500)],
        ["a"] * 59 + ["b"] + ["a"] * 59,
        ["a", "b", "c", "d"] * 100,
        (["a"] * 58 + [""]) * 5,
    ],
)
def test_silence_and_speech_are_no_fault(texts) -> None:
    assert told(texts) == []


def test_told_again_once_the_words_have_changed() -> None:
    assert [index for index, _ in told(["a"] * 90 + ["b"] + ["a", "c"] * 60)] == [59, 150]


def test_long_words_are_cut_and_shown_harmless() -> None:
    ((_, said),) = told(["\x1b[2J" + "a" * 500] * 60)
    assert "\x1b" not in said
    assert len(said) < 130


class LongSource:
    """The same two clips for as long as it is asked."""

    name = "long"
    problems: tuple[str, ...] = ()
    info = INFO

    def opening_text(self, _start_seconds: float) -> str:
        return ""

    def clips(self, fps, step_seconds, start_seconds, duration_seconds, guide):
        yield from clips(8, fps=fps, step_seconds=step_seconds)


def test_the_stream_tells_it_behind_the_step(model, monkeypatch) -> None:
    """The end of the markup is never drawn here, so a penalty of none gives the same word in each step."""
    follow(monkeypatch, itertools.repeat([1000]))
    settings = StreamSettings(fps=2 / 16, step_seconds=16.0, sampling=Sampling(greedy=True))
    events = list(stream_video(model, LongSource(), settings))
    (place,) = [number for number, event in enumerate(events) if isinstance(event, WarningEvent)]
    assert events[place].at_seconds == events[place - 1].end_seconds == 64.0
    assert "the same for 64 s, since 0.0 s" in events[place].message
