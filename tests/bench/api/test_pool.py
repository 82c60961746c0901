"""Many questions at once: what fails, what stops the work, and that no answer is lost."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from svlm_cli.bench.api.pool import Work, ask_all, most_failures
from svlm_cli.bench.common.records import RecordFile
from svlm_cli.chat import Chat, NoReplyError, Reply
from svlm_cli.errors import SvlmError
from svlm_cli.types import WarningEvent
from tests.data.fake_llm import Llm, serve_llm


def work(path: Path, num: int) -> Work[int, Reply]:
    def ask(chat: Chat, number: int) -> Reply:
        return chat.ask([{"role": "user", "content": str(number)}])

    return Work(
        "fake",
        "answers",
        path,
        lambda record: record["id"],
        {number: number for number in range(num)},
        ask,
        lambda number, reply: {"id": number, "reply": reply.text},
        lambda number: f"question {number}",
    )


def number_of(body: dict[str, Any]) -> int:
    return int(body["messages"][0]["content"])


def stored(path: Path) -> list[int]:
    with RecordFile(path, lambda record: record["id"]) as records:
        return sorted(record["id"] for record in records)


def test_a_question_that_is_refused_fails_alone(tmp_path: Path) -> None:
    """A content filter, or a context that is too long: status 400."""
    path = tmp_path / "answers.jsonl"

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        return (400, "the content filter") if number_of(body) == 1 else (200, "yes")

    with serve_llm(Llm(respond=respond)) as llm:
        events = list(work(path, 4).run("fake", llm.address, 1))
        again = list(work(path, 4).run("fake", llm.address, 1))
        assert [number_of(body) for body in llm.asked] == [0, 1, 2, 3, 1]
    assert stored(path) == [0, 2, 3]
    for told in (events[-1], again[-1]):
        assert isinstance(told, WarningEvent)
        assert "1 answers are missing" in told.message
        assert "question 1: " in told.message
        assert "the content filter" in told.message


def test_what_is_on_its_way_is_stored_before_a_stop(tmp_path: Path) -> None:
    """A key that is withdrawn while three others are being answered."""
    path, begun = tmp_path / "answers.jsonl", [Event() for _ in range(4)]

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        number = number_of(body)
        begun[number].set()
        assert all(each.wait(60) for each in begun)
        if number == 0:
            return 401, "withdrawn"
        time.sleep(0.3)
        return 200, "yes"

    with serve_llm(Llm(respond=respond)) as llm, pytest.raises(SvlmError, match="withdrawn"):
        list(work(path, 9).run("fake", llm.address, 4))
    assert stored(path) == [1, 2, 3]


def test_what_is_on_its_way_is_stored_when_nobody_looks_on(tmp_path: Path) -> None:
    path, begun = tmp_path / "answers.jsonl", [Event() for _ in range(2)]

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        number = number_of(body)
        begun[number].set()
        assert begun[1].wait(60)
        time.sleep(0.3 * number)
        return 200, "yes"

    with serve_llm(Llm(respond=respond)) as llm:
        events = work(path, 2).run("fake", llm.address, 2)
        next(events)
        next(events)
        events.close()
        deadline = time.monotonic() + 60
        while stored(path) != [0, 1] and time.monotonic() < deadline:
            time.sleep(0.02)
    assert stored(path) == [0, 1]


@pytest.mark.parametrize(("num_jobs", "most"), [(1, 10), (500, 10), (3404, 68)])
def test_how_many_may_fail(num_jobs: int, most: int) -> None:
    assert most_failures(num_jobs) == most

    def ask(job: int) -> int:
        if job <= most:
            raise NoReplyError(f"no {job}")
        return job

    def failed(jobs: range) -> int:
        answers = ask_all(jobs, ask, 1, most_failures(num_jobs))
        return sum(isinstance(answer, NoReplyError) for _, answer in answers)

    assert failed(range(1, 2 * most)) == most
    with pytest.raises(NoReplyError):
        failed(range(2 * most))
